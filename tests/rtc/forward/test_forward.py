"""One incoming track to many peers."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from plait.rtc import EncodedFrame, Forwarder, NegotiationError, NoCommonCodec, PeerClosed, PeerConnection

RATE = 30


@pytest.fixture(scope="session")
def layered(encode):
    """H.264 in two tiers: every second frame is one that no other refers to."""
    params = (
        "bframes=1:b-adapt=0:b-pyramid=none:scenecut=0:keyint=60:min-keyint=60:slices=1:rc-lookahead=0:"
        "vbv-maxrate=800:vbv-bufsize=160"
    )
    return encode("libx264", "H264", 60, preset="ultrafast", **{"x264-params": params})


@pytest.fixture(scope="session")
def vp8(encode):
    return encode("libvpx", "VP8", 30, deadline="realtime", **{"cpu-used": "8"})


async def test_five_viewers_decode_one_camera(relay, vp8, decodable):
    camera = relay.camera(vp8)
    incoming = await relay.take(camera)
    viewers = [await relay.show(incoming) for _ in range(5)]
    await asyncio.gather(*(viewer.got(60) for viewer in viewers))
    for viewer in viewers:
        frames = viewer.frames[:60]
        assert frames[0].keyframe
        assert frames[0].codec == "VP8"
        assert decodable(frames) >= 59
        times = [frame.timestamp for frame in frames]
        assert times == sorted(times)
        stats = await viewer.forwarding.stats()
        assert stats["framesSent"] >= 60
        assert stats["framesDropped"] == 0
        assert stats["qualityLimitationReason"] == "none"
        assert (await viewer.near.stats())[f"O{viewer.forwarding.viewer.mid}"]["framesSent"] >= 60


async def test_a_viewers_loss_is_repaired_here(relay, h264):
    camera = relay.camera(h264)
    incoming = await relay.take(camera)
    path = relay.path()
    lossy, clean = await relay.show(incoming, path), await relay.show(incoming)
    await asyncio.gather(lossy.got(10), clean.got(10))
    path.loss = 0.1
    begun, frames = len(lossy.frames), len(clean.frames)
    await clean.got(3 * RATE)
    path.loss = 0.0
    await clean.got(RATE)
    sent = len(clean.frames) - frames
    assert path.dropped > 30
    assert len(lossy.frames) - begun >= 0.97 * sent
    await lossy.told(lambda stats: stats["nackCount"] > 0 < stats["retransmittedPacketsSent"], "repairs")
    asked = (await camera.peer.stats())[f"O{camera.line.mid}"]
    assert asked["nackCount"] == 0
    assert (await clean.forwarding.stats())["nackCount"] == 0


async def test_a_slow_viewer_gets_less_and_the_others_all(relay, layered):
    camera = relay.camera(layered)
    incoming = await relay.take(camera)
    path = relay.path()
    slow, fast = await relay.show(incoming, path), await relay.show(incoming)
    await asyncio.gather(slow.got(2 * RATE), fast.got(2 * RATE))
    begun = len(fast.frames)
    whole = (await fast.forwarding.stats())["targetBitrate"]

    path.bits = int(whole * 0.75)
    stats = await slow.told(lambda stats: stats["temporalLayer"] == 0, "half of the frames")
    assert stats["qualityLimitationReason"] == "bandwidth"
    path.bits = int(whole * 0.2)
    await slow.told(lambda stats: stats["thinned"], "little but keyframes")
    before = await slow.forwarding.stats()
    await fast.got(3 * RATE)
    after = await slow.forwarding.stats()
    # Keyframes, and the few frames after each that fit in.
    assert after["keyFramesSent"] > before["keyFramesSent"]
    assert after["framesSent"] - before["framesSent"] < 2 * RATE
    assert after["framesDroppedBandwidth"] > before["framesDroppedBandwidth"] + RATE
    told = await fast.forwarding.stats()
    assert told["framesDropped"] == 0, told
    assert told["qualityLimitationReason"] == "none"
    assert len(fast.frames) - begun >= 0.99 * (told["framesSent"] - begun) - 2


async def test_twenty_who_join_at_once_cost_a_keyframe_a_second(relay, layered):
    camera = relay.camera(layered)
    incoming = await relay.take(camera)
    lines = [await relay.connect() for _ in range(20)]
    forwardings = await asyncio.gather(*(incoming.forward_to(near.transceivers[0]) for near, _ in lines))
    viewers = [relay.viewer(near, far, made) for (near, far), made in zip(lines, forwardings, strict=True)]
    for viewer in viewers:
        relay.background(viewer.watch())
    for _ in range(10):
        # All of them lose the picture again and again.
        for viewer in viewers:
            viewer.far.transceivers[0].request_keyframe()
        await asyncio.sleep(0.25)
    await asyncio.gather(*(viewer.got(5) for viewer in viewers))
    apart = [b - a for a, b in itertools.pairwise(camera.requests)]
    assert 2 <= len(camera.requests) <= 5
    # They are a second apart when they leave; how fast this process hears of each may differ.
    assert all(gap > 0.8 for gap in apart)
    for viewer in viewers:
        assert viewer.frames[0].keyframe


async def test_a_late_viewer_begins_with_the_kept_group(relay, layered, eventually, decodable):
    """A camera that gives no keyframe on request shows its picture at once all the same."""
    camera = relay.camera(layered, answers=False)
    incoming = await relay.take(camera)
    first = await relay.show(incoming)
    await eventually(lambda: any(frame.keyframe for frame in first.frames), "the first keyframe")
    await first.got(20)
    requests = len(camera.requests)
    late = await relay.show(incoming)
    await late.got(20)
    assert late.frames[0].keyframe
    assert len(camera.requests) == requests
    assert decodable(late.frames[:20]) >= 19
    assert (await late.forwarding.stats())["framesDroppedKeyframe"] == 0


async def test_viewers_go_on_with_another_source(relay, h264, layered):
    camera = relay.camera(h264)
    incoming = await relay.take(camera)
    viewer = await relay.show(incoming)
    await viewer.got(30)
    forwarder = viewer.forwarding.forwarder
    lost = asyncio.get_running_loop().create_future()
    forwarder.on_source_lost = lost.set_result
    await camera.peer.close()
    told = await asyncio.wait_for(lost, 10)
    assert told.source is incoming
    assert told.reason == "the far end closed the connection"
    quiet = len(viewer.frames)
    assert viewer.far.connection_state == "connected"
    await forwarder.replace(await relay.take(relay.camera(layered)))
    await viewer.got(30)
    assert viewer.frames[quiet].keyframe
    times = [frame.timestamp for frame in viewer.frames]
    assert times == sorted(times)
    assert viewer.forwarding.end_reason == ""
    assert (await viewer.forwarding.stats())["qualityLimitationResolutionChanges"] == 1


async def test_a_viewer_that_goes_disturbs_nobody(relay, h264):
    incoming = await relay.take(relay.camera(h264))
    stays, goes = await relay.show(incoming), await relay.show(incoming)
    await asyncio.gather(stays.got(10), goes.got(10))
    await goes.far.close()
    assert await asyncio.wait_for(goes.forwarding.ended(), 10) == "the far end closed the connection"
    with pytest.raises(PeerClosed):
        await goes.forwarding.stats()
    await stays.got(30)
    assert (await stays.forwarding.stats())["framesDropped"] == 0
    assert stays.forwarding.forwarder.viewers == (stays.forwarding,)


async def test_a_line_can_be_stopped_and_forwarded_to_again(relay, h264, layered):
    one, two = await relay.take(relay.camera(h264)), await relay.take(relay.camera(layered))
    viewer = await relay.show(one)
    for incoming in (two, one, two):
        await viewer.got(10)
        viewer.forwarding.stop()
        viewer.forwarding = await incoming.forward_to(viewer.near.transceivers[0])
    await viewer.got(10)
    times = [frame.timestamp for frame in viewer.frames]
    assert times == sorted(times)


async def test_a_line_that_python_sent_on(relay, h264, layered):
    """Frames of Python's own, then forwarded ones, then its own again."""
    near, far = await relay.connect(packets=False)
    viewer = relay.viewer(near, far, None)
    relay.background(viewer.watch())
    line = near.transceivers[0]
    own = relay.camera(h264)
    await own.peer.close()
    own.line = line
    playing = asyncio.ensure_future(own.play())
    await viewer.got(8)
    playing.cancel()
    forwarding = await (await relay.take(relay.camera(layered))).forward_to(line)
    await viewer.got(8)
    forwarding.stop()
    playing = asyncio.ensure_future(own.play())
    await viewer.got(8)
    playing.cancel()


