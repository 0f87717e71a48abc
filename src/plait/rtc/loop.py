"""The engine and the event loops: one native thread for the process, one mailbox for each loop."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from plait import _native

if TYPE_CHECKING:
    from plait.rtc.certificate import Certificate

_logger = logging.getLogger("plait.rtc")

# Events handled before the loop's other work gets its turn.
_BATCH = 64


class Receiver(Protocol):
    """Who takes the events of one peer."""

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Take one event."""


class Mailbox:
    """The events of every peer that belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._native = engine().mailbox()
        self._peers: dict[int, Receiver] = {}
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
    ) -> _native.Peer:
        """Make a native peer whose events come here; `attach` says to whom."""
        options = (loopback, relay_only, servers, packets, initial_bitrate)
        return engine().peer(self._native, certificate.der, certificate.private_key, *options)

    def forwarder(self) -> _native.Forwarder:
        """Make a native forwarder whose events come here."""
        return engine().forwarder(self._native)

    def attach(self, peer: int, receiver: Receiver) -> None:
        """Hand the events of peer number `peer` to `receiver`, which is kept alive until `detach`."""
        self._peers[peer] = receiver

    def detach(self, peer: int) -> None:
        """Stop handing on events."""
        self._peers.pop(peer, None)

    def _drain(self) -> None:
        for peer, kind, arguments in self._native.drain(_BATCH):
            receiver = self._peers.get(peer)
            if receiver is None:
                continue
            try:
                receiver.handle(kind, arguments)
            except Exception:
                # A callback of the application raised; the events of others must not be lost for it.
                _logger.exception("an event handler of a peer connection raised")


_lock = threading.Lock()
_engine: _native.Engine | None = None
_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Mailbox]] = (
    weakref.WeakKeyDictionary()
)


def engine() -> _native.Engine:
    """Return the engine of this process; it starts here, when it is first needed."""
    global _engine  # noqa: PLW0603 - one engine for the process is the design
    with _lock:
        if _engine is None:
            _engine = _native.Engine()
        return _engine


def mailbox() -> Mailbox:
    """Return the mailbox of the running event loop.

    Raises:
        RuntimeError: no loop is running.
    """
    loop = asyncio.get_running_loop()
    known = _mailboxes.get(loop)
    box = known() if known else None
    if box is None:
        box = Mailbox(loop)
        _mailboxes[loop] = weakref.ref(box)
    return box


def _forget() -> None:
    """Start afresh in a forked child: threads do not survive a fork, and the parent's peers are not ours."""
    global _engine, _lock  # noqa: PLW0603 - see engine()
    _engine = None
    _lock = threading.Lock()
    _mailboxes.clear()


def _stop() -> None:
    """Say goodbye to the far ends of the peers that are still open."""
    if _engine is not None:
        _engine.stop()


os.register_at_fork(after_in_child=_forget)
atexit.register(_stop)
