"""IPv6: has this machine an address of it that others can reach, and does it lead anywhere?"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from plait.doctor.finding import passed, warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.doctor.finding import Finding

_OUTSIDE: Final = "2001:4860:4860::8888"
"""A public address: the kernel is asked for the way to it; nothing is sent."""

_ADVICE: Final = "switch IPv6 on in the router: between two networks that have it, no NAT is in the way"


def address() -> str:
    """Return the address from which this machine reaches the IPv6 internet; empty where it does not."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_OUTSIDE, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def verdict(own: str, *, answered: bool, asked: bool, hub: Sequence[str] = ()) -> Finding:
    """Say what IPv6 is worth here.

    Args:
        own: from `address`.
        answered: a server answered over it.
        asked: one was asked.
        hub: the hub's addresses that took a TCP connection.
    """
    reached = answered or any(":" in each for each in hub)
    figures = {"address": own, "answered": reached}
    if not own:
        return warned("IPv6", "this machine has no address of it", advice=_ADVICE, figures=figures)
    kind = ipaddress.ip_address(own)
    if kind.is_private and not reached:
        said = f"only an address of the own network: {own}"
        return warned("IPv6", said, advice=_ADVICE, figures=figures)
    if reached:
        return passed("IPv6", f"{own}, and it leads out", figures=figures)
    if asked:
        return warned(
            "IPv6",
            f"{own}, but nobody answered over it",
            advice="the servers may have none, or the network does not route it: try ping -6",
            figures=figures,
        )
    return passed("IPv6", f"{own}; no server has an address to try it with", figures=figures)
