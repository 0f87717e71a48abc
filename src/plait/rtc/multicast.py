"""Questions by multicast DNS (RFC 6762). Loaded when the first `.local` name comes: it costs 5 MB."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from zeroconf import (  # type: ignore[attr-defined]  # the resolvers are public, and forgotten in its __all__
    AddressResolverIPv4,
    AddressResolverIPv6,
    DNSQuestionType,
    IPVersion,
    NotRunningException,
)
from zeroconf.asyncio import AsyncZeroconf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zeroconf import Zeroconf

# Three questions fit into it; whoever is on this network has answered by then.
_WITHIN_MS = 4000


async def resolve(name: str) -> str | None:
    """Ask this machine's networks who has a name; the first answer counts.

    Returns:
        An IPv4 address or one of IPv6 that is not link-local; None if nobody answered within 4 s.

    Raises:
        OSError: this machine has no network to ask on.
    """
    async with asking() as zeroconf:
        # A question a packet, and not both in one: Chromium leaves such packets unanswered.
        resolvers = AddressResolverIPv4(f"{name}."), AddressResolverIPv6(f"{name}.")
        asked = [
            asyncio.ensure_future(resolver.async_request(zeroconf, _WITHIN_MS, DNSQuestionType.QM))
            for resolver in resolvers
        ]
        try:
            for answered in asyncio.as_completed(asked):
                await answered
                for resolver in resolvers:
                    for address in resolver.parsed_addresses():
                        if not ipaddress.ip_address(address).is_link_local:
                            return address
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    return None


class Started:
    """Sockets of multicast DNS, whose start nobody interrupts: one that is cut off would leave them open.

    Args:
        instance: just made.
    """

    def __init__(self, instance: AsyncZeroconf) -> None:
        self.instance = instance
        self._starting = asyncio.ensure_future(instance.zeroconf.async_wait_for_start())

    async def ready(self) -> None:
        """Wait until it may be used.

        Raises:
            OSError: this machine has no network to ask on.
        """
        try:
            await asyncio.shield(self._starting)
        except NotRunningException as error:
            raise OSError("multicast DNS did not start") from error

    async def close(self) -> None:
        """Close the sockets, at once where this is cancelled (the loop ends)."""
        try:
            await asyncio.gather(self._starting, return_exceptions=True)
            await self.instance.async_close()
        finally:
            self.instance.zeroconf.engine.close()


@dataclass
class _Shared:
    started: Started
    users: int = 0


# One set of sockets for all connections of a loop, open only while somebody asks.
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


@contextlib.asynccontextmanager
async def asking() -> AsyncIterator[Zeroconf]:
    """Have the sockets to ask with: shared with whoever asks at the time.

    Raises:
        OSError: this machine has no network to ask on.
    """
    loop = asyncio.get_running_loop()
    if (shared := _open.get(loop)) is None:
        shared = _open[loop] = _Shared(Started(start()))
    shared.users += 1
    try:
        await shared.started.ready()
        yield shared.started.instance.zeroconf
    finally:
        shared.users -= 1
        if not shared.users:
            del _open[loop]
            await shared.started.close()


def start() -> AsyncZeroconf:
    """Open sockets of multicast DNS, for `Started`; raises `OSError` where there is no network."""
    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except OSError:
        # A machine without IPv6.
        return AsyncZeroconf(ip_version=IPVersion.V4Only)
