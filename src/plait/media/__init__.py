"""The media wing: pictures and sound from files, addresses and devices, ready for WebRTC."""

from importlib.resources import files

from plait.media.capacity import Capacity, Report, judge
from plait.media.errors import (
    NotAVideo,
    SourceBroken,
    SourceBusy,
    SourceError,
    SourceForbidden,
    SourceMissing,
    SourceUnreachable,
)
from plait.media.fanout import Fanout, Viewer
from plait.media.location import Location
from plait.media.player import SourceInfo
from plait.media.source import Source
from plait.media.still import Stills

STREET = str(files("plait.media") / "clips" / "street.mp4")
"""Path of the clip that the demo's camera plays: 768x576, 10/s, 40 s; its credit is in NOTICE."""

__all__ = [
    "STREET",
    "Capacity",
    "Fanout",
    "Location",
    "NotAVideo",
    "Report",
    "Source",
    "SourceBroken",
    "SourceBusy",
    "SourceError",
    "SourceForbidden",
    "SourceInfo",
    "SourceMissing",
    "SourceUnreachable",
    "Stills",
    "Viewer",
    "judge",
]
