"""The hub's own STUN and TURN server: native, on by default, on the UDP port of the TCP port's number."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait import _native
from plait.hub.turn.credentials import Signer, part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.hub.contracts import Client
    from plait.hub.settings import Settings

REALM: Final = "plait"

TRIES: Final = 3
"""Free ports that are tried, each of which another program may take in between."""

# RFC 9110, section 7.2: what a Host header may be, as far as an RFC 7065 URL may hold it.
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


class OwnServer:
    """Relays for the calls and links of this hub; nobody else gets any.

    Clients find it where they found the hub, by their Host header, so that nobody has to configure a name.

    Args:
        settings: see there.
        listen: IP addresses and UDP ports.
        tls: whether the door has TLS.
        authority: what vouches for its certificate, PEM; empty where the world's authorities do.

    Attributes:
        native: for the door, which hands it the connections that speak STUN or TURN.

    Raises:
        OSError: an address or a port is not to be had.
    """

    def __init__(
        self,
        settings: Settings,
        listen: Sequence[tuple[str, int]],
        *,
        tls: Callable[[], bool],
        authority: Callable[[], str] = str,
    ) -> None:
        secret = secrets.token_bytes(32)  # of this run: its relays end with it
        self._signer = Signer(secret, settings.turn_lifetime)
        self.native = _native.TurnServer(
            listen,
            secret=secret,
            realm=REALM,
            relay_ports=settings.turn_relay_ports,
            published=[_pair(text) for text in settings.turn_published],
            allow=settings.turn_allow,
            max_allocations=settings.turn_max_allocations,
            max_rate=settings.turn_max_rate,
            public_port=settings.turn_public_port or 0,
        )
        self._port = settings.turn_public_port or self.native.addresses[0][1]
        self._tls = tls
        self._authority = authority
        self._calls: set[str] = set()
        self._keeping: asyncio.TimerHandle | None = None

    def given(self, call: str, thing: str, end: Client) -> list[dict[str, Any]]:
        """Return it under the name by which this end reached the hub; nothing where that is no name."""
        urls = self._urls(end.authority)
        if not urls:
            return []
        self._calls.add(call)
        self._keep()
        username, credential = self._signer.credential(call, str(end.principal), thing)
        server = {"urls": urls, "username": username, "credential": credential}
        return [server | ({"authorities": pem} if (pem := self._authority()) else {})]

    def permit(self, call: str, end: Client, address: str, port: int) -> None:
        """Let relays of this end of the call send to that address, unless it is one that nobody may reach."""
        with suppress(RuntimeError):  # it has ended: calls go on without relays
            self.native.permit(call, part(str(end.principal)), address, port)

    def end_call(self, call: str) -> None:
        """End the relays of this call, and take its credentials no more."""
        if call in self._calls:
            self._calls.discard(call)
            with suppress(RuntimeError):  # as above
                self.native.revoke(call)

    def counters(self) -> dict[str, int]:
        """Return what it has done, by name (`turn_metrics`)."""
        return self.native.counters()

    def close(self) -> None:
        """End it, and all relays."""
        if self._keeping is not None:
            self._keeping.cancel()
        self.native.close()

    def _keep(self) -> None:
        """Have the credentials of the calls that are open count on, for as long as the hub says so."""
        until = time.time() + self._signer.lifetime
        with suppress(RuntimeError):  # as above
            for call in self._calls:
                self.native.keep(call, until)
        if self._keeping is not None:
            self._keeping.cancel()
        wait = self._signer.lifetime / 2
        loop = asyncio.get_running_loop()
        self._keeping = loop.call_later(wait, self._keep) if self._calls else None

    def _urls(self, authority: str) -> list[str]:
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return []
        host, tls = found["host"], self._tls()
        port = int(found["port"] or (443 if tls else 80))
        urls = [f"stun:{host}:{self._port}", f"turn:{host}:{self._port}?transport=udp"]
        urls.append(f"turn:{host}:{port}?transport=tcp")
        return [*urls, f"turns:{host}:{port}?transport=tcp"] if tls else urls


async def started(
    settings: Settings, *, tls: Callable[[], bool], authority: Callable[[], str]
) -> OwnServer | None:
    """Start the hub's own server where the settings have it.

    Raises:
        OSError: its port is not to be had; the message says which, and how to choose another.
    """
    if not settings.turn:
        return None
    port = settings.port if settings.turn_port is None else settings.turn_port
    found = await _addresses(settings.host, port)
    for left in reversed(range(TRIES)):
        number = port or _free_port(found[0])
        listen = [(address, number) for address in found]
        try:
            return OwnServer(settings, listen, tls=tls, authority=authority)
        except OSError as error:
            if port or not left:
                cause = f"STUN and TURN: {error.strerror or error}; PLAIT_TURN_PORT chooses another port"
                raise OSError(error.errno, cause) from error
    return None


async def _addresses(host: str, port: int) -> list[str]:
    """Return the IP addresses of a hub at this host, as its door has them."""
    if not host:
        return ["0.0.0.0", "::"]  # noqa: S104 - every address of this machine, as asked for
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    every = list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))
    # A name such as localhost may have an address of IPv6 on a machine without it.
    return [address for address in every if _is_here(address)] or every


def _is_here(address: str) -> bool:
    try:
        _free_port(address)
    except OSError:
        return False
    return True


def _free_port(address: str) -> int:
    """Return a port that is free at this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _pair(text: str) -> tuple[str, str]:
    """Return (address here, address that the world sees); one alone is for all of its family."""
    here, _, outside = text.rpartition("=")
    return here.strip() or ("::" if ":" in outside else "0.0.0.0"), outside.strip()  # noqa: S104 - any
