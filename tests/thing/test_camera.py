"""The camera's calls with a real engine at both ends, and no hub between."""

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager
from fractions import Fraction

import av
import numpy as np
import pytest

from plait.app.video import Video
from plait.media import STREET, NotAVideo
from plait.rtc import IceCandidate, PeerConnection, SessionDescription
from plait.thing.call import Call
from plait.thing.camera import Camera
from plait.wire.errors import PlaitError, UnknownOperation


@pytest.fixture
async def camera(tmp_path):
    """The demo's camera, playing."""
    camera = Camera("urn:dev:camera", source=STREET, state=tmp_path)
    main = asyncio.create_task(camera.main())
    await camera.open()
    yield camera
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)


@asynccontextmanager
async def called(camera, *, codecs=("H264",), audio=False):
    """Call a camera; gives the viewer's peer, its video line and what the camera told."""
    peer, told = PeerConnection(), []

    def tell(data):
        told.append(data)
        if data["type"] == "candidate" and data["candidate"]:
            peer.add_ice_candidate(IceCandidate(data["candidate"]))

    call = Call("c-1", ask=None, tell=tell)
    task = asyncio.create_task(camera.on_call(call))
    video = peer.add_transceiver("video", direction="recvonly", codecs=codecs)
    peer.on_ice_candidate = lambda c: c and call.take({"type": "candidate", "candidate": c.candidate})
    async with peer:
        offer = await peer.create_offer()
        answer = await call.take_offer({"type": "offer", "sdp": offer.sdp})
        await peer.set_answer(SessionDescription("answer", answer["sdp"]))
        try:
            yield peer, video, told, call
        finally:
            call.lose("the viewer left")
            await asyncio.wait_for(task, 10)


async def until(condition, within=15.0):
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def decoded_clip(count):
    with av.open(STREET) as container:
        pictures = []
        for picture in container.decode(video=0):
            pictures.append(picture.to_ndarray(format="gray8").astype(int))
            if len(pictures) == count:
                return pictures
    return pictures


async def test_a_viewer_sees_the_source_at_once_and_bit_for_bit(camera):
    await until(lambda: len(camera.fanout.group) >= 4)
    began = asyncio.get_running_loop().time()
    async with called(camera) as (_, video, _, _), Video(video, limit=100) as pictures:
        first = await asyncio.wait_for(anext(pictures), 5)
        assert asyncio.get_running_loop().time() - began < 2.0
        seen = [first, *[await asyncio.wait_for(anext(pictures), 5) for _ in range(9)]]
        assert camera.viewers == 1
    assert pictures.damaged == 0
    source = decoded_clip(40)
    start = min(range(30), key=lambda at: np.abs(source[at] - seen[0].to_ndarray(format="gray8")).sum())
    for expected, picture in zip(source[start:], seen, strict=False):
        assert (expected == picture.to_ndarray(format="gray8")).all(), "passed through: the same pixels"
    stamps = [picture.pts for picture in seen]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    await until(lambda: camera.viewers == 0)


async def test_a_call_that_comes_while_the_source_is_being_opened_waits_for_it(tmp_path, monkeypatch):
    camera = Camera("urn:dev:camera", source=STREET, state=tmp_path)
    may_open, opening = asyncio.Event(), camera.source.open

    async def slowly():
        await may_open.wait()
        await opening()

    monkeypatch.setattr(camera.source, "open", slowly)
    main = asyncio.create_task(camera.main())
    asyncio.get_running_loop().call_later(0.3, may_open.set)
    async with called(camera) as (_, video, _, _):
        assert (await asyncio.wait_for(video.receive(), 10)).keyframe
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)


async def test_two_viewers_and_one_that_vanishes(camera):
    async with called(camera) as (_, staying, _, _):
        async with called(camera) as (_, leaving, _, _):
            await until(lambda: camera.viewers == 2)
            await asyncio.wait_for(leaving.receive(), 5)
        await until(lambda: camera.viewers == 1)
        frames = [await asyncio.wait_for(staying.receive(), 5) for _ in range(8)]
    assert frames[0].codec == "H264"
    await until(lambda: camera.viewers == 0)


async def test_a_viewer_that_closes_its_connection_without_a_bye_is_let_go(camera):
    async with called(camera) as (peer, video, told, _):
        await asyncio.wait_for(video.receive(), 5)
        await peer.close()
        await until(lambda: any(each["type"] == "bye" for each in told), within=20)
        await until(lambda: camera.viewers == 0)


async def test_a_viewer_that_takes_another_codec_only_is_told_so(camera):
    with pytest.raises(UnknownOperation, match="The camera sends H264; this viewer takes VP8"):
        async with called(camera, codecs=("VP8",)):
            pass
    assert camera.viewers == 0


