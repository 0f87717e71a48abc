"""One source, any number of viewers: each frame is made once and handed to all of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from plait.media.group import LastGroup
from plait.media.thinning import Thinning

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.media.source import Source
    from plait.rtc import EncodedFrame

REPLAY_PAUSE: Final = 1.0
"""Least seconds between two replays of the kept group for one viewer."""

PATIENCE: Final = 2.0
"""Where the source's next keyframe comes within this many seconds, a viewer that lost its picture waits."""

_SHARE: Final = 0.85
"""Of what a path carries, for the picture: the rest is sound, headers and repairs."""


class Sender(Protocol):
    """What a viewer is sent through: the sending half of `plait.rtc.Transceiver`."""

    def send(self, frame: EncodedFrame, /) -> bool:
        """Queue a frame; False where it was dropped."""


class Viewer:
    """One viewer's place in the stream.

    Attributes:
        sent: pictures handed to the engine.
        dropped: pictures that this viewer did not get since it was too slow, or waited for a keyframe.
        thinning: what is left out since its path does not carry all of it.
    """

    def __init__(self, video: Sender | None, audio: Sender | None = None) -> None:
        self.sent = 0
        self.dropped = 0
        self.replayed_at = 0.0
        self.thinning = Thinning()
        self._video = video
        self._audio = audio
        self._last: int | None = None
        self._lost = True  # until the first keyframe there is nothing to decode

    def replay(self, group: LastGroup) -> None:
        """Send the kept group: the picture of this moment, at once."""
        self.replayed_at = time.monotonic()
        for frame in group.replay(self._last):
            self.show(frame)

    def show(self, frame: EncodedFrame) -> None:
        """Send the next picture. After one that was dropped nothing is sent up to the next keyframe."""
        if self._video is None:
            return
        if self._lost and not frame.keyframe:
            self.dropped += 1
            return
        if not self.thinning.passes(frame):
            return
        if self._last is not None and frame.timestamp <= self._last:
            # A replayed group may reach a few ticks beyond the live frame that follows it.
            frame = replace(frame, timestamp=self._last + 1)
        self._lost = not self._video.send(frame)
        if self._lost:
            self.dropped += 1
        else:
            self.sent += 1
            self._last = frame.timestamp

    def hear(self, frame: EncodedFrame) -> None:
        """Send the next packet of sound; a lost one is not missed."""
        if self._audio is not None:
            self._audio.send(frame)


class Fanout:
    """Hands a source's frames to its viewers, on the event loop.

    Attributes:
        group: the last group of pictures.
        sent: pictures that the source gave, whoever watched.
        on_viewers: told of the number of viewers when it changes.
        on_limited: told of the number of those who get less than all of it, when that may have changed.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.group = LastGroup()
        self.sent = 0
        self.viewers: set[Viewer] = set()
        self.on_viewers: Callable[[int], None] | None = None
        self.on_limited: Callable[[int], None] | None = None
        source.on_frame = self._push

    def add(self, viewer: Viewer) -> None:
        """Let a viewer in: it gets the kept group at once, then everything that follows."""
        # What is encoded only while somebody watches has gaps before this moment.
        self.source.watch(True)
        if not self.viewers and not self._passthrough:
            self.group.clear()
            self.source.request_keyframe()
        self.viewers.add(viewer)
        self._fit_source()
        viewer.replay(self.group)
        self._told()

    def remove(self, viewer: Viewer) -> None:
        """Let a viewer go; no harm where it is gone already."""
        if viewer not in self.viewers:
            return
        self.viewers.discard(viewer)
        self._fit_source()
        if not self.viewers:
            self.source.watch(False)
        self._told()

    def request_keyframe(self, viewer: Viewer) -> None:
        """Answer a viewer that lost its picture (RFC 4585, 6.3.1).

        A source that is encoded here makes a keyframe. One passed through cannot: where its next one is near
        the viewer waits, else it is sent the kept group again, which is a keyframe and all that follows it.
        """
        if not self._passthrough:
            self.source.request_keyframe()
            return
        far = self.group.interval > PATIENCE or not self.group.interval
        if far and time.monotonic() - viewer.replayed_at >= REPLAY_PAUSE:
            viewer.replay(self.group)

    def limit(self, viewer: Viewer, bits: float | None) -> None:
        """Give a viewer no more than so many bits a second; None for all of it.

        What is passed through is thinned for it. What is encoded here is encoded as the widest path of all
        viewers has it, and thinned for the others.
        """
        viewer.thinning.bits = bits
        self._fit_source()

    def _fit_source(self) -> None:
        limits = [viewer.thinning.bits for viewer in self.viewers]
        bounds = [bits for bits in limits if bits is not None]
        if self.on_limited is not None:
            self.on_limited(len(bounds))
        self.source.limit(max(bounds) * _SHARE if limits and len(bounds) == len(limits) else None)

    @property
    def _passthrough(self) -> bool:
        return self.source.info is None or self.source.info.passthrough

    def _push(self, frame: EncodedFrame) -> None:
        if frame.codec == "opus":
            for viewer in self.viewers:
                viewer.hear(frame)
            return
        self.sent += 1
        self.group.add(frame)
        for viewer in self.viewers:
            viewer.show(frame)

    def _told(self) -> None:
        if self.on_viewers is not None:
            self.on_viewers(len(self.viewers))
