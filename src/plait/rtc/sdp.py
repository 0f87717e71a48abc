"""What is read from session descriptions here (RFC 8866); the engine reads the rest."""

from __future__ import annotations

import re
from typing import Final

_CODEC: Final = re.compile(r"a=rtpmap:\d+ ([^/\s]+)/")
_BESIDE: Final = frozenset({"rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "CN"})
"""Formats that carry no frames of their own (RFC 4588, RFC 2198, RFC 5109, RFC 8627, RFC 4733, RFC 3389)."""


def codecs(sdp: str) -> dict[str, tuple[str, ...]]:
    """Return the codecs of each media line by its `mid`, in its order; none of a line that is refused."""
    found: dict[str, tuple[str, ...]] = {}
    for section in re.split(r"^m=", sdp, flags=re.MULTILINE)[1:]:
        kind, port, *_ = section.split(maxsplit=2)
        mid = re.search(r"^a=mid:(\S+)", section, flags=re.MULTILINE)
        if mid is None or kind not in ("audio", "video"):
            continue
        names = dict.fromkeys(name for name in _CODEC.findall(section) if name not in _BESIDE)
        found[mid[1]] = tuple(names) if port != "0" else ()
    return found
