"""Cameras: do the ones of this machine, or a given source, open, and do browsers play what they give?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plait.doctor.finding import failed, passed, skipped

if TYPE_CHECKING:
    from plait.doctor.finding import Finding

WITHIN: Final = 10.0
"""Seconds that a source has to open: a little more than it gives up after by itself."""

_CLASS: Final = Path("/sys/class/video4linux")

_ADVICE: Final = {
    "SourceMissing": "look at its name: ls /dev/video*",
    "SourceForbidden": "let this user open it: sudo usermod -aG video $USER, then log in anew",
    "NotAVideo": "it has another use: try the device's next number, or another source",
    "SourceBusy": "end the other program: sudo fuser -v shows which",
    "SourceUnreachable": "look at the address, the camera's power, and its user and password",
    "SourceBroken": "plug it in again, and look at dmesg",
}


def devices(folder: Path = _CLASS) -> list[str]:
    """Return the capture devices of this machine: of each camera its first node, the others are metadata."""
    found = []
    for entry in sorted(folder.glob("video*")):
        try:
            first = (entry / "index").read_text(encoding="ascii").strip() == "0"
        except OSError:
            continue
        if first:
            found.append(f"/dev/{entry.name}")
    return found


async def look(source: str | None) -> list[Finding]:
    """Open the source given, or every camera of this machine."""
    named = [source] if source else devices()
    if not named:
        return [skipped("camera", "this machine has none; --camera SOURCE looks at another")]
    return list(await asyncio.gather(*(_one(each) for each in named)))


async def _one(source: str) -> Finding:
    try:
        from plait.media import Source, SourceError  # noqa: PLC0415 - an extra
        from plait.media.profiles import name as profile_name  # noqa: PLC0415 - as above
    except ImportError:
        return skipped(
            "camera",
            f"{source} is not looked at: PyAV is not installed",
            advice="pip install 'plait[media]'",
        )
    try:
        opened = Source(source)
        async with asyncio.timeout(WITHIN):
            info = await asyncio.to_thread(opened.look)
    except SourceError as error:
        advice = _ADVICE.get(type(error).__name__, "try it with plait camera --source")
        return failed("camera", str(error), advice=advice)
    except TimeoutError:
        return failed(
            "camera",
            f"{source} did not open in {WITHIN:g} s",
            advice=_ADVICE["SourceUnreachable"],
        )
    profile = f" {profile_name(info.profile)}" if info.codec == "H264" and info.profile else ""
    rate = f" at {info.rate:g}/s" if info.rate else ""
    said = f"{opened.location}: {info.width} x {info.height}{rate}, {info.codec}{profile}"
    figures = {
        "width": info.width,
        "height": info.height,
        "rate": info.rate,
        "codec": info.codec,
        "profile": info.profile,
        "passthrough": info.passthrough,
        "audio": info.audio,
    }
    if info.passthrough:
        return passed("camera", f"{said}, which browsers play as it is", figures=figures)
    return passed(
        "camera",
        f"{said}, encoded here, since browsers do not play what it gives",
        advice="a source that gives H.264 without B-frames costs this machine nothing",
        figures=figures,
    )
