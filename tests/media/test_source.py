"""Sources played for real, in their own time."""

import asyncio
import contextlib
import errno
import functools
import http.server
import itertools
import shutil
import socket
import sys
import threading
from fractions import Fraction

import av
import pytest
from av.video.frame import PictureType

from plait.media import (
    Location,
    NotAVideo,
    Source,
    SourceBroken,
    SourceBusy,
    SourceForbidden,
    SourceMissing,
    annexb,
)


def pictures(frames):
    return [frame for frame in frames if frame.codec != "opus"]


def sounds(frames):
    return [frame for frame in frames if frame.codec == "opus"]


def steps(frames):
    stamps = [frame.timestamp for frame in frames]
    return [later - earlier for earlier, later in itertools.pairwise(stamps)]


def units_of_file(path, count):
    """The coded units of an MP4's first packets, cut by their length prefixes."""
    units = []
    with av.open(path) as container:
        for packet in container.demux(container.streams.video[0]):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                units.append(data[at + 4 : at + 4 + size])
                at += 4 + size
            if units and packet.pts is not None:
                count -= 1
            if not count:
                return units
    return units


def decode(frames):
    decoder = av.CodecContext.create("h264", "r")
    shown = [picture for frame in frames for picture in decoder.decode(av.Packet(frame.data))]
    return shown + decoder.decode(None)


async def test_bytes_are_passed_through_untouched(clips, playing, until):
    async with playing(clips["street"]) as (source, frames):
        await until(lambda: len(frames) >= 12)
    assert source.info.passthrough
    assert (source.info.width, source.info.height, source.info.rate) == (768, 576, 10)
    assert source.info.profile == "42c01f"
    got = [unit for frame in frames[:12] for unit in annexb.units(frame.data)]
    kept = [unit for unit in got if unit[0] & 0x1F not in {annexb.SPS, annexb.PPS}]
    assert kept == units_of_file(clips["street"], 12)
    for frame in frames[:12]:
        kinds = annexb.kinds(frame.data)
        assert frame.keyframe == (annexb.IDR in kinds) == (annexb.SPS in kinds) == (annexb.PPS in kinds)
    assert [at for at, frame in enumerate(frames[:12]) if frame.keyframe] == [0, 10]


async def test_a_file_is_played_in_its_own_time(clips, playing, until):
    loop = asyncio.get_running_loop()
    async with playing(clips["street"]) as (_, frames):
        await until(lambda: len(frames) >= 2)
        began = loop.time()
        await until(lambda: len(frames) >= 17)
        took = loop.time() - began
    assert 1.3 < took < 2.2
    assert set(steps(frames)) == {9_000}


async def test_laps_join_without_a_seam(clips, playing, until):
    async with playing(clips["short"]) as (_, frames):
        await until(lambda: len(frames) >= 50)
    assert set(steps(frames)) == {3_600}
    assert [at for at, frame in enumerate(frames) if frame.keyframe] == [0, 20, 40]


@pytest.mark.parametrize("kind", ["one", "one_encoded"])
async def test_a_file_of_one_picture_is_no_busy_loop(clips, playing, until, kind):
    async with playing(clips[kind]) as (_, frames):
        await until(lambda: len(frames) >= 3)
        seen = len(frames)
        await asyncio.sleep(1)
        assert 5 < len(frames) - seen < 40


async def test_a_file_that_ends_before_its_first_picture_is_tried_again_with_a_pause(clips, until):
    source, states = Source(clips["header"]), []
    source.on_state = lambda state: states.append((state, source.reason))
    await source.open()
    await until(lambda: source.state == "retrying")
    assert "before its first picture" in source.reason
    await asyncio.sleep(1.2)
    await source.close()
    assert [state for state, _ in states].count("retrying") <= 2, "0.5 s, then 1 s: no busy loop"


async def test_a_jump_of_the_clock_is_not_waited_for(tmp_path, playing, until):
    path = str(tmp_path / "jump.ts")
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "0", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(50):
            picture = av.VideoFrame(320, 240, "yuv420p")
            picture.pts, picture.time_base = index + (90_000 if index >= 25 else 0), Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    async with playing(path) as (_, frames):
        await until(lambda: len(frames) >= 45, within=10)
    assert max(steps(frames)) < 90_000


async def test_a_source_that_is_not_looped_ends(clips, until):
    source, states = Source(clips["short"], loop=False), []
    source.on_state = states.append
    await source.open()
    await until(lambda: source.state == "ended")
    await source.close()
    assert states == ["live", "ended", "closed"]


@pytest.mark.parametrize("kind", ["b_frames", "mjpeg", "high422", "odd"])
async def test_what_no_browser_plays_is_encoded(clips, playing, until, kind):
    async with playing(clips[kind]) as (source, frames):
        await until(lambda: len(frames) >= 25)
    assert not source.info.passthrough
    assert frames[0].keyframe
    assert all(step > 0 for step in steps(frames))
    assert annexb.profile(frames[0].data).startswith("42")
    shown = decode(frames)
    assert len(shown) == len(frames), "a picture out for every picture in: nothing is held back"
    assert all(picture.pict_type != PictureType.B for picture in shown)
    assert shown[0].width == source.info.width & ~1


