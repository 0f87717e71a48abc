"""A camera's picture by whatever way there is: video by WebRTC, else pictures through the hub.

    async with home.thing("camera").video() as video:
        async for frame in video:
            print(frame, video.way, video.why)

Both are tried from the start. Video wins as soon as it comes, and is called again by itself when it breaks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Literal, Self

from plait.app.call import Call
from plait.app.pictures import FINAL, pictures
from plait.media import jpeg
from plait.rtc import RtcError
from plait.transport.reconnect import Backoff
from plait.wire.errors import PlaitError

if TYPE_CHECKING:
    from types import TracebackType

    from av.video.frame import VideoFrame

    from plait.app.home import Home

log = logging.getLogger("plait.app")

Way = Literal["", "video", "pictures"]

HEAD_START: Final = 0.7
"""Seconds that video has to come before pictures are asked for: most paths open within them."""

SILENT: Final = 1.5
"""Seconds without a frame of video, at least four usual pauses, after which pictures are asked for."""

_SLOWEST: Final = 2.0
"""Seconds between two frames that count as a pause between frames; a longer one was a break."""

LOOK_EVERY: Final = 0.25
"""Seconds between two looks while nothing comes."""

TRY_FOR: Final = 12.0
"""Seconds in which a call finds its path, or is given up for a new one."""


class Live:
    """The picture of one thing: an async iterator of `av.VideoFrame`. `ThingProxy.video` makes one.

    At most `limit` frames wait; where the program is slower, the oldest go. It ends by itself only with what
    trying again cannot help: it raises then what the thing or the hub said.

    Attributes:
        way: what the last frame came by: "video" or "pictures"; "" before the first.
        why: where it is pictures, or nothing: the reason, in words.
    """

    def __init__(self, home: Home, thing_id: str, *, limit: int = 2) -> None:
        self.way: Way = ""
        self.why = "no WebRTC path to it is open yet"
        self._home = home
        self._thing_id = thing_id
        self._limit = limit
        self._frames: deque[tuple[VideoFrame, Way]] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._call: Call | None = None
        self._no_pictures: PlaitError | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._last = float("-inf")  # when the last frame of video came
        self._pause = 0.0  # between the last two

    @property
    def call(self) -> Call | None:
        """The call that it has now, or tries: its `peer.stats()` tell of the path."""
        return self._call

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> VideoFrame:
        if not self._tasks:
            self._start()
        while not self._frames:
            calling = self._tasks[0]
            if calling.done():
                if calling.cancelled():
                    raise StopAsyncIteration
                calling.result()  # raises why nothing will come
            self._changed.clear()
            await self._changed.wait()
        frame, self.way = self._frames.popleft()
        return frame

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up, and ask for nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._changed.set()

    def _start(self) -> None:
        self._tasks = (
            asyncio.create_task(self._watch(), name=f"video of {self._thing_id}"),
            asyncio.create_task(self._look(), name=f"pictures of {self._thing_id}"),
        )
        self._tasks[0].add_done_callback(lambda _: self._changed.set())

    def _show(self, frame: VideoFrame, way: Way) -> None:
        self._frames.append((frame, way))
        self._changed.set()

    # Video

    async def _watch(self) -> None:
        """Call, show what comes, and call again; raises what does not pass by itself."""
        backoff = Backoff()
        while True:
            before = self._last
            try:
                await self._show_video()
                self.why = "the call has ended"
            except PlaitError as error:
                self.why = str(error)
                if error.code in FINAL:
                    if error.code != "unknown-operation" or self._no_pictures is not None:
                        raise
                    # It cannot be called (a camera whose codec nothing here plays): pictures may still come.
                    await self._looking()
                    raise
            except (RtcError, TimeoutError) as error:
                self.why = str(error) or "no WebRTC path to it was found"
            if self._last > before:
                backoff.reset()
            await asyncio.sleep(backoff.wait())

    async def _show_video(self) -> None:
        clock = asyncio.get_running_loop().time
        self._call = Call(self._home, self._thing_id)
        async with self._call as call, call.video(limit=self._limit) as video, AsyncExitStack() as stack:
            async with asyncio.timeout(TRY_FOR):
                await call.connected()
            mending = asyncio.create_task(self._mend(call), name=f"mending of {self._thing_id}")
            stack.callback(mending.cancel)
            async for frame in video:
                now = clock()
                self._pause, self._last = min(now - self._last, _SLOWEST), now
                while self._frames and self._frames[0][1] == "pictures":
                    self._frames.popleft()  # older than this frame
                self.why = ""
                self._show(frame, "video")

    async def _mend(self, call: Call) -> None:
        """Look for another path when the video stops, sooner than the connection itself doubts its own.

        Once for each silence: where it is the source that gives nothing, no path helps.
        """
        tried = float("-inf")
        while True:
            await self._silence()
            if self._last > tried and call.peer.connection_state in {"connected", "disconnected"}:
                tried = self._last
                log.info("no video from %s for a while: an ICE restart", self._thing_id)
                call.peer.restart_ice()
            await asyncio.sleep(LOOK_EVERY)

    # Pictures

    async def _look(self) -> None:
        """Show pictures while no video comes."""
        await asyncio.sleep(HEAD_START)
        try:
            while True:
                await self._silence()
                async for data in pictures(self._home.client, self._thing_id):
                    if self._patience_left():
                        break  # video is back
                    if (frame := await asyncio.to_thread(jpeg.decode, data)) is not None:
                        self.why = self.why or "the video has stopped"
                        self._show(frame, "pictures")
        except PlaitError as error:
            self._no_pictures = error

    def _patience_left(self) -> float:
        """Return the seconds that video has until it counts as silent; 0 where it is."""
        patience = max(SILENT, 4 * self._pause) if self._last > 0 else 0.0
        return max(0.0, self._last + patience - asyncio.get_running_loop().time())

    async def _silence(self) -> None:
        while left := self._patience_left():  # noqa: ASYNC110 - so long after the last frame, which moves
            await asyncio.sleep(left)

    async def _looking(self) -> None:
        await asyncio.gather(self._tasks[1], return_exceptions=True)
