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


class CodecMismatch(NegotiationError):
    """What comes in cannot go out there: no codec is negotiated on both lines.

    Attributes:
        source: the codecs of the line that it comes from.
        viewer: those of the line that it was to go to.
    """

    def __init__(self, source: tuple[str, ...], viewer: tuple[str, ...]) -> None:
        super().__init__(
            f"no codec in common: the source has {', '.join(source)}; the viewer has {', '.join(viewer)}"
        )
        self.source = source
        self.viewer = viewer