async def test_pictures_of_b_frames_come_in_the_order_in_which_they_are_shown(clips, playing, until):
    async with playing(clips["b_frames"]) as (_, frames):
        await until(lambda: len(frames) >= 20)
    # The bar moves right by 5 pixels a frame.
    at = [int(picture.to_ndarray(format="gray8")[120].argmax()) for picture in decode(frames)[:20]]
    assert all(later > earlier for earlier, later in itertools.pairwise(at))


async def test_b_frames_that_the_header_does_not_tell_are_noticed_while_playing(
    clips, playing, until, monkeypatch
):
    monkeypatch.setattr("plait.media.player.playable", lambda _: True)
    monkeypatch.setattr("plait.media.player.PROBE", 0)
    async with playing(clips["b_frames"]) as (source, frames):
        await until(lambda: not source.info.passthrough)
        seen = len(frames)
        await until(lambda: len(frames) > seen + 10)
    assert all(step > 0 for step in steps(frames))


async def test_h264_from_a_transport_stream_is_passed_through(clips, playing, until):
    async with playing(clips["transport"]) as (source, frames):
        await until(lambda: len(frames) >= 30)
    assert source.info.passthrough
    assert len(decode(frames)) == len(frames)


async def test_nothing_is_encoded_for_nobody_and_the_first_viewer_starts_with_a_keyframe(clips, until):
    source, frames = Source(clips["mjpeg"]), []
    source.on_frame = frames.append
    await source.open()
    await asyncio.sleep(0.5)
    assert frames == []
    source.watch(True)
    await until(lambda: len(frames) >= 3)
    assert frames[0].keyframe
    await source.close()


async def test_a_late_viewer_of_predicted_pictures_sees_the_right_ones(clips, until):
    source, frames = Source(clips["b_frames"]), []
    source.on_frame = frames.append
    await source.open()
    await asyncio.sleep(0.3)  # in the middle of the group
    source.watch(True)
    await until(lambda: len(frames) >= 5)
    await source.close()
    gray = decode(frames)[0].to_ndarray(format="gray8")
    assert gray[120].max() > 150, "the bar is there"
    assert (gray[120] > 100).sum() < 40, "and nothing else"


async def test_a_keyframe_comes_when_asked_for(clips, playing, until):
    async with playing("test:320x240@25") as (source, frames):
        await until(lambda: len(frames) >= 16)
        assert sum(frame.keyframe for frame in frames) == 1
        for _ in range(50):
            source.request_keyframe()
        await until(lambda: sum(frame.keyframe for frame in frames) >= 2)
        seen = len(frames)
        await until(lambda: len(frames) >= seen + 8)
        assert sum(frame.keyframe for frame in frames) == 2, "asking often makes one"


async def test_sound_becomes_opus_and_stays_in_step(clips, playing, until):
    async with playing(clips["sound"]) as (source, frames):
        await until(lambda: len(sounds(frames)) >= 100)
    assert source.info.audio
    assert source.info.passthrough
    heard = sounds(frames)
    assert all(960 <= step < 7_200 for step in steps(heard)), "20 ms packets; at a lap's seam never backwards"
    assert steps(heard).count(960) > 90
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate = 48_000
    tone = [block for frame in heard[:20] for block in decoder.decode(av.Packet(frame.data))]
    assert max(abs(block.to_ndarray()).max() for block in tone) > 0
    assert abs(heard[0].timestamp / 48_000 - pictures(frames)[0].timestamp / 90_000) < 0.1


async def test_opus_is_passed_through(clips, playing, until):
    async with playing(clips["opus"]) as (_, frames):
        await until(lambda: len(sounds(frames)) >= 10)
    with av.open(clips["opus"]) as container:
        theirs = [bytes(packet) for packet in container.demux(container.streams.audio[0])]
    assert [frame.data for frame in sounds(frames)[:10]] == theirs[:10]


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("missing", SourceMissing, "no such file"),
        ("text", NotAVideo, "not a video"),
        ("notes", NotAVideo, "not a video"),
        ("still", NotAVideo, "a single picture"),
        ("tail", NotAVideo, "not a video"),
        ("folder", NotAVideo, "a folder"),
    ],
)
async def test_a_source_that_cannot_be_says_so_in_a_line(clips, kind, error, says):
    source = Source(clips[kind])
    with pytest.raises(error, match=says) as caught:
        await source.open()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(clips[kind])
    await source.close()


async def test_a_file_that_was_cut_short_plays_as_far_as_it_goes(clips, playing, until):
    async with playing(clips["cut"]) as (_, frames):
        await until(lambda: sum(frame.keyframe for frame in frames) >= 4)
    assert all(step > 0 for step in steps(frames))


async def test_a_device_that_is_not_there():
    source = Source("/dev/video77")
    with pytest.raises(SourceMissing, match="/dev/video77: no such device"):
        await source.open()


