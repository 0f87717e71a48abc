"""One pass over a source, in its own time: packets to encoded frames. Blocks; runs on the source's thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import av.error
from av.audio.stream import AudioStream

from plait.media import annexb
from plait.media.audio import RATE, OpusEncoder
from plait.media.encoder import VideoEncoder
from plait.media.errors import NotAVideo, SourceBroken
from plait.media.passthrough import Order, Passthrough, playable
from plait.media.timeline import Timeline
from plait.rtc import EncodedFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from plait.media.location import Location

PROBE: Final = 600
"""Packets of a file whose order is looked at before it is passed through."""

_STANDBY: Final = 600
"""Packets kept since the last keyframe while nobody watches a source that must be encoded."""

_LATE: Final = 1.0
"""Seconds behind its own time after which a file goes on from now, rather than rush to catch up."""


@dataclass(frozen=True)
class SourceInfo:
    """What a source turned out to be.

    Attributes:
        width, height: of the picture, in pixels.
        rate: pictures per second, 0 where the source does not say.
        codec: what viewers get: H264 or VP8.
        passthrough: its bytes go to viewers untouched; else it is encoded once for all of them.
        profile: H.264 profile-level-id, six hex digits (RFC 6184, 8.1); empty where it is not known yet.
        audio: it has sound, which viewers get as Opus.
    """

    width: int
    height: int
    rate: float
    codec: str
    passthrough: bool
    profile: str
    audio: bool


class Reordered(Exception):
    """A stream that was passed through turned out to have B-frames."""


class Player:
    """What outlives a lap: the timeline, the encoders, and whether anybody watches.

    Args:
        location: the source.
        emit: takes each encoded frame; called on the thread that plays.
    """

    def __init__(self, location: Location, emit: Callable[[EncodedFrame], None]) -> None:
        self.location = location
        self.emit = emit
        self.stopping = threading.Event()
        self.watched = threading.Event()
        self.timeline = Timeline()
        self.must_encode = False
        self.encoder: VideoEncoder | None = None
        self.limit: float | None = None
        self._opus: OpusEncoder | None = None
        self._epoch: float | None = None
        self._last = {"video": -1, "audio": -1}

    def look(self, container: InputContainer) -> SourceInfo:
        """Return what the opened source is, and decide how it is played."""
        stream = container.streams.video[0]
        context = stream.codec_context
        if not context.width or not context.height:
            raise NotAVideo(f"{self.location}: no picture could be read from it")
        passed = not self.must_encode and playable(stream)
        profile = annexb.profile(annexb.parameter_sets(context.extradata)) if context.name == "h264" else ""
        return SourceInfo(
            width=context.width,
            height=context.height,
            rate=float(stream.average_rate or stream.guessed_rate or 0),
            codec=Passthrough(stream).codec if passed else VideoEncoder.codec,
            passthrough=passed,
            profile=profile if passed else "42c01f",
            audio=bool(container.streams.audio),
        )

    def probe(self, container: InputContainer) -> None:
        """Look at the order of a file's first packets; it must be opened again afterwards."""
        order = Order()
        packets = islice(container.demux(container.streams.video[0]), PROBE)
        self.must_encode = any(order.reorders(packet) for packet in packets if packet.size)

    def play(self, container: InputContainer, info: SourceInfo, *, paced: bool, gap: float = 0.0) -> None:
        """Play to the end, or until `stopping`.

        Args:
            container: the opened source.
            info: what `look` said of it.
            paced: wait for each frame's time; a live source comes in its own.
            gap: seconds since the last lap broke off.

        Raises:
            SourceBroken: it ended without a single picture; playing it again at once would be a busy loop.
            Reordered: it has B-frames, and must be played again, encoded.
        """
        video = container.streams.video[0]
        sound = next(iter(container.streams.audio), None)
        picture: _Passed | _Encoded = (
            _Passed(self, video, info) if info.passthrough else _Encoded(self, video, info)
        )
        if sound is not None and self._opus is not None:
            self._opus.restart()
        first: float | None = None
        seen = False
        for packet in container.demux([video, sound] if sound else [video]):
            if self.stopping.is_set():
                return
            if packet.size == 0 and packet.dts is None:
                if packet.stream is video:
                    picture.flush()
                continue
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or packet.time_base is None:
                continue
            due = float(stamp * packet.time_base)
            if first is None:
                first = due
                self.timeline.restart(due, gap=gap)
            if paced:
                self._wait(self.timeline.find(due))
            if packet.stream is video:
                seen = True
                picture.feed(packet)
            elif isinstance(packet.stream, AudioStream):
                self._hear(packet, packet.stream)
        if not seen:
            raise SourceBroken(f"{self.location}: it ended before its first picture")

    def _wait(self, placed: float) -> None:
        """Wait until the moment of `placed` s on the timeline."""
        now = time.monotonic()
        if self._epoch is None or now - (self._epoch + placed) > _LATE:
            self._epoch = now - placed
        pause = self._epoch + placed - now
        if pause > 0:
            self.stopping.wait(pause)

    def show(self, data: bytes, *, keyframe: bool, codec: str, timestamp: int) -> None:
        """Emit a picture."""
        self._emit("video", EncodedFrame(data=data, timestamp=timestamp, keyframe=keyframe, codec=codec))

    def _hear(self, packet: Packet[Any], stream: AudioStream) -> None:
        if packet.pts is None or packet.time_base is None:
            return
        placed = self.timeline.place(float(packet.pts * packet.time_base))
        if stream.codec_context.name in {"opus", "libopus"}:
            frame = EncodedFrame(data=bytes(packet), timestamp=round(placed * RATE), codec="opus")
            self._emit("audio", frame)
            return
        if not self.watched.is_set():
            return
        self._opus = self._opus or OpusEncoder()
        try:
            sounds = stream.codec_context.decode(packet)
        except av.error.InvalidDataError:
            return  # one damaged packet is a click, not the end
        for sound in sounds:
            for data, timestamp in self._opus.encode(sound, placed):
                self._emit("audio", EncodedFrame(data=data, timestamp=timestamp, codec="opus"))

    def _emit(self, kind: str, frame: EncodedFrame) -> None:
        if frame.timestamp <= self._last[kind]:
            return  # a source whose clock stumbles: one frame is lost rather than time run backwards
        self._last[kind] = frame.timestamp
        self.emit(frame)


