"""Engines: native threads that drive peer connections. One for the process, unless others are asked for."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Self

from plait import _native
from plait.rtc.loop import Mailbox

if TYPE_CHECKING:
    from types import TracebackType

_MOST_THREADS = 64


class Engine:
    """Native threads that drive peer connections, and how they reach the network.

    A program needs none of its own: connections that name no engine share one with a single thread, where
    each connection has UDP ports of its own. One is made to have more threads, or one UDP port for all
    connections, as a firewall before a server wants it:

        async with Engine(threads=2, udp_port=7000) as engine:
            peer = PeerConnection(engine=engine)

    A hub has its TURN server's port for them too (`turn`), so that its firewall opens one.

    What a source and its viewers are forwarded by is one thread: `PeerConnection(beside=source)`.
    """

    def __init__(
        self, *, threads: int = 1, udp_port: int | None = None, turn: _native.TurnServer | None = None
    ) -> None:
        """Start the threads, and take the port.

        Args:
            threads: 1 to 64; each new connection goes to the thread with the fewest.
            udp_port: 1 to 65535; connections have one socket for each address of this machine together,
                on this port. None: each has sockets of its own, on free ports. Connections to TURN servers
                have ports of their own in both cases. Where both ends of two connections share ports, only
                one of the two can use a pair of addresses: nothing in DTLS would tell them apart.
            turn: a TURN server of this process; connections share its sockets, with its clients (RFC 7983
                tells them apart), at the addresses where it listens. Addresses that it publishes are
                candidates. Relays may send there. Close the engine first; without the server nothing more
                is received.

        Raises:
            ValueError: a number is out of range, or both `udp_port` and `turn` are given.
            OSError: the port is in use on one of the addresses, which the message names, or not allowed;
                the TURN server has ended, or has an engine at its port already.
        """
        if not 1 <= threads <= _MOST_THREADS:
            raise ValueError(f"an engine has 1 to {_MOST_THREADS} threads, not {threads}")
        if udp_port is not None and not 1 <= udp_port <= 0xFFFF:
            raise ValueError(f"not a UDP port: {udp_port}")
        if turn is not None and udp_port is not None:
            raise ValueError("udp_port: connections are at the TURN server's port")
        self.udp_port = udp_port if turn is None else turn.addresses[0][1]
        self.native = _native.Engine(threads, udp_port, turn)
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Mailbox]] = (
            weakref.WeakKeyDictionary()
        )
        _engines.add(self)

    @property
    def running(self) -> bool:
        """False once it is closed, and in a forked child."""
        return self.native.running

    @property
    def connections(self) -> tuple[int, ...]:
        """How many connections each thread drives now."""
        return tuple(self.native.load)

    @property
    def datagrams_discarded(self) -> int:
        """Datagrams at `udp_port` that were for no connection; those at a TURN server it counts itself."""
        return self.native.discarded

    def mailbox(self) -> Mailbox:
        """Return the mailbox of the running event loop.

        Raises:
            RuntimeError: no loop is running.
        """
        loop = asyncio.get_running_loop()
        known = self._mailboxes.get(loop)
        box = known() if known else None
        if box is None:
            box = Mailbox(loop, self.native)
            self._mailboxes[loop] = weakref.ref(box)
        return box

    async def close(self) -> None:
        """Close its connections, with their goodbyes, and end its threads; half a second at most."""
        await asyncio.to_thread(self.native.stop)
        loop = asyncio.get_running_loop()
        known = self._mailboxes.pop(loop, None)
        box = known() if known else None
        if box is not None:
            box.close(loop)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_lock = threading.Lock()
_default: Engine | None = None


def default() -> Engine:
    """Return the engine of this process; it starts here, when it is first needed."""
    global _default  # noqa: PLW0603 - one engine for the process is the design
    with _lock:
        if _default is None:
            _default = Engine()
        return _default


def _forget() -> None:
    """Start afresh in a forked child: threads do not survive a fork, and the parent's peers are not ours."""
    global _default, _lock  # noqa: PLW0603 - see default()
    _default = None
    _lock = threading.Lock()
    _engines.clear()


def _stop() -> None:
    """Say goodbye to the far ends of the peers that are still open."""
    for engine in list(_engines):
        engine.native.stop()


os.register_at_fork(after_in_child=_forget)
atexit.register(_stop)
