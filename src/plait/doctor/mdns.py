"""Multicast DNS (RFC 6762), by which browsers on the own network hide and find addresses."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from plait.doctor.finding import passed, warned

if TYPE_CHECKING:
    from plait.doctor.finding import Finding

WITHIN: Final = 3.0
"""Seconds for a name of our own to come back to us."""

LISTEN: Final = 1.5
"""Seconds in which others on the network may say what they offer."""

_TYPE: Final = "_plait-doctor._tcp.local."


@dataclass
class Heard:
    """What was heard.

    Attributes:
        own: a name that we told was found by asking the network for it.
        others: how many other kinds of services somebody on the network offers.
        why: what stood in the way.
    """

    own: bool = False
    others: int = 0
    why: str = ""


async def listen() -> Heard:
    """Tell a name, ask for it over the network, and listen who else is there."""
    # It takes a tenth of a second to load.
    zeroconf: Any = await asyncio.to_thread(__import__, "zeroconf.asyncio")
    from plait.rtc import multicast  # noqa: PLC0415 - it loads zeroconf

    heard = Heard()
    label = f"plait-doctor-{secrets.token_hex(4)}"
    address = await asyncio.to_thread(_address)
    info = zeroconf.asyncio.AsyncServiceInfo(
        _TYPE, f"{label}.{_TYPE}", port=9, server=f"{label}.local.", parsed_addresses=[address]
    )
    try:
        teller = zeroconf.asyncio.AsyncZeroconf(ip_version=zeroconf.IPVersion.V4Only)
        started = multicast.Started(teller)
    except OSError as error:
        heard.why = str(error)
        return heard
    others: asyncio.Task[tuple[str, ...]] | None = None
    try:
        await started.ready()
        await (await teller.async_register_service(info))
        others = asyncio.create_task(
            zeroconf.asyncio.AsyncZeroconfServiceTypes.async_find(aiozc=teller, timeout=LISTEN)
        )
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(WITHIN):
                heard.own = await multicast.resolve(f"{label}.local") == address
        with suppress(OSError):
            heard.others = len([kind for kind in await others if kind != _TYPE])
    except OSError as error:
        heard.why = str(error)
    finally:
        if others is not None:
            others.cancel()
            await asyncio.gather(others, return_exceptions=True)
        await started.close()
    return heard


def _address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("224.0.0.251", 5353))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def verdict(heard: Heard) -> Finding:
    """Say whether names like a browser's can be found here."""
    figures = {"own": heard.own, "others": heard.others}
    if heard.own:
        more = f"; {heard.others} kinds of services are told on this network" if heard.others else ""
        return passed("mDNS", f"names are told and found{more}", figures=figures)
    why = f" ({heard.why})" if heard.why else ""
    return warned(
        "mDNS",
        f"a name told on this network is not found on it{why}",
        advice="let multicast to 224.0.0.251 port 5353 through in this machine's firewall, and switch the "
        "access point's client isolation off; until then browsers are reached by what they send first",
        figures=figures,
    )
