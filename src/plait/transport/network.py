"""Word from the kernel that this machine's addresses have changed, for connections that would not notice.

A TCP connection from an address that is gone is not broken, only dead: without this it takes 9 s of silence
to tell. Linux alone tells (rtnetlink(7)); elsewhere connections wait for their own timers.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE: Final = 0.1
"""Seconds without further news after which a change is told: coming to another network is several changes."""

_GROUPS: Final = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of linux/rtnetlink.h."""

_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def on_change(tell: Callable[[], None]) -> Callable[[], None]:
    """Call `tell` on this event loop after each change of addresses; returns what ends that."""
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch(loop)
    watch.add(tell)
    return lambda: watch.discard(tell)


def has_address(address: str) -> bool:
    """Return whether an address is this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address.partition("%")[0], 0))
        except OSError:
            return False
    return True


class _Watch:
    """One loop's watch: it listens while anybody wants to know."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told: set[Callable[[], None]] = set()
        self._source: socket.socket | None = None
        self._settling: asyncio.TimerHandle | None = None

    def add(self, tell: Callable[[], None]) -> None:
        self._told.add(tell)
        if self._source is None and sys.platform == "linux":
            self._source = source = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)  # NETLINK_ROUTE
            source.setblocking(False)
            source.bind((0, _GROUPS))
            self._loop.add_reader(source, self._read, source)

    def discard(self, tell: Callable[[], None]) -> None:
        self._told.discard(tell)
        if not self._told and self._source is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._source)
            self._source.close()
            self._source = None
            if self._settling is not None:
                self._settling.cancel()

    def _read(self, source: socket.socket) -> None:
        """Empty the socket: what the messages say is looked up afterwards."""
        try:
            while source.recv(65_536):
                pass
        except OSError:  # empty; or there were more than its buffer holds, which is news too
            pass
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE, self._tell)

    def _tell(self) -> None:
        for tell in tuple(self._told):
            tell()
