"""Finding a paired thing on the own network by a name, while no hub can say where it is.

DNS-SD over multicast DNS (RFC 6762, RFC 6763; `docs/protocol.md`, section 6). The name follows from the
certificate that the pairing names, so that whoever has the permission knows it. What answers is believed no
more than any other doorbell: the permission, and DTLS, say who it is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from plait.transport import network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

KIND: Final = "_plait._tcp.local."
"""The service type of doorbells."""

AWAY_FOR: Final = 2.0
"""Seconds without the hub after which a thing says where it is: mostly the hub is back before."""

AGAIN: Final = 30.0
"""Seconds until another try, where there was no network to say it on."""

WITHIN: Final = 4.0
"""Seconds for an answer; three questions fit into it."""

log = logging.getLogger("plait.thing")


def name_of(fingerprint: str) -> str:
    """Return the name of the thing with this certificate: `plait-` and the half of its SHA-256.

    Args:
        fingerprint: as SDP writes it: `sha-256 AB:CD:…`.
    """
    return "plait-" + fingerprint.partition(" ")[2].replace(":", "").lower()[:32]


async def find(fingerprint: str) -> list[str]:
    """Ask this machine's networks for a thing; return where its doorbell is, as `HOST:PORT`.

    Raises:
        OSError: nobody answers, or there is no network to ask on.
    """
    multicast, zeroconf = await _load()
    info = zeroconf.AsyncServiceInfo(KIND, f"{name_of(fingerprint)}.{KIND}")
    async with multicast.asking() as asked:
        found = await info.async_request(asked, WITHIN * 1000)
    if not found or info.port is None:
        raise OSError(f"nobody on this network is {name_of(fingerprint)}")
    addresses = [ipaddress.ip_address(each.partition("%")[0]) for each in info.parsed_scoped_addresses()]
    return [
        f"{each}:{info.port}" if each.version == 4 else f"[{each}]:{info.port}"
        for each in addresses
        if not each.is_link_local
    ]


class Announced:
    """Says where a thing's doorbell is, for as long as its hub is away.

    Args:
        fingerprint: of the thing's certificate.
        addresses: where the doorbell is now, as `HOST:PORT`.
    """

    def __init__(self, fingerprint: str, addresses: Callable[[], Sequence[str]]) -> None:
        self._fingerprint = fingerprint
        self._addresses = addresses
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Say it from soon on, and after each change of this machine's addresses. Again does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"announcing {name_of(self._fingerprint)}")

    def end(self) -> None:
        """Say that it is there no more."""
        if self._task is not None:
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    async def close(self) -> None:
        """End it, and wait until that is said."""
        self.end()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _run(self) -> None:
        await asyncio.sleep(AWAY_FOR)
        changed = asyncio.Event()
        unwatch = network.on_change(changed.set)
        try:
            while True:
                changed.clear()
                try:
                    async with _announced(self._fingerprint, self._addresses()):
                        await changed.wait()
                except OSError as error:
                    log.info("it cannot be said on this network where we are: %s", error)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), AGAIN)
        finally:
            unwatch()


@asynccontextmanager
async def _announced(fingerprint: str, addresses: Sequence[str]) -> AsyncIterator[None]:
    multicast, zeroconf = await _load()
    hosts = [address.rpartition(":")[0].strip("[]") for address in addresses]
    abroad = [host for host in hosts if not ipaddress.ip_address(host).is_loopback]
    name = name_of(fingerprint)
    info = zeroconf.AsyncServiceInfo(
        KIND,
        f"{name}.{KIND}",
        port=int(addresses[0].rpartition(":")[2]),
        server=f"{name}.local.",
        parsed_addresses=abroad or hosts,
    )
    started = multicast.Started(multicast.start())
    try:
        await started.ready()
        # Whoever has this name is we ourselves, or lies: nobody is asked whether it is free.
        await (await started.instance.async_register_service(info, cooperating_responders=True))
        yield
    finally:
        await started.close()


async def _load() -> tuple[Any, Any]:
    """Return what speaks multicast DNS: it takes a tenth of a second to load, and 5 MB."""
    multicast = await asyncio.to_thread(__import__, "plait.rtc.multicast", fromlist=["multicast"])
    return multicast, await asyncio.to_thread(__import__, "zeroconf.asyncio", fromlist=["asyncio"])
