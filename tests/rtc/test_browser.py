"""Against a real Chromium, in both roles."""

from __future__ import annotations

import asyncio

import pytest

from plait.rtc import EncodedFrame, IceCandidate, PeerConnection, PerfectNegotiation, SessionDescription

from ._page import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]


async def carry(peer: PeerConnection, page) -> asyncio.Queue:
    """Carry candidates both ways; what else the page says is queued."""
    rest: asyncio.Queue = asyncio.Queue()
    tasks = set()

    def to_page(candidate: IceCandidate | None) -> None:
        if candidate is not None:
            init = {"candidate": candidate.candidate, "sdpMLineIndex": 0}
            task = asyncio.ensure_future(page.evaluate("(c) => pc.addIceCandidate(c)", init))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def from_page() -> None:
        while True:
            kind, value = await page.inbox.get()
            if kind == "candidate":
                peer.add_ice_candidate(value and IceCandidate(value["candidate"], value["sdpMid"]))
            else:
                rest.put_nowait((kind, value))

    peer.on_ice_candidate = to_page
    rest.pump = asyncio.create_task(from_page())
    return rest


async def offer_to(peer: PeerConnection, page) -> None:
    offer = await peer.create_offer()
    answer = await page.evaluate(
        """async (sdp) => {
          await pc.setRemoteDescription({ type: "offer", sdp });
          await pc.setLocalDescription();
          return pc.localDescription.sdp;
        }""",
        offer.sdp,
    )
    await peer.set_answer(SessionDescription("answer", answer))


async def accept_from(peer: PeerConnection, page, prepare: str) -> None:
    offer = await page.evaluate(
        f"""async () => {{ {prepare}; await pc.setLocalDescription(); return pc.localDescription.sdp; }}"""
    )
    answer = await peer.accept(SessionDescription("offer", offer))
    await page.evaluate('(sdp) => pc.setRemoteDescription({ type: "answer", sdp })', answer.sdp)


async def exchange(channel, rest) -> None:
    for message, told in (
        ("hello", "hello"),
        (b"\x00" * 1000, 1000),
        (b"x" * 65536, 65536),
        ("☃" * 100,) * 2,
    ):
        await channel.send(message)
        assert await asyncio.wait_for(rest.get(), 10) == ("message", told)
        assert await asyncio.wait_for(channel.receive(), 10) == message


