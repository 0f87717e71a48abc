"""Whom a client trusts for https and wss: the system's authorities, a file, or a hub's pinned root."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROOT_PATH: Final = "/ca.crt"
"""Where a hub hands out its root."""

_PIN: Final = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
_FETCH_WITHIN_S: Final = 5.0
_LARGEST: Final = 64 << 10


class PinnedRoot:
    """A hub's root, known by its SHA-256: fetched from the hub the first time it is needed, and compared.

    Args:
        pin: `sha256:` and 64 hexadecimal digits, as `plait hub ca` prints it.
    """

    def __init__(self, pin: str) -> None:
        found = _PIN.fullmatch(pin.replace(":", "").replace("sha256", "sha256:", 1))
        if found is None:
            raise ValueError(f"Not a pin: {pin!r}; `plait hub ca` prints it, sha256: and 64 digits")
        self._digest = found[1].lower()
        self._context: ssl.SSLContext | None = None

    async def context(self, hub: str) -> ssl.SSLContext:
        """Return whom to trust at a hub.

        Raises:
            OSError: the hub cannot be reached, hands out no root, or (`ssl.SSLError`) another one's.
        """
        if self._context is None:
            der = await asyncio.to_thread(_fetch, hub)
            found = hashlib.sha256(der).hexdigest()
            if found != self._digest:
                told = f"The root of {hub} is not the one that is pinned; its SHA-256 is {found}"
                raise ssl.SSLCertVerificationError(1, told)
            self._context = ssl.create_default_context(cadata=der)
        return self._context


Trust = ssl.SSLContext | PinnedRoot


def trust(given: ssl.SSLContext | None, ca: str | os.PathLike[str] | None) -> Trust | None:
    """Return whom to trust; None for the system's authorities.

    Args:
        given: a context of the caller's own, taken as it is.
        ca: else a file with PEM certificates, or a pin, `sha256:…`; absent, that in `PLAIT_CA`.

    Raises:
        ValueError: the file cannot be read or holds no certificate, or a pin is none.
    """
    if given is not None:
        return given
    setting = str(ca or os.environ.get("PLAIT_CA") or "")
    if not setting:
        return None
    if setting.lower().startswith("sha256:"):
        return PinnedRoot(setting)
    try:
        return ssl.create_default_context(cadata=Path(setting).read_text("ascii", "replace"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{setting} holds no PEM certificates to trust: {error}") from error


def _fetch(hub: str) -> bytes:
    """Return the root that a hub hands out, DER; over plain HTTP, since the pin says whether it is right."""
    parts = urlsplit(hub)
    connection = HTTPConnection(parts.hostname or "", parts.port or 443, timeout=_FETCH_WITHIN_S)
    try:
        connection.request("GET", ROOT_PATH)
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise OSError(f"{hub} hands out no root ({answer.status}): its certificate is not its own")
        return ssl.PEM_cert_to_DER_cert(answer.read(_LARGEST).decode("ascii", "replace"))
    except (HTTPException, ValueError) as error:
        raise OSError(f"{hub} hands out no root: {error}") from error
    finally:
        connection.close()
