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
    async with _asking() as zeroconf:
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


@dataclass
class _Shared:
    instance: AsyncZeroconf
    users: int = 0


# One set of sockets for all connections of a loop, open only while somebody asks.
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


@contextlib.asynccontextmanager
async def _asking() -> AsyncIterator[Zeroconf]:
    loop = asyncio.get_running_loop()
    if (shared := _open.get(loop)) is None:
        shared = _open[loop] = _Shared(_start())
    shared.users += 1
    try:
        yield shared.instance.zeroconf
    finally:
        shared.users -= 1
        if not shared.users:
            del _open[loop]
            await shared.instance.async_close()


def _start() -> AsyncZeroconf:
    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except OSError:
        # A machine without IPv6.
        return AsyncZeroconf(ip_version=IPVersion.V4Only)
