"""H.264 access units as byte streams (ITU-T H.264, Annex B): what is in them, and their parameter sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = re.compile(b"\x00\x00\x01")
START_CODE: Final = b"\x00\x00\x00\x01"

IDR: Final = 5
SPS: Final = 7
PPS: Final = 8


def units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an access unit, without their start codes."""
    starts = [match.end() for match in _START.finditer(data)]
    for start, following in zip(starts, [*starts[1:], None], strict=False):
        if following is None:
            yield data[start:]
        else:
            # A zero before the next start code belongs to it (B.1.1: leading_zero_8bits, zero_byte).
            yield data[start : following - 3].rstrip(b"\x00")


def kinds(data: bytes) -> list[int]:
    """Return each unit's type, the low five bits of its first byte (7.3.1)."""
    return [data[match.end()] & 0x1F for match in _START.finditer(data) if match.end() < len(data)]


def disposable(data: bytes) -> bool:
    """Tell whether no other picture refers to this one: its first slice's nal_ref_idc is 0 (7.4.1)."""
    for match in _START.finditer(data):
        if match.end() < len(data) and 1 <= (header := data[match.end()]) & 0x1F <= IDR:
            return header & 0x60 == 0
    return False


def sets_in(data: bytes) -> bytes:
    """Return the SPS and PPS of a byte stream, as a byte stream."""
    return b"".join(START_CODE + unit for unit in units(data) if unit and unit[0] & 0x1F in {SPS, PPS})


def parameter_sets(extradata: bytes | None) -> bytes:
    """Return the SPS and PPS of a stream's extradata, as a byte stream; empty where it has none.

    Extradata is either a byte stream itself or an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
    """
    if not extradata or len(extradata) < 7:
        return b""
    if extradata[0] != 1:
        return sets_in(extradata)
    sets = b""
    at = 5
    for mask in (0x1F, 0xFF):  # the count of SPS has three reserved bits above it, that of PPS none
        if at >= len(extradata):
            break
        count = extradata[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            sets += START_CODE + extradata[at + 2 : at + 2 + size]
            at += 2 + size
    return sets


def profile(sets: bytes) -> str:
    """Return profile-level-id (RFC 6184, 8.1): six hex digits from the first SPS, or an empty string."""
    for unit in units(sets):
        if unit and unit[0] & 0x1F == SPS:
            return unit[1:4].hex()
    return ""
