"""A call's picture in Python: encoded frames of a transceiver, decoded to `av.VideoFrame` on a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from plait.media.decoder import VideoDecoder

if TYPE_CHECKING:
    from types import TracebackType

    from av.video.frame import VideoFrame

    from plait.rtc import Transceiver

ASK_AGAIN: Final = 1.0
"""Seconds after which a keyframe that did not come is asked for again."""


class Video:
    """Received pictures, newest first to matter: an async iterator of `av.VideoFrame`.

        async for picture in call.video():
            pixels = picture.to_ndarray(format="rgb24")     # height x width x 3, uint8

    Decoding runs on a thread of its own. At most `limit` pictures wait; where the program is slower than the
    camera, the oldest go. After a loss nothing is shown before the next keyframe, which is asked for.
    It ends when the call does. A picture's `pts` counts in 1/90,000 s, its `time_base`.

    Attributes:
        decoded: pictures decoded.
        dropped: pictures decoded and never taken.
        damaged: frames that could not be decoded, or were useless without one that is lost.
    """

    def __init__(self, transceiver: Transceiver, *, limit: int = 2) -> None:
        self.decoded = 0
        self.dropped = 0
        self.damaged = 0
        self._transceiver = transceiver
        self._pictures: deque[VideoFrame] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._decoder = VideoDecoder()
        self._lost = True  # nothing can be decoded before the first keyframe
        self._asked = -ASK_AGAIN

    def __aiter__(self) -> Video:
        return self

    async def __anext__(self) -> VideoFrame:
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="video")
        while not self._pictures:
            if self._pump.done():
                if not self._pump.cancelled():
                    self._pump.result()  # raises what ended it
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._pictures.popleft()

    async def aclose(self) -> None:
        """Stop decoding."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="plait-video") as thread:
                async for frame in self._transceiver:
                    if self._lost and not frame.keyframe:
                        self.damaged += 1
                        self._ask(loop.time())
                        continue
                    pictures = await loop.run_in_executor(thread, self._decoder.decode, frame)
                    if pictures is None:
                        self.damaged += 1
                        self._lost = True
                        self._ask(loop.time())
                        continue
                    self._lost = False
                    for picture in pictures:
                        self.decoded += 1
                        self.dropped += len(self._pictures) == self._pictures.maxlen
                        self._pictures.append(picture)
                    self._changed.set()
        finally:
            self._changed.set()

    def _ask(self, now: float) -> None:
        if now - self._asked >= ASK_AGAIN:
            self._asked = now
            self._transceiver.request_keyframe()
