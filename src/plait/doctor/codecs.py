"""Codecs: which ones the engine carries, and which this machine can make."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final

from plait.doctor.finding import Finding, skipped
from plait.rtc import NegotiationError, PeerConnection

CARRIED: Final = ("H264", "VP8", "VP9", "H265", "AV1", "opus", "PCMU", "PCMA")
_NEEDED: Final = ("H264", "VP8", "opus")
_ENCODERS: Final = ("libx264", "h264_v4l2m2m", "h264_vaapi", "libopus")


@dataclass(frozen=True)
class Codecs:
    """What there is.

    Attributes:
        carried: the codecs that the engine negotiates.
        encoders: FFmpeg's that PyAV has here; None without PyAV.
    """

    carried: tuple[str, ...]
    encoders: tuple[str, ...] | None


async def look() -> Codecs:
    """Offer every codec to nobody, and see which PyAV can make."""
    carried = []
    for codec in CARRIED:
        kind = "audio" if codec in ("opus", "PCMU", "PCMA") else "video"
        async with PeerConnection(codecs=[codec]) as peer:
            peer.add_transceiver("audio" if kind == "audio" else "video", direction="recvonly")
            try:
                if f" {codec}/".lower() in (await peer.create_offer()).sdp.lower():
                    carried.append(codec)
            except NegotiationError:
                continue
    try:
        known = importlib.import_module("av").codecs_available
    except ImportError:
        return Codecs(tuple(carried), None)
    return Codecs(tuple(carried), tuple(each for each in _ENCODERS if each in known))


def verdict(found: Codecs) -> list[Finding]:
    """Say what can be carried, and made."""
    lacking = [codec for codec in _NEEDED if codec not in found.carried]
    engine = Finding(
        name="codecs",
        verdict="fail" if lacking else "pass",
        said=f"the engine carries {', '.join(found.carried) or 'none'}",
        advice=f"this build lacks {', '.join(lacking)}: install the wheel again" if lacking else "",
        figures={"carried": list(found.carried)},
    )
    if found.encoders is None:
        return [
            engine,
            skipped(
                "encoder",
                "PyAV is not installed: no camera of this machine can be shown",
                advice="a device with a camera needs the extra: pip install 'plait[media]'",
            ),
        ]
    h264 = [each for each in found.encoders if each != "libopus"]
    return [
        engine,
        Finding(
            name="encoder",
            verdict="pass" if h264 else "warn",
            said=f"{', '.join(found.encoders)}" if found.encoders else "none of H.264 or Opus",
            advice=""
            if h264
            else "only cameras that give H.264 themselves can be shown: install PyAV's own wheel",
            figures={"encoders": list(found.encoders)},
        ),
    ]