def _length(info: SourceInfo) -> float:
    """Return how long a picture lasts that does not say so itself, in seconds."""
    return 1 / (info.rate or 25.0)


def _seconds(packet: Packet[Any], length: float) -> tuple[float, float]:
    """Return when a packet is shown and for how long (else `length`), in seconds of its source."""
    base = float(packet.time_base or 0)
    stamp = packet.pts if packet.pts is not None else packet.dts
    # Never 0: a file of one picture would be played again without a pause.
    return (stamp or 0) * base, (packet.duration or 0) * base or length


class _Passed:
    """The picture, passed through."""

    def __init__(self, player: Player, stream: VideoStream, info: SourceInfo) -> None:
        self._player = player
        self._length = _length(info)
        self._units = Passthrough(stream)
        self._order = Order()

    def feed(self, packet: Packet[Any]) -> None:
        if self._order.reorders(packet):
            raise Reordered
        shown, duration = _seconds(packet, self._length)  # before the filter, which empties the packet
        timestamp = round(self._player.timeline.place(shown, duration) * 90_000)
        for data, keyframe in self._units.feed(packet):
            self._player.show(data, keyframe=keyframe, codec=self._units.codec, timestamp=timestamp)

    def flush(self) -> None:
        """Nothing is held back."""


class _Encoded:
    """The picture, decoded and encoded once for all viewers, and only while there are any."""

    def __init__(self, player: Player, stream: VideoStream, info: SourceInfo) -> None:
        self._player = player
        self._info = info
        self._length = _length(info)
        self._decoder = stream.codec_context
        self._decoder.thread_type = "SLICE"  # frame threads hold back a picture each
        self._standby: deque[Packet[Any]] = deque()

    def feed(self, packet: Packet[Any]) -> None:
        if not self._player.watched.is_set():
            self._stand_by(packet)
            return
        while self._standby:  # what was missed since the last keyframe: decoded, so that this one can be
            self._decode(self._standby.popleft())
        for frame in self._decode(packet):
            self._encode(frame)

    def flush(self) -> None:
        """Show the pictures that the decoder holds back for their order, at the end of a lap."""
        if self._player.watched.is_set() and not self._standby:
            for frame in self._decode(None):
                self._encode(frame)

    def _stand_by(self, packet: Packet[Any]) -> None:
        shown, duration = _seconds(packet, self._length)
        self._player.timeline.place(shown, duration)
        if packet.is_keyframe:
            self._standby.clear()
        if packet.is_keyframe or self._standby:
            self._standby.append(packet)
        if len(self._standby) > _STANDBY:
            self._standby.clear()

    def _decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        try:
            return self._decoder.decode(packet)
        except av.error.InvalidDataError:
            return []  # a damaged picture; the next keyframe mends it

    def _encode(self, frame: VideoFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            return
        player = self._player
        encoder = player.encoder
        size = frame.width & ~1, frame.height & ~1
        if encoder is None or (encoder.width, encoder.height) != size:
            encoder = player.encoder = VideoEncoder(*size, self._info.rate or 25.0)
        encoder.limit = player.limit
        placed = player.timeline.place(float(frame.pts * frame.time_base), self._length)
        for data, keyframe in encoder.encode(frame, round(placed * 90_000)):
            player.show(data, keyframe=keyframe, codec=encoder.codec, timestamp=round(placed * 90_000))
