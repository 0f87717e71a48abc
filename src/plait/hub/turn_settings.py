"""What can be set about STUN and TURN: a part of `plait.hub.settings.Settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

# RFC 7065, section 3.1, with the host as RFC 3986 has it.
_TURN_URL: Final = re.compile(
    r"turns?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(\?transport=(udp|tcp))?", re.IGNORECASE
)


def _turn_url(url: str) -> str:
    if not _TURN_URL.fullmatch(url):
        raise ValueError(f"not the URL of a TURN server, such as turn:turn.example.org:3478: {url!r}")
    return url


class TurnSettings(BaseSettings):
    """What can be set about STUN and TURN; `docs/turn.md` tells of it.

    Attributes:
        turn_lifetime: seconds for which credentials can make a relay.
        turn_urls: TURN servers that share `turn_secret` with the hub, such as coturn
            with `use-auth-secret`.
        turn_secret, turn_secret_file: that secret, or the file that holds it.
    """

    turn_lifetime: float = Field(default=600.0, ge=10, le=86_400)
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