async def test_the_sub_stream_serves_the_small(relay, encode):
    preset = {"preset": "ultrafast", "tune": "zerolatency"}
    main = encode("libx264", "H264", 30, (320, 240), 900_000, **preset)
    small = encode("libx264", "H264", 30, (160, 120), 150_000, **preset)
    sources = [await relay.take(relay.camera(frames)) for frames in (main, small)]
    forwarder = Forwarder(*sources)
    near, far = await relay.connect()
    viewer = relay.viewer(near, far, await forwarder.add(near.transceivers[0], max_layer=0))
    relay.background(viewer.watch())
    # Which is the smaller shows when both have been measured for a second.
    await viewer.told(lambda stats: 0 < stats["targetBitrate"] < 400_000, "the small one")
    switches = (await viewer.forwarding.stats())["qualityLimitationResolutionChanges"]
    viewer.forwarding.limit()
    stats = await viewer.told(
        lambda stats: stats["qualityLimitationResolutionChanges"] > switches, "the large one"
    )
    assert stats["targetBitrate"] > 400_000
    viewer.forwarding.limit(max_bitrate=300_000)
    await viewer.told(lambda stats: stats["targetBitrate"] < 400_000, "the small one again")
    assert (await viewer.forwarding.stats())["qualityLimitationReason"] == "none"
    forwarder.close()


