"""STUN and TURN servers: their URLs taken apart (RFC 7064, RFC 7065), their names resolved."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.rtc.ice import IceServer

# RFC 7064 section 3.1 and RFC 7065 section 3.1; the host as in RFC 3986.
_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._~%!$&'()*+,;=-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>[A-Za-z0-9._~-]+))?",
    re.IGNORECASE,
)
_PORT = 3478
_TLS_PORT = 5349
# What a name server may take; the kernel's own limits are far longer.
_RESOLVE_WITHIN = 10.0

Transport = Literal["", "udp", "tcp", "tls"]


@dataclass(frozen=True)
class Server:
    """One URL of an `IceServer`.

    Attributes:
        transport: to a TURN server; empty for a STUN server.
    """

    url: str
    host: str
    port: int
    transport: Transport
    config: IceServer

    async def addresses(self) -> list[tuple[str, int]]:
        """Resolve the name to at most one address of each family.

        Raises:
            OSError: it has none, or none was found in time.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_RESOLVE_WITHIN):
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        first: dict[int, tuple[str, int]] = {}
        for family, _, _, _, address in found:
            if family in (socket.AF_INET, socket.AF_INET6):
                first.setdefault(family, (str(address[0]), self.port))
        return list(first.values())


def read(servers: Sequence[IceServer]) -> list[Server]:
    """Take the URLs of all servers apart.

    `stuns:` URLs are left out: a STUN server behind TLS tells the address of that stream, which is none of
    a UDP socket's.

    Raises:
        ValueError: a URL is not of the forms of RFC 7064 and RFC 7065, or a TURN server lacks its
            credentials; the message names the URL.
    """
    found = []
    for config in servers:
        for url in (config.urls,) if isinstance(config.urls, str) else config.urls:
            server = _read(url, config)
            if server is not None:
                found.append(server)
    return found


def _read(url: str, config: IceServer) -> Server | None:
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"not the URL of a STUN or TURN server: {url!r}")
    scheme = match["scheme"].lower()
    port = int(match["port"] or (_TLS_PORT if scheme.endswith("s") else _PORT))
    if not 0 < port <= 0xFFFF:
        raise ValueError(f"not a port: {url!r}")
    host = match["ipv6"] or match["host"]
    wanted = (match["transport"] or "").lower()
    if scheme.startswith("stun"):
        if wanted:
            raise ValueError(f"a STUN server's URL has no transport: {url!r}")
        return Server(url, host, port, "", config) if scheme == "stun" else None
    if wanted not in ("", "udp", "tcp"):
        raise ValueError(f"not a transport to a TURN server: {url!r}")
    if scheme == "turns" and wanted == "udp":
        raise ValueError(f"TURN over DTLS is not supported: {url!r}")
    if not config.username or not config.credential:
        raise ValueError(f"a TURN server needs a username and a credential: {url!r}")
    transport: Transport = "tls" if scheme == "turns" else "tcp" if wanted == "tcp" else "udp"
    return Server(url, host, port, transport, config)
