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
