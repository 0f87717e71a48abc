"""What a thing keeps for life: its DTLS certificate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from plait.rtc import Certificate
from plait.thing.kept.folder import folder_of

if TYPE_CHECKING:
    from pathlib import Path


def certificate_of(thing_id: str, root: Path | None = None) -> Certificate:
    """Return the thing's certificate: its media identity, made once and kept readable by its user alone."""
    path = folder_of(thing_id, root) / "dtls.pem"
    try:
        return Certificate.from_pem(path.read_text())
    except FileNotFoundError:
        pass
    certificate = Certificate.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and moved: a certificate is whole or absent, and never readable by others.
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(certificate.pem)
    fresh.replace(path)
    return certificate
