"""Still pictures of a live source, for viewers whom no video reaches."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from plait.media import jpeg
from plait.media.decoder import VideoDecoder
from plait.media.errors import SourceBroken
from plait.media.fanout import Viewer

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from plait.media.fanout import Fanout
    from plait.rtc import EncodedFrame

LINGER: Final = 8.0
"""Seconds for which the source is still watched after the last picture was taken."""

SHARED: Final = 0.1
"""Seconds for which a picture is new enough for whoever asks next."""

_WITHIN: Final = 5.0
"""Seconds in which a source gives a picture."""
_WAITING: Final = 8 << 20
"""Bytes of encoded frames that wait to be decoded; beyond it, the next keyframe begins anew."""


class Stills:
    """Takes still pictures out of a fanout's stream; it is one more viewer of it while anybody asks.

    Frames are kept as they come and decoded only when a picture is taken: all since the last one, since each
    refers to the ones before, and of them the newest becomes a JPEG.

    Args:
        fanout: the source's stream.
    """

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._viewer: Viewer | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._frames: list[EncodedFrame] = []
        self._size = 0
        self._came = asyncio.Event()
        self._decoding = asyncio.Lock()
        self._decoder = VideoDecoder()
        self._picture: VideoFrame | None = None
        self._taken_at = float("-inf")
        self._made: dict[tuple[int, int], bytes] = {}  # JPEGs of `_picture`, by what was asked

    async def take(self, *, width: int, size: int) -> bytes:
        """Return the present picture as JPEG.

        Args:
            width: pixels across at most.
            size: bytes at most.

        Raises:
            SourceBroken: the source has given no picture for 5 s.
        """
        self._enter()
        async with self._decoding:
            if time.monotonic() - self._taken_at > SHARED:
                await self._decode()
            picture = self._picture
            if picture is None:
                raise SourceBroken(self._fanout.source.reason or "its source gives none")
            key = (width, size)
            if key not in self._made:
                self._made[key] = await asyncio.to_thread(jpeg.encode, picture, width=width, size=size)
            return self._made[key]

    def send(self, frame: EncodedFrame, /) -> bool:
        """Take the stream's next frame: a `Sender`."""
        if frame.keyframe:
            self._frames.clear()
            self._size = 0
        elif self._size > _WAITING:
            self._frames.clear()
            self._size = 0
            return False
        self._frames.append(frame)
        self._size += len(frame.data)
        self._came.set()
        return True

    def close(self) -> None:
        """Watch no more."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self._viewer is not None:
            self._fanout.remove(self._viewer)
        self._viewer = self._leaving = self._picture = None
        self._decoder = VideoDecoder()
        self._frames.clear()
        self._made.clear()
        self._size = 0

    def _enter(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().call_later(LINGER, self.close)
        if self._viewer is None:
            self._viewer = Viewer(self)
            self._fanout.add(self._viewer)

    async def _decode(self) -> None:
        """Decode what has come; where nothing has, wait. What is long past is not shown as of now."""
        if not self._frames:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), _WITHIN)
            except TimeoutError:
                self._picture = None
                return
        frames, self._frames, self._size = self._frames, [], 0
        picture = await asyncio.to_thread(self._newest, frames)
        if picture is None:
            if self._viewer is not None:
                self._fanout.request_keyframe(self._viewer)
            return
        self._picture, self._taken_at = picture, time.monotonic()
        self._made.clear()

    def _newest(self, frames: list[EncodedFrame]) -> VideoFrame | None:
        newest = None
        for frame in frames:
            pictures = self._decoder.decode(frame)
            if pictures:
                newest = pictures[-1]
        return newest
