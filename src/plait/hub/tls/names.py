"""Under which names and addresses a hub is reached."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final

import ifaddr

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Name = str | Address

HOUSE: Final = (
    *("localhost", "local"),  # RFC 6761, RFC 6762
    *("home.arpa", "internal"),  # RFC 8375; reserved by ICANN in 2024
    *("lan", "home", "localdomain", "fritz.box"),  # what routers call their networks
)
"""Domains that exist inside a house only."""

PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1122, RFC 1918
        *("169.254.0.0/16", "100.64.0.0/10"),  # RFC 3927; RFC 6598, where Tailscale's addresses are too
        *("::1/128", "fc00::/7", "fe80::/10"),  # RFC 4291, RFC 4193
    )
)
"""Networks whose addresses mean something else in each house."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_EVERY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - a setting is compared with it


def parse(text: str) -> Name:
    """Return an address where the text is one (without its zone), else a host name in lower case and IDNA.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip().removeprefix("[").removesuffix("]").partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:
        name = text.lower() if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        name = ""
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"neither a host name nor an address: {text!r}")
    return name


def is_private(name: Name) -> bool:
    """Return whether a name or an address means something inside a house only."""
    if isinstance(name, str):
        return any(name == domain or name.endswith("." + domain) for domain in HOUSE)
    return any(name in network for network in PRIVATE)


def of_machine(host: str) -> list[Name]:
    """Return what a hub that listens on `host` is called and where it is, as far as this machine knows.

    Link-local addresses of IPv6 are left out: no URL can hold one, for want of a zone.
    """
    found: list[Name] = ["localhost", *_own_names()]
    if host in _EVERY:
        found += [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
        found += _addresses()
    else:
        found.append(parse(host))
        if isinstance(found[-1], str):
            found += _resolved(host)
    return list(dict.fromkeys(found))


def _own_names() -> Iterable[str]:
    try:
        whole = parse(socket.gethostname())
    except ValueError:
        return
    if not isinstance(whole, str) or whole == "localhost":
        return
    bare, _, domain = whole.partition(".")
    yield f"{bare}.local"
    if domain:
        yield whole
    elif re.search(r"[\d-]", bare):
        # Letters alone might be a top-level domain, and "dev" vouched for is the whole of .dev.
        yield bare


def _addresses() -> Iterable[Address]:
    for adapter in ifaddr.get_adapters():
        for found in adapter.ips:
            address = ipaddress.ip_address(found.ip if isinstance(found.ip, str) else found.ip[0])
            if not (address.version == 6 and address.is_link_local):
                yield address


def _resolved(host: str) -> list[Name]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []  # the door will say so
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
