"""Many viewers of one source: each starts at once, and a slow one disturbs nobody."""

import asyncio
import itertools

from plait.media import Fanout, Source, Viewer


class Line:
    """A sender whose queue has room for `room` frames, as the engine's transceiver has."""

    def __init__(self, room=10_000):
        self.room = room
        self.frames = []

    def send(self, frame):
        if self.room <= 0:
            return False
        self.room -= 1
        self.frames.append(frame)
        return True


async def opened(location):
    source = Source(location)
    fanout = Fanout(source)
    await source.open()
    return source, fanout


def rising(frames):
    return all(a.timestamp < b.timestamp for a, b in itertools.pairwise(frames))


async def test_a_viewer_starts_at_once_with_the_group_that_plays(clips, until):
    source, fanout = await opened(clips["street"])
    await until(lambda: len(fanout.group) >= 6)
    line = Line()
    fanout.add(Viewer(line))
    assert len(line.frames) == len(fanout.group), "before anything new came"
    assert line.frames[0].keyframe
    assert line.frames[-1].timestamp - line.frames[0].timestamp < 9_000, "shown at once, not at its old pace"
    burst = len(line.frames)
    await until(lambda: len(line.frames) >= burst + 3)
    live = line.frames[burst - 1 :]
    assert [b.timestamp - a.timestamp for a, b in itertools.pairwise(live)] == [9_000] * (len(live) - 1)
    await source.close()


async def test_two_viewers_get_the_same_bytes_and_not_copies(clips, until):
    source, fanout = await opened(clips["street"])
    one, other = Line(), Line()
    fanout.add(Viewer(one))
    fanout.add(Viewer(other))
    await until(lambda: len(one.frames) >= 5 and len(other.frames) >= 5)
    await source.close()
    assert all(a.data is b.data for a, b in zip(one.frames, other.frames, strict=True))


async def test_a_slow_viewer_goes_on_at_a_keyframe_and_the_other_misses_nothing(clips, until):
    source, fanout = await opened(clips["short"])
    slow, fast = Line(room=8), Line()
    watched = Viewer(slow)
    fanout.add(watched)
    fanout.add(Viewer(fast))
    await until(lambda: watched.dropped > 0)
    await asyncio.sleep(0.2)
    slow.room = 10_000
    await until(lambda: len(slow.frames) > 12)
    await source.close()
    assert slow.frames[8].keyframe
    assert rising(slow.frames)
    assert len(fast.frames) == fanout.sent
    assert watched.sent == len(slow.frames)


async def test_an_encoded_source_starts_for_its_first_viewer_and_rests_after_its_last(clips, until):
    source, fanout = await opened(clips["mjpeg"])
    line = Line()
    viewer = Viewer(line)
    told = []
    fanout.on_viewers = told.append
    fanout.add(viewer)
    await until(lambda: len(line.frames) >= 3)
    assert line.frames[0].keyframe
    fanout.remove(viewer)
    fanout.remove(viewer)
    await asyncio.sleep(0.2)
    seen = fanout.sent
    await asyncio.sleep(0.3)
    assert fanout.sent == seen
    again = Line()
    fanout.add(Viewer(again))
    await until(lambda: len(again.frames) >= 3)
    await source.close()
    assert again.frames[0].keyframe
    assert again.frames[0].timestamp > line.frames[-1].timestamp, "nothing of what was shown before the rest"
    assert told == [1, 0, 1]


async def test_a_lost_picture_is_mended_by_the_kept_group_where_keyframes_are_rare(clips, until):
    source, fanout = await opened(clips["rare"])
    line = Line()
    viewer = Viewer(line)
    fanout.add(viewer)
    await until(lambda: len(line.frames) >= 10)
    for _ in range(20):
        fanout.request_keyframe(viewer)
    before = sum(frame.keyframe for frame in line.frames)
    viewer.replayed_at = 0.0  # long ago
    for _ in range(20):
        fanout.request_keyframe(viewer)
    await until(lambda: line.frames[-1].timestamp > fanout.group.replay()[-1].timestamp - 1)
    await source.close()
    assert sum(frame.keyframe for frame in line.frames) == before + 1, "once, however often it is asked"
    assert rising(line.frames)


async def test_where_the_next_keyframe_is_near_the_viewer_waits_for_it(clips, until):
    source, fanout = await opened(clips["short"])
    line = Line()
    viewer = Viewer(line)
    fanout.add(viewer)
    await until(lambda: fanout.group.interval > 0)
    viewer.replayed_at = 0.0
    sent = len(line.frames)
    fanout.request_keyframe(viewer)
    assert len(line.frames) == sent
    await source.close()


async def test_sound_goes_to_those_who_hear(clips, until):
    source, fanout = await opened(clips["sound"])
    picture, sound = Line(), Line()
    fanout.add(Viewer(picture))
    fanout.add(Viewer(None, sound))
    await until(lambda: len(sound.frames) >= 5 and len(picture.frames) >= 5)
    await source.close()
    assert {frame.codec for frame in sound.frames} == {"opus"}
    assert {frame.codec for frame in picture.frames} == {"H264"}
