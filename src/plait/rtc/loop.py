"""Where the engine and an event loop meet: one mailbox for each loop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from plait.rtc import native_log

if TYPE_CHECKING:
    import asyncio

    from plait import _native
    from plait.rtc.certificate import Certificate

_logger = logging.getLogger("plait.rtc")

# Events handled before the loop's other work gets its turn.
_BATCH = 64


class Receiver(Protocol):
    """Who takes the events of one peer."""

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Take one event."""


class Mailbox:
    """The events of every peer of one engine that belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: _native.Engine) -> None:
        self._engine = engine
        self._native = engine.mailbox()
        # The engines number from 1; what is nobody's goes to the loggers.
        self._peers: dict[int, Receiver] = {0: native_log.Records()}
        native_log.follow_level()
        # The loop holds the mailbox (by its reader), and not the other way round: when the loop is
        # closed and gone, so is the mailbox, and the engine closes its peers.
        loop.add_reader(self._native.fileno(), self._drain)

    def peer(
        self,
        certificate: Certificate,
        *,
        loopback: bool,
        relay_only: bool = False,
        servers: int = 0,
        packets: bool = False,
        initial_bitrate: int | None = None,
        capture: str | None = None,
        beside: _native.Peer | None = None,
    ) -> _native.Peer:
        """Make a native peer whose events come here; `attach` says to whom."""
        native_log.follow_level()
        options = (loopback, relay_only, servers, packets, initial_bitrate, capture, beside)
        return self._engine.peer(self._native, certificate.der, certificate.private_key, *options)

    def forwarder(self, beside: _native.Peer | None) -> _native.Forwarder:
        """Make a native forwarder whose events come here, in the thread of `beside`."""
        return self._engine.forwarder(self._native, beside)

    def attach(self, peer: int, receiver: Receiver) -> None:
        """Hand the events of peer number `peer` to `receiver`, which is kept alive until `detach`."""
        self._peers[peer] = receiver

    def detach(self, peer: int) -> None:
        """Stop handing on events."""
        self._peers.pop(peer, None)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand on what is left, and leave the event loop; the engine is stopped already."""
        while self._drain():
            pass
        loop.remove_reader(self._native.fileno())

    def _drain(self) -> bool:
        native_log.follow_level()
        letters = self._native.drain(_BATCH)
        for peer, kind, arguments in letters:
            receiver = self._peers.get(peer)
            if receiver is None:
                continue
            try:
                receiver.handle(kind, arguments)
            except Exception:
                # A callback of the application raised; the events of others must not be lost for it.
                _logger.exception("an event handler of a peer connection raised")
        return bool(letters)
