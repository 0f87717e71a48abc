"""What can go wrong on a WebRTC connection."""

from __future__ import annotations


class RtcError(Exception):
    """Base of the errors of `plait.rtc`."""


class PeerClosed(RtcError):
    """The connection is closed or has failed; the message is the reason."""


class ChannelClosed(RtcError):
    """The data channel is closed, or was never opened."""


class NegotiationError(RtcError, ValueError):
    """A description could not be made or could not be used; the message says why."""


class NoCommonCodec(NegotiationError):
    """A codec of ours is not among those that both ends of a line know.

    Attributes:
        ours: what was to be sent: a frame's codec, or those of the line that is forwarded.
        theirs: what the far end takes on this line, in its order; empty where it has refused the line.
    """

    def __init__(self, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
        self.ours = ours
        self.theirs = theirs
        taken = ", ".join(theirs) or "nothing of it"
        super().__init__(f"we would send {', '.join(ours)}; the far end takes {taken}")