async def test_a_garbage_offer_disturbs_nobody(camera):
    async with called(camera) as (_, video, _, _):
        await asyncio.wait_for(video.receive(), 5)
        call = Call("c-2", ask=None, tell=lambda _: None)
        task = asyncio.create_task(camera.on_call(call))
        with pytest.raises(PlaitError, match="cannot be read"):
            await call.take_offer({"type": "offer", "sdp": "v=0\r\nm=garbage"})
        call.take({"type": "candidate", "candidate": "candidate:nonsense"})
        call.lose("gone")
        await asyncio.wait_for(task, 10)
        for _ in range(5):
            await asyncio.wait_for(video.receive(), 5)


async def test_an_echo_channel_echoes(camera):
    peer = PeerConnection()
    call = Call("c-3", ask=None, tell=lambda _: None)
    task = asyncio.create_task(camera.on_call(call))
    async with peer:
        channel = peer.create_data_channel("echo")
        offer = await peer.create_offer()
        peer.on_ice_candidate = lambda c: c and call.take({"type": "candidate", "candidate": c.candidate})
        answer = await call.take_offer({"type": "offer", "sdp": offer.sdp})
        await peer.set_answer(SessionDescription("answer", answer["sdp"]))
        await asyncio.wait_for(channel.opened(), 10)
        messages = aiter(channel)
        for message in ("text", b"bytes", b"x" * 100_000):
            await channel.send(message)
            assert await asyncio.wait_for(anext(messages), 5) == message
        assert camera.viewers == 0
        call.lose("done")
        await asyncio.wait_for(task, 10)


async def test_the_description_says_what_a_call_gives(camera, tmp_path):
    described = camera.describe()
    assert described["@type"] == ["Camera"]
    assert {"rel": "plait:call", "href": "/ws", "plait:media": ["video"]} in described["links"]
    assert described["properties"]["viewers"]["readOnly"]
    assert (camera.resolution, camera.frame_rate, camera.passthrough, camera.state) == (
        "768x576",
        10.0,
        True,
        "live",
    )


async def test_a_camera_keeps_its_certificate(tmp_path):
    one = Camera("urn:dev:a/b", source="test:", state=tmp_path)
    again = Camera("urn:dev:a/b", source="test:", state=tmp_path)
    other = Camera("urn:dev:c", source="test:", state=tmp_path)
    assert one.certificate.fingerprint == again.certificate.fingerprint != other.certificate.fingerprint
    kept = list(tmp_path.rglob("*.pem"))
    assert len(kept) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


async def test_what_cannot_be_a_source_is_said_before_anything_is_served(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a video\n" * 50)
    with pytest.raises(NotAVideo):
        Camera("urn:dev:x", source=str(path), state=tmp_path).look()


async def test_a_source_that_is_away_is_told_as_a_property(tmp_path):
    camera = Camera("urn:dev:x", source="rtsp://127.0.0.1:1/x", state=tmp_path)
    camera.look()
    main = asyncio.create_task(camera.main())
    await until(lambda: camera.state == "retrying")
    assert "nobody listens there" in camera.problem
    with pytest.raises(UnknownOperation, match="no picture"):
        async with called(camera):
            pass
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)


def rare_keyframes(path):
    """A clip of 4 s with a keyframe at its start alone."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "0", "g": "250", "profile": "baseline"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(100):
            picture = av.VideoFrame.from_ndarray(np.full((240, 320), index * 2, np.uint8), format="gray8")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("passed", [True, False])
async def test_a_viewer_that_asks_gets_a_keyframe_before_the_next_one_is_due(tmp_path, passed):
    source = rare_keyframes(tmp_path / "rare.mp4") if passed else "test:320x240@25"
    camera = Camera("urn:dev:camera", source=source, state=tmp_path)
    main = asyncio.create_task(camera.main())
    await camera.open()
    async with called(camera) as (_, video, _, _):
        stamps = [(await asyncio.wait_for(video.receive(), 5)).timestamp for _ in range(30)]
        began = asyncio.get_running_loop().time()
        video.request_keyframe()
        async with asyncio.timeout(5):
            while not (frame := await video.receive()).keyframe:
                stamps.append(frame.timestamp)
        stamps += [frame.timestamp, *[(await video.receive()).timestamp for _ in range(10)]]
        assert asyncio.get_running_loop().time() - began < 1.5
    assert camera.passthrough is passed
    assert all(one < other for one, other in itertools.pairwise(stamps))
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)


def test_run_says_in_a_line_what_is_wrong_with_the_source(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        Camera("urn:dev:x", source=str(tmp_path / "none.mp4"), title="Yard", state=tmp_path).run()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"Yard: {tmp_path}/none.mp4: no such file\n"


async def test_a_camera_that_is_opened_from_two_places_plays_its_source_once(tmp_path):
    camera = Camera("urn:dev:x", source=STREET, state=tmp_path)
    before = [thread.name for thread in threading.enumerate()].count("plait-source")
    await asyncio.gather(camera.open(), camera.open())
    assert [thread.name for thread in threading.enumerate()].count("plait-source") == before + 1
    with pytest.raises(RuntimeError, match="open already"):
        await camera.source.open()
    await camera.source.close()
