"""Which source of certificates the settings ask for."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from plait.hub.tls.sources import Files, Local

if TYPE_CHECKING:
    from pathlib import Path

    from plait.hub.settings import Settings
    from plait.hub.tls.sources import Source

FOLDER: Final = "tls"
"""The local authority's folder, inside the hub's data folder."""


def authority_folder(data: Path) -> Path:
    """Return where the local authority of a hub with this data folder is, or would be."""
    return data / FOLDER


def choose(settings: Settings) -> Source | None:
    """Return where the hub's certificate comes from; None where it has no TLS.

    Raises:
        OSError, ValueError: that cannot be, and why.
    """
    mode = settings.tls
    given = (settings.tls_cert, settings.tls_key)
    if mode == "auto":
        mode = "files" if any(given) else "off" if is_loopback(settings.host) else "local"
    if mode == "files":
        chain, key = given
        if chain is None or key is None:
            raise ValueError("TLS by files needs both tls_cert, the certificate chain, and tls_key, its key")
        return Files(chain, key)
    if any(given):
        raise ValueError(f"a certificate is given, but tls is {mode!r}")
    if mode == "off":
        return None
    # ACME's names are not the local authority's affair: its certificate stands in, trusted or not.
    named = settings.tls_names if mode == "local" else ()
    local = Local(authority_folder(settings.data), settings.host, named)
    if mode == "local":
        return local
    from plait.hub.tls.acme import Acme  # noqa: PLC0415 - and an HTTP client, which other hubs do without

    return Acme(
        settings.data / "acme",
        settings.tls_names,
        directory=settings.acme_directory,
        email=settings.acme_email,
        trusted=settings.acme_ca,
        meanwhile=local,
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a hub that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3
