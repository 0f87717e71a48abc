"""Compression of single messages: permessage-deflate (RFC 7692), each message by itself.

A description (SDP) is four packets long, and one or two when it is deflated: on a way that loses, it is
late a third as often. Only what is longer than a packet is deflated, and nothing so long that it would cost
much. Both ends keep no window between messages, so an idle connection holds no memory for it; browsers,
which would deflate every small message and keep one, are not given it.
"""

from __future__ import annotations

import zlib
from typing import Final

OFFER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""What a client of ours offers, and the hub answers, in `Sec-WebSocket-Extensions`."""

SHORTEST: Final = 1200
LONGEST: Final = 16 << 10
"""Bytes of a message that is deflated."""

_RAW: Final = -zlib.MAX_WBITS
_END: Final = b"\x00\x00\xff\xff"
"""What ends a flush, and is not sent (section 7.2.1)."""
_FASTEST: Final = 1


def offered(header: str) -> bool:
    """Return whether a `Sec-WebSocket-Extensions` header has it as `OFFER` does: no window is kept."""
    wanted = _members(OFFER)
    return any(_members(extension) == wanted for extension in header.split(","))


def _members(extension: str) -> frozenset[str]:
    return frozenset(member.strip().lower() for member in extension.split(";"))


def worth(data: bytes) -> bool:
    """Return whether a message is deflated."""
    return SHORTEST <= len(data) <= LONGEST


def deflate(data: bytes) -> bytes:
    """Return a message's deflated payload."""
    deflating = zlib.compressobj(_FASTEST, zlib.DEFLATED, _RAW)
    return (deflating.compress(data) + deflating.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_END)


def inflate(payload: bytes, most: int) -> bytes | None:
    """Return the message of a deflated payload; None where it is longer than `most` bytes.

    Raises:
        ValueError: it is not deflated.
    """
    inflating = zlib.decompressobj(_RAW)
    try:
        data = inflating.decompress(payload + _END, most + 1)
    except zlib.error as error:
        raise ValueError(f"not deflated: {error}") from error
    return data if len(data) <= most else None
