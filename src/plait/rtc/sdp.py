"""What is read from session descriptions here (RFC 8866); the engine reads the rest."""

from __future__ import annotations

import re
from typing import Final

_CODEC: Final = re.compile(r"a=rtpmap:\d+ ([^/\s]+)/")
_UFRAG: Final = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
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


class FarUfrag:
    """The far end's ICE user name; another one in an offer restarts ICE (RFC 8839, section 4.4.1.1.1)."""

    def __init__(self) -> None:
        self._known = ""

    def note(self, sdp: str) -> None:
        """Take what a description says."""
        found = _UFRAG.search(sdp)
        self._known = self._known if found is None else found[1]

    def restarts(self, sdp: str) -> bool:
        """Take what an offer says, and return whether it restarts what was there before."""
        before = self._known
        self.note(sdp)
        return bool(before) and before != self._known


def fingerprints(sdp: str) -> frozenset[str]:
    """Return the certificates' fingerprints that a description names, as `sha-256 AB:CD:…` (RFC 8122)."""
    found = re.findall(r"^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)", sdp, flags=re.MULTILINE)
    return frozenset(f"{algorithm.lower()} {digest.upper()}" for algorithm, digest in found)
