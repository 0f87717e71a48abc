"""Where a picture comes from: a file, an address, a device or a test pattern; and how each is opened."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import av
import av.error

from plait.media.errors import (
    NotAVideo,
    SourceBroken,
    SourceBusy,
    SourceForbidden,
    SourceMissing,
    SourceUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

    from plait.media.errors import SourceError

Kind = Literal["file", "url", "device", "test"]

OPEN_TIMEOUT: Final = 8.0
"""Seconds for an address to answer; a camera that boots takes longer and is tried again."""

READ_TIMEOUT: Final = 10.0
"""Seconds without a packet after which a live source is taken for broken."""

_SCHEME = re.compile(r"^(rtsps?|https?|rtmps?|srt|udp|tcp)://", re.IGNORECASE)
_TEST = re.compile(r"^test:(?:(\d{2,4})x(\d{2,4}))?(?:@(\d{1,3}))?$")

_TEXT: Final = frozenset({"ansi", "bintext", "xbin", "idf"})
"""Decoders by which FFmpeg makes a video of any text file, as terminals once drew it."""


@dataclass(frozen=True)
class Location:
    """A source as the user named it, and what kind of thing that is."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        """Return the name without the password that a URL may carry: it goes into logs and messages."""
        if self.kind != "url":
            return self.text
        parts = urlsplit(self.text)
        if parts.password is None and parts.username is None:
            return self.text
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @classmethod
    def parse(cls, text: str) -> Location:
        """Tell what a user means: `test:WIDTHxHEIGHT@RATE`, an address, `/dev/…`, else a file's path."""
        if text.startswith("test:"):
            if not _TEST.match(text):
                raise NotAVideo(f"{text}: a test picture is written test:, test:1280x720 or test:640x480@15")
            return cls("test", text)
        if _SCHEME.match(text):
            return cls("url", text)
        if text.startswith("/dev/"):
            return cls("device", text)
        return cls("file", text.removeprefix("file://"))

    def open(self) -> InputContainer:
        """Open it, blocking for at most `OPEN_TIMEOUT` seconds; raises a `SourceError` that says why not."""
        if self.kind == "file" and Path(self.text).is_dir():
            raise NotAVideo(f"{self}: a folder, not a video")
        failure: Exception | None = None
        for name, format_name, options in self._attempts():
            try:
                container = av.open(
                    name, format=format_name, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT)
                )
            except (OSError, ValueError, av.error.FFmpegError) as error:
                failure = failure or error
                continue
            if refusal := _no_video(container):
                container.close()
                raise NotAVideo(f"{self}: {refusal}")
            return container
        raise self.explain(failure) from failure

    def _attempts(self) -> Iterator[tuple[str, str | None, dict[str, str]]]:
        if drawn := _TEST.match(self.text):
            width, height, rate = drawn.groups()
            size = f"{width or 640}x{height or 480}"
            yield f"testsrc2=size={size}:rate={rate or 15}", "lavfi", {}
        elif self.kind == "device":
            # Compressed first: many USB cameras give H.264, which needs no work from us.
            yield self.text, "v4l2", {"input_format": "h264"}
            yield self.text, "v4l2", {}
        elif self.text.lower().startswith("rtsp"):
            # TCP: loss of interleaved UDP breaks pictures, and a camera is one hop away anyway.
            yield self.text, None, {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        else:
            yield self.text, None, {}

    def explain(self, error: Exception | None) -> SourceError:
        """Return the typed error for what FFmpeg raised."""
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, FileNotFoundError) or number in {errno.ENODEV, errno.ENXIO}:
            if self.kind == "url":
                return SourceUnreachable(f"{self}: there is nothing at this address")
            return SourceMissing(f"{self}: no such {self.kind}")
        if isinstance(error, PermissionError):
            return SourceForbidden(f"{self}: not allowed to open it")
        if number == errno.EBUSY:
            return SourceBusy(f"{self}: another program is using it")
        if isinstance(error, av.error.InvalidDataError):
            return NotAVideo(f"{self}: not a video")
        if self.kind == "url":
            return SourceUnreachable(f"{self}: {_reason(error)}")
        return SourceBroken(f"{self}: {_reason(error)}")


def _no_video(container: InputContainer) -> str:
    """Return why an opened container is nothing to play; empty where it is."""
    if not container.streams.video:
        return "there is no picture in it"
    if container.streams.video[0].codec_context.name in _TEXT:
        return "not a video"
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):
        return "a single picture, not a video"
    return ""


def _reason(error: Exception | None) -> str:
    if isinstance(error, av.error.ExitError | TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, av.error.HTTPError):
        return f"the server says {error.strerror}"
    # Never str(error): it repeats the address, and with it a password.
    text = (getattr(error, "strerror", None) or "it cannot be opened").strip()
    return text[0].lower() + text[1:]
