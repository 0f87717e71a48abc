"""H.264 profiles of an offer: whether a viewer plays a stream that is passed through to it."""

from __future__ import annotations

import re
from typing import Final

_FORMAT = re.compile(r"^a=fmtp:(\d+) .*?profile-level-id=([0-9a-f]{6})", re.IGNORECASE | re.MULTILINE)
_H264 = re.compile(r"^a=rtpmap:(\d+) H264/90000", re.IGNORECASE | re.MULTILINE)

NAMES: Final = {0x42: "Baseline", 0x4D: "Main", 0x58: "Extended", 0x64: "High"}
"""profile_idc (ITU-T H.264, A.2) of the profiles that browsers offer."""


def offered(sdp: str) -> set[str]:
    """Return the profile-level-ids of the H.264 formats in a description (RFC 6184, 8.1), lower case."""
    payloads = set(_H264.findall(sdp))
    formats = {payload: level.lower() for payload, level in _FORMAT.findall(sdp)}
    # RFC 6184, 8.1: without the parameter, Baseline at level 1 is meant.
    return {formats.get(payload, "42000a") for payload in payloads}


def plays(viewer: set[str], stream: str) -> bool:
    """Tell whether a viewer that offers these plays a stream of profile-level-id `stream`.

    Levels are left out: browsers offer 3.1 and decode what their decoder can. A higher profile's decoder
    plays the lower ones that browsers know: Constrained Baseline is a subset of Main, and Main of High.
    """
    if not stream:
        return bool(viewer)
    return any(int(one[:2], 16) >= int(stream[:2], 16) for one in viewer)


def name(stream: str) -> str:
    """Return a profile's name for people."""
    return NAMES.get(int(stream[:2], 16), stream) if stream else "H.264"