@pytest.mark.parametrize(
    ("raised", "error", "says"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), SourceForbidden, "not allowed to open it"),
        (OSError(errno.EBUSY, "Device or resource busy"), SourceBusy, "another program is using it"),
        (OSError(errno.ENODEV, "No such device"), SourceMissing, "no such device"),
        (OSError(errno.EIO, "Input/output error"), SourceBroken, "input/output error"),
        (None, SourceBroken, "it cannot be opened"),
    ],
)
def test_what_the_system_says_of_a_device_is_typed(raised, error, says):
    told = Location.parse("/dev/video0").explain(raised)
    assert type(told) is error
    assert str(told) == f"/dev/video0: {says}"


async def test_an_address_where_nobody_is_is_tried_again(until):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"rtsp://me:secret@127.0.0.1:{taken.getsockname()[1]}/x"
        source, states = Source(address), []
        source.on_state = lambda state: states.append((state, source.reason))
        await source.open()
        await source.close()
    assert states[0][0] == "retrying"
    assert "nobody listens there" in states[0][1]
    assert "secret" not in states[0][1]


async def test_closing_leaves_no_thread(clips, playing, until):
    before = set(threading.enumerate())  # another test's may still sit in a read of the network
    async with playing(clips["street"]) as (_, frames):
        await until(lambda: frames)
        mine = set(threading.enumerate()) - before
        assert "plait-source" in {thread.name for thread in mine}
    assert "plait-source" not in {thread.name for thread in mine if thread.is_alive()}


async def test_a_loop_that_stands_still_costs_pictures_and_not_memory(clips, until, monkeypatch):
    import time

    monkeypatch.setattr("plait.media.source._QUEUE", 4)
    source, frames = Source(clips["short"]), []
    source.on_frame = frames.append
    await source.open()
    await until(lambda: frames)
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is held up on purpose
    await until(lambda: sum(frame.keyframe for frame in frames) >= 3)
    await source.close()
    assert source.dropped > 0
    gap = max(range(len(steps(frames))), key=lambda at: steps(frames)[at])
    assert steps(frames)[gap] > 3_600
    assert frames[gap + 1].keyframe, "after a gap it goes on at a keyframe"


RTSP_SERVER = """
import asyncio, sys
import aio_rtsp_toolkit.server as server
asyncio.run(server.serve(sys.argv[1], "127.0.0.1", int(sys.argv[2])))
"""


@contextlib.asynccontextmanager
async def rtsp_server(folder, port):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RTSP_SERVER, str(folder), str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_rtsp_is_played_and_comes_back_after_its_server_was_killed(clips, until, tmp_path):
    pytest.importorskip("aio_rtsp_toolkit")
    port = free_port()
    shutil.copy(clips["street"], tmp_path / "street.mp4")
    source, frames, states = Source(f"rtsp://127.0.0.1:{port}/street.mp4"), [], []
    source.on_frame = frames.append
    source.on_state = states.append
    source.watch(True)
    async with rtsp_server(tmp_path, port):
        await source.open()
        await until(lambda: sum(frame.keyframe for frame in frames) >= 2)
        assert source.info.passthrough
        # The server starts in the middle of a group, and gives the parameter sets in its SDP.
        key = next(frame for frame in frames if frame.keyframe)
        assert {annexb.SPS, annexb.PPS, annexb.IDR} <= set(annexb.kinds(key.data))
    await until(lambda: source.state == "retrying")
    seen = len(frames)
    async with rtsp_server(tmp_path, port):
        await until(lambda: len(frames) > seen + 5)
        assert source.state == "live"
        await source.close()
    assert all(step > 0 for step in steps(frames))


@pytest.fixture
def web(clips, tmp_path):
    """A web server with a clip, a page and nothing else; gives its address."""
    shutil.copy(clips["short"], tmp_path / "short.mp4")
    (tmp_path / "page.html").write_text("<p>no video</p>" * 200)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


async def test_a_recording_behind_an_address_is_looped_in_its_own_time(web, playing, until):
    loop = asyncio.get_running_loop()
    async with playing(f"{web}/short.mp4") as (source, frames):
        await until(lambda: frames)
        began = loop.time()
        await until(lambda: len(frames) >= 45)
        assert 1.4 < loop.time() - began < 4
    assert source.info.passthrough
    assert set(steps(frames)) == {3_600}


async def test_a_page_is_no_video(web):
    with pytest.raises(NotAVideo, match="not a video"):
        await Source(f"{web}/page.html").open()


async def test_an_address_without_anything_is_tried_again(web, until):
    source = Source(f"{web}/none.mp4")
    await source.open()
    assert source.state == "retrying"
    assert "404" in source.reason or "nothing" in source.reason
    await source.close()


async def test_a_server_that_says_nothing_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr("plait.media.location.OPEN_TIMEOUT", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        source = Source(f"http://127.0.0.1:{mute.getsockname()[1]}/x.mp4")
        async with asyncio.timeout(5):
            await source.open()
        assert source.state == "retrying"
        assert "no answer in time" in source.reason
        await source.close()
