"""What can be set about STUN and TURN: a part of `plait.hub.settings.Settings`."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode

# RFC 7065, section 3.1, with the host as RFC 3986 has it.
_TURN_URL: Final = re.compile(
    r"turns?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(\?transport=(udp|tcp))?", re.IGNORECASE
)


def _turn_url(url: str) -> str:
    if not _TURN_URL.fullmatch(url):
        raise ValueError(f"not the URL of a TURN server, such as turn:turn.example.org:3478: {url!r}")
    return url


def _ports(text: Any) -> Any:
    """Read `50000-50099`; one port is a range, too."""
    if not isinstance(text, str):
        return text
    first, _, last = text.partition("-")
    if not (first.strip().isdecimal() and (last or first).strip().isdecimal()):
        raise ValueError(f"not a range of ports, such as 50000-50099: {text!r}")
    return int(first), int(last or first)


def _in_order(ports: tuple[int, int]) -> tuple[int, int]:
    if ports != (0, 0) and not 0 < ports[0] <= ports[1] < 1 << 16:
        raise ValueError(f"not a range of ports: {ports[0]}-{ports[1]}")
    return ports


def _published(text: str) -> str:
    """Check `ADDRESS` or `ADDRESS=PUBLISHED`; whether they are addresses, and of one family."""
    addresses = [ipaddress.ip_address(each.strip()) for each in text.split("=", 1)]
    if len({address.version for address in addresses}) > 1:
        raise ValueError(f"not two addresses of one family: {text!r}")
    return text


def _subnet(text: str) -> str:
    return str(ipaddress.ip_network(text.strip()))


PortRange = Annotated[tuple[int, int], NoDecode, BeforeValidator(_ports), AfterValidator(_in_order)]


class TurnSettings(BaseSettings):
    """What can be set about STUN and TURN; `docs/turn.md` tells of it.

    Attributes:
        turn: whether the hub runs its own STUN and TURN server.
        turn_port: its UDP port; by default that of the same number as `port`. 0 takes a free one.
        turn_public_port: the UDP port that clients are told, where a NAT or a container has another outside.
        turn_relay_ports: UDP ports for relays, `first-last`; by default whichever are free.
        turn_published: the address that the world sees, behind 1:1 NAT or in a container; for one of several
            of this machine, `address-here=address-outside`.
        turn_allow: subnets (CIDR) to which anybody's relay may send, though they are private.
        turn_max_allocations: relays that one user, or one thing, may have at a time.
        turn_max_rate: bytes a second, both ways together, of all relays of one user; 0: no limit.
        turn_lifetime: seconds for which credentials can make a relay.
        turn_urls: TURN servers beside or instead of it that share `turn_secret` with the hub, such as coturn
            with `use-auth-secret`.
        turn_secret, turn_secret_file: that secret, or the file that holds it.
    """

    turn: bool = True
    turn_port: int | None = Field(default=None, ge=0, le=65535)
    turn_public_port: int | None = Field(default=None, ge=1, le=65535)
    turn_relay_ports: PortRange = (0, 0)
    turn_published: list[Annotated[str, AfterValidator(_published)]] = []
    turn_allow: list[Annotated[str, AfterValidator(_subnet)]] = []
    turn_max_allocations: int = Field(default=64, ge=1)
    turn_max_rate: int = Field(default=25_000_000, ge=0)
    turn_lifetime: float = Field(default=600.0, ge=1, le=86_400)
    turn_urls: list[Annotated[str, AfterValidator(_turn_url)]] = []
    turn_secret: SecretStr | None = None
    turn_secret_file: Path | None = None

    @model_validator(mode="after")
    def _with_secret(self) -> Self:
        if self.turn_secret is not None and self.turn_secret_file is not None:
            raise ValueError("give turn_secret or turn_secret_file, not both")
        if self.turn_urls and self.turn_secret is None and self.turn_secret_file is None:
            raise ValueError("turn_urls need turn_secret or turn_secret_file, which that server knows, too")
        return self

    def shared_secret(self) -> bytes:
        """Return the secret that is shared with the servers of `turn_urls`.

        Raises:
            OSError: its file cannot be read.
            ValueError: it is empty.
        """
        if self.turn_secret_file is not None:
            secret = self.turn_secret_file.read_text().strip()
        else:
            secret = "" if self.turn_secret is None else self.turn_secret.get_secret_value()
        if not secret:
            raise ValueError(f"there is no secret in {self.turn_secret_file or 'turn_secret'}")
        return secret.encode()
