"""A picture's source, live on the event loop: played on a thread of its own, looped or reconnected."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

import av.error

from plait.media.errors import SourceBroken, SourceError
from plait.media.location import Location
from plait.media.player import Player, Reordered

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer

    from plait.media.player import SourceInfo
    from plait.rtc import EncodedFrame

State = Literal["opening", "live", "retrying", "ended", "closed"]

_QUEUE: Final = 256
"""Frames on their way to a loop that is busy; beyond it pictures are dropped up to the next keyframe."""

_LIVE: Final = ("rtsp", "rtmp", "srt", "udp", "tcp")
"""Schemes whose packets come when they happen; the rest is a recording behind an address."""


STEADY: Final = 5.0
"""Seconds for which a source must have played for its next break to be answered without a longer wait."""


def backoff(attempt: int) -> float:
    """Return the wait before another attempt, in s: 0.5, 1, 2, … up to 30."""
    return float(min(30.0, 0.5 * 2 ** min(attempt, 10)))


class Source:
    """Plays a file, address, device or test picture, and hands its encoded frames to the event loop.

    Attributes:
        info: what the source is; None until it was opened.
        state: where it is; `reason` says why where it is `retrying` or `ended`.
        on_frame: takes every frame, on the event loop.
        on_state: told of each change of `state`, on the event loop.
        dropped: pictures dropped since the event loop did not keep up.
    """

    def __init__(self, location: str | Location, *, loop: bool = True) -> None:
        self.location = location if isinstance(location, Location) else Location.parse(location)
        self.info: SourceInfo | None = None
        self.state: State = "opening"
        self.reason = ""
        self.dropped = 0
        self.on_frame: Callable[[EncodedFrame], None] | None = None
        self.on_state: Callable[[State], None] | None = None
        self._repeat = loop
        self._player = Player(self.location, self._emit)
        self._thread: threading.Thread | None = None
        self._sent = 0  # counted on the thread alone, as `_taken` is on the loop
        self._taken = 0
        self._skipping = False
        self._probed = False
        self._played = False

    @property
    def finite(self) -> bool:
        """Whether it is a recording or a drawing, which must be played in its own time."""
        if self.location.kind == "url":
            return not self.location.text.lower().startswith(_LIVE)
        return self.location.kind in {"file", "test"}

    def look(self) -> SourceInfo:
        """Open it, look what it is, and close it again, before it is played. Blocks.

        Raises:
            SourceError: why it cannot be opened now; `permanent` says whether that can change by itself.
        """
        try:
            container, self.info = self._open()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self.location.explain(error) from error
        container.close()
        return self.info

    async def open(self) -> None:
        """Start to play; returns once the first picture's kind is known, or the source is being tried again.

        Raises:
            SourceError: it cannot be opened and never will be without a change (`permanent`).
        """
        if self._thread is not None:
            raise RuntimeError(f"{self.location} is open already")
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(loop, opened), name="plait-source", daemon=True
        )
        self._thread.start()
        await opened

    async def close(self) -> None:
        """Stop playing. A thread that is blocked in a read of the network ends at its time limit."""
        self._player.stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 2.0)
            self._thread = None
        self._set("closed", "", None)

    def watch(self, watched: bool) -> None:
        """Say whether anybody watches: nothing is encoded for nobody."""
        if watched:
            self._player.watched.set()
        else:
            self._player.watched.clear()

    def request_keyframe(self) -> None:
        """Ask for a keyframe soon, where the picture is encoded here; a source passed through has its own."""
        if self._player.encoder is not None:
            self._player.encoder.request_keyframe()

    def limit(self, bits: float | None) -> None:
        """Have no more encoded than so many bits a second (None: than its own ceiling).

        What is passed through has its own rate.
        """
        self._player.limit = bits

    # The thread.

    def _run(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        self._loop = loop

        def answer(error: SourceError | None) -> None:
            if not opened.done():
                opened.set_result(None) if error is None else opened.set_exception(error)

        attempt = 0
        began = time.monotonic()
        broke_at: float | None = None
        player = self._player
        while not player.stopping.is_set():
            try:
                container, info = self._open()
                with container:
                    gap = 0.0 if broke_at is None else time.monotonic() - broke_at
                    self._played = True
                    self._call(self._opened, info)
                    self._call(answer, None)
                    broke_at = None
                    began = time.monotonic()
                    player.play(container, info, paced=self.finite, gap=gap)
                if not self.finite and not player.stopping.is_set():
                    raise SourceBroken(f"{self.location}: it ended")
                if not self._repeat:
                    self._call(self._set, "ended", "", None)
                    return
            except Reordered:
                player.must_encode = True
            except (SourceError, av.error.FFmpegError, OSError, ValueError) as caught:
                error = caught if isinstance(caught, SourceError) else self.location.explain(caught)
                if error.permanent and not self._played:
                    self._call(answer, error)
                    return
                if broke_at is None:  # it was playing, and not just being tried again
                    broke_at = time.monotonic()
                    attempt = 0 if broke_at - began > STEADY else attempt
                self._call(self._set, "retrying", str(error), None)
                self._call(answer, None)
                player.stopping.wait(backoff(attempt))
                attempt += 1

    def _open(self) -> tuple[InputContainer, SourceInfo]:
        container = self.location.open()
        try:
            info = self._player.look(container)
            if info.passthrough and self.finite and not self._probed:
                self._probed = True
                self._player.probe(container)
                container.close()
                container = self.location.open()
                info = self._player.look(container)
        except BaseException:
            container.close()
            raise
        return container, info

    def _emit(self, frame: EncodedFrame) -> None:
        if frame.codec != "opus":
            if self._skipping and not frame.keyframe:
                self.dropped += 1
                return
            self._skipping = self._sent - self._taken >= _QUEUE
        if self._sent - self._taken >= _QUEUE:
            self.dropped += 1
            return
        self._sent += 1
        self._call(self._deliver, frame)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed under us: there is nobody to tell
            self._loop.call_soon_threadsafe(function, *arguments)

    # The event loop.

    def _deliver(self, frame: EncodedFrame) -> None:
        self._taken += 1
        if self.on_frame is not None and not self._player.stopping.is_set():
            self.on_frame(frame)

    def _opened(self, info: SourceInfo) -> None:
        self._set("live", "", info)

    def _set(self, state: State, reason: str, info: SourceInfo | None) -> None:
        changed = (state, reason) != (self.state, self.reason) or (info is not None and info != self.info)
        self.info = info or self.info
        self.state, self.reason = state, reason
        if changed and self.on_state is not None:
            self.on_state(state)