async def watch_street(sender, page, h264, asked) -> dict:
    """Send the street in a loop until the page has decoded 60 frames."""
    frames, number, span = len(h264), 0, h264[-1].timestamp + 3600
    async with asyncio.timeout(30):
        while True:
            frame = h264[number % frames]
            stamp = frame.timestamp + (number // frames) * span
            sender.send(EncodedFrame(frame.data, stamp, frame.keyframe, "H264"))
            number += 1
            if number % 30 == 0:
                seen = await page.evaluate("decoded()")
                if seen.get("frames", 0) >= 60:
                    return seen
            await asyncio.sleep(0.02)


async def test_chromium_answers(page, h264):
    async with PeerConnection() as peer:
        rest = await carry(peer, page)
        channel = peer.create_data_channel("test")
        sender = peer.add_transceiver("video", direction="sendonly", codecs=("H264",))
        asked = asyncio.Event()
        sender.on_keyframe_request = asked.set
        await offer_to(peer, page)
        await asyncio.wait_for(peer.connected(), 15)
        await asyncio.wait_for(channel.opened(), 10)
        await exchange(channel, rest)
        assert sender.codec == "H264"
        seen = await watch_street(sender, page, h264, asked)
        assert seen["codec"] == "video/H264"
        assert seen["width"] == 768
        report = await peer.stats()
        assert report["CP"]["state"] == "succeeded"
    assert (await asyncio.wait_for(rest.get(), 10))[0] == "closed"
    rest.pump.cancel()


async def test_chromium_offers(page, h264):
    async with PeerConnection() as peer:
        rest = await carry(peer, page)
        channels: asyncio.Queue = asyncio.Queue()
        peer.on_data_channel = channels.put_nowait
        tracks: asyncio.Queue = asyncio.Queue()
        peer.on_track = tracks.put_nowait
        await accept_from(
            peer,
            page,
            'adopt(pc.createDataChannel("test", { protocol: "p", ordered: false }));'
            'pc.addTransceiver("video", { direction: "recvonly" });',
        )
        await asyncio.wait_for(peer.connected(), 15)
        channel = await asyncio.wait_for(channels.get(), 10)
        assert (channel.label, channel.protocol, channel.ordered) == ("test", "p", False)
        await exchange(channel, rest)
        sender = await asyncio.wait_for(tracks.get(), 10)
        assert sender.direction == "sendonly"
        assert "H264" in sender.codecs
        seen = await watch_street(sender, page, h264, None)
        assert seen["frames"] >= 60
        rest.pump.cancel()


async def test_chromium_sends_video_and_asks_nothing_back(page):
    async with PeerConnection() as peer:
        rest = await carry(peer, page)
        tracks: asyncio.Queue = asyncio.Queue()
        peer.on_track = tracks.put_nowait
        await accept_from(
            peer,
            page,
            """const canvas = document.createElement("canvas");
            canvas.width = 320; canvas.height = 240;
            const draw = canvas.getContext("2d");
            setInterval(() => { draw.fillStyle = `hsl(${Date.now() / 10 % 360} 90% 50%)`;
              draw.fillRect(0, 0, 320, 240); }, 40);
            const stream = canvas.captureStream(25);
            pc.addTrack(stream.getVideoTracks()[0], stream);""",
        )
        await asyncio.wait_for(peer.connected(), 15)
        receiver = await asyncio.wait_for(tracks.get(), 10)
        async with asyncio.timeout(20):
            first = await receiver.receive()
            assert first.keyframe
            assert first.codec in receiver.codecs
            for _ in range(20):
                assert (await receiver.receive()).timestamp > first.timestamp
            receiver.request_keyframe()
            while not (await receiver.receive()).keyframe:
                pass
        rest.pump.cancel()


async def perfect_with(peer: PeerConnection, page) -> PerfectNegotiation:
    """Join them by perfect negotiation; the page is impolite."""

    async def send(signal) -> None:
        if isinstance(signal, SessionDescription):
            await page.evaluate("(d) => take(d)", {"type": signal.type, "sdp": signal.sdp})
        elif signal is not None:
            init = {"candidate": signal.candidate, "sdpMLineIndex": 0}
            await page.evaluate("(c) => pc.addIceCandidate(c).catch(() => 0)", init)

    async def pump() -> None:
        while True:
            kind, value = await page.inbox.get()
            if kind == "candidate":
                peer.add_ice_candidate(value and IceCandidate(value["candidate"], value["sdpMid"]))
            elif kind == "description":
                await ours.receive(SessionDescription(value["type"], value["sdp"]))

    await page.evaluate(
        """() => {
          let making = false;
          const tell = () => toPython("description", pc.localDescription.toJSON());
          pc.onnegotiationneeded = async () => {
            making = true;
            await pc.setLocalDescription().finally(() => { making = false; });
            await tell();
          };
          window.take = async (description) => {
            const collides = description.type === "offer" && (making || pc.signalingState !== "stable");
            if (collides) return;
            await pc.setRemoteDescription(description);
            if (description.type === "offer") {
              await pc.setLocalDescription();
              await tell();
            }
          };
        }"""
    )
    ours = PerfectNegotiation(peer, send, polite=True)
    ours.pump = asyncio.create_task(pump())
    return ours


async def test_tracks_come_and_go_with_chromium(page, h264):
    async with PeerConnection() as peer:
        ours = await perfect_with(peer, page)
        channel = peer.create_data_channel("test")
        await asyncio.wait_for(channel.opened(), 15)
        sender = peer.add_transceiver("video", direction="sendonly", codecs=("H264",))
        await negotiated(sender, "sendonly")
        assert (await watch_street(sender, page, h264, None))["codec"] == "video/H264"
        tracks: asyncio.Queue = asyncio.Queue()
        peer.on_track = tracks.put_nowait
        await page.evaluate(
            """() => {
              const canvas = document.createElement("canvas");
              const context = canvas.getContext("2d");
              window.painting = setInterval(() => context.fillRect(Math.random() * 200, 0, 20, 20), 20);
              // Not addTrack, which would take the line that we are about to end.
              const [track] = canvas.captureStream(25).getVideoTracks();
              window.added = pc.addTransceiver(track, { direction: "sendonly" });
            }"""
        )
        # Both at once: the page adds its track while we take ours away.
        sender.stop()
        theirs = await asyncio.wait_for(tracks.get(), 15)
        assert (await asyncio.wait_for(theirs.receive(), 15)).data
        await negotiated(sender, "inactive")
        await page.evaluate('added.direction = "inactive"')
        await negotiated(theirs, "inactive")
        await channel.send("still here")
        ours.pump.cancel()


async def test_an_address_that_chromium_hides_is_found(page):
    """The page learns of no candidate of ours: only our check of the name's address connects the two."""
    async with PeerConnection() as peer:
        offer = await page.evaluate(
            """async () => {
              pc.createDataChannel("test");
              await pc.setLocalDescription();
              while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
              return pc.localDescription.sdp;
            }"""
        )
        told = [line.split()[4] for line in offer.splitlines() if line.startswith("a=candidate")]
        assert told
        assert all(address.endswith(".local") for address in told)
        answer = await peer.accept(SessionDescription("offer", offer))
        bare = [line for line in answer.sdp.splitlines() if not line.startswith("a=candidate")]
        sdp = "\r\n".join(bare) + "\r\n"
        await page.evaluate('(sdp) => pc.setRemoteDescription({ type: "answer", sdp })', sdp)
        await asyncio.wait_for(peer.connected(), 15)
        report = await peer.stats()
        assert report[report["CP"]["remoteCandidateId"]]["candidateType"] == "host"


async def negotiated(line, direction: str) -> None:
    async with asyncio.timeout(15):
        while line.current_direction != direction:  # noqa: ASYNC110 - nobody tells of one line's state
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("side", ["ours", "theirs"])
async def test_ice_restarts_with_chromium(page, side):
    async with PeerConnection() as peer:
        ours = await perfect_with(peer, page)
        channel = peer.create_data_channel("test")
        await asyncio.wait_for(channel.opened(), 15)
        fragments = "pc.localDescription.sdp.match(/ice-ufrag:(\\S+)/)[1]"
        before = await page.evaluate(fragments)
        echoed = 0
        if side == "ours":
            peer.restart_ice()
        else:
            await page.evaluate("pc.restartIce()")
        async with asyncio.timeout(15):
            while await page.evaluate(fragments) == before:  # noqa: ASYNC110 - the page's own state
                await asyncio.sleep(0.02)
            for number in range(100):
                await channel.send(str(number))
                assert await channel.receive() == str(number)
                echoed += 1
                await asyncio.sleep(0.06)
        assert echoed == 100
        assert peer.connection_state == "connected"
        assert await page.evaluate("pc.iceConnectionState") in ("connected", "completed")
        ours.pump.cancel()