async def test_no_codec_in_common(relay, h264):
    incoming = await relay.take(relay.camera(h264))
    near, _ = await relay.connect(codecs=("VP8",))
    with pytest.raises(NoCommonCodec, match="we would send H264; the far end takes VP8") as caught:
        await incoming.forward_to(near.transceivers[0])
    assert (caught.value.ours, caught.value.theirs) == (("H264",), ("VP8",))


async def test_what_cannot_be_forwarded(relay, h264, joined):
    incoming = await relay.take(relay.camera(h264))
    near, far = await relay.connect()
    line = near.transceivers[0]
    with pytest.raises(NegotiationError, match="packets=True"):
        await far.transceivers[0].forward_to(line)
    with pytest.raises(NegotiationError, match="does not send"):
        await incoming.forward_to(far.transceivers[0])
    with pytest.raises(ValueError, match="max_bitrate is negative"):
        await incoming.forward_to(line, max_bitrate=-1)
    forwarding = await incoming.forward_to(line)
    with pytest.raises(NegotiationError, match="forwarded to already"):
        await incoming.forward_to(line)
    forwarding.stop()
    await near.close()
    with pytest.raises(NegotiationError, match="closed, or belongs to another engine thread"):
        await incoming.forward_to(line)
    async with PeerConnection() as alone:
        unnegotiated = alone.add_transceiver("video", direction="sendonly")
        with pytest.raises(NegotiationError, match="nothing negotiated"):
            await incoming.forward_to(unnegotiated)
    async with PeerConnection(packets=True) as a, PeerConnection() as b:
        sound = a.add_transceiver("audio", direction="sendonly")
        await joined(a, b)
        with pytest.raises(NegotiationError, match="cannot be forwarded to a line of audio"):
            await incoming.forward_to(sound)
    forwarder = forwarding.forwarder
    forwarder.close()
    with pytest.raises(PeerClosed):
        await forwarder.stats()


async def test_sound_is_forwarded_as_it_comes(relay, joined):
    device, source = await relay.open(), await relay.open(packets=True)
    microphone = device.add_transceiver("audio", direction="sendonly")
    await joined(device, source)
    near, far = await relay.open(), await relay.open()
    speaker = near.add_transceiver("audio", direction="sendonly")
    await joined(near, far)
    await source.transceivers[0].forward_to(speaker)
    sent = [bytes([0xF8, number]) for number in range(60)]

    async def talk() -> None:
        for number, packet in enumerate(sent):
            microphone.send(EncodedFrame(packet, number * 960, keyframe=True, codec="opus"))
            await asyncio.sleep(0.02)

    relay.background(talk())
    heard = [await asyncio.wait_for(far.transceivers[0].receive(), 10) for _ in range(50)]
    first = sent.index(heard[0].data)
    # What was said before the forwarding began is not repeated; from then on nothing is missing.
    assert [frame.data for frame in heard] == sent[first : first + 50]
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(heard)} == {960}


async def test_what_the_source_loses_is_repaired_before_it_is_forwarded(relay, layered):
    path = relay.path(loss=0.08)
    camera = relay.camera(layered)
    incoming = await relay.take(camera, path)
    viewer = await relay.show(incoming)
    await viewer.got(2 * RATE)
    assert path.dropped > 3
    stream = next(
        entry
        for entry in (await viewer.forwarding.forwarder.stats()).values()
        if entry["type"] == "inbound-rtp"
    )
    assert stream["packetsLost"] == 0
    stats = await viewer.forwarding.stats()
    assert (stats["nackCount"], stats["framesDroppedBandwidth"]) == (0, 0)
    assert (await camera.peer.stats())[f"O{camera.line.mid}"]["nackCount"] > 0
