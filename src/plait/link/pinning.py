"""What two things know of each other beside what the hub says: certificates, and a way to ring without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.rtc import Certificate

Ring = Callable[[dict[str, Any]], Awaitable[str]]
"""Takes an offer to the far end without the hub, and returns the SDP of its answer.

It raises `OSError` where the far end is not found, and what it answers instead: `LinkLost`, `Forbidden`.
"""


@dataclass(frozen=True, slots=True)
class Pinned:
    """How an end of a link proves itself, and what it takes for the other.

    Attributes:
        certificate: shown in DTLS.
        far: the fingerprint of the certificate that the far end must show, as SDP writes it.
        ring: where the far end may be found without the hub.
    """

    certificate: Certificate
    far: str
    ring: Ring | None = None
