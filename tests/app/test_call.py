"""Calls from an app to a thing, with a real hub and a real engine at both ends."""

import asyncio
from typing import Any

import pytest

from plait.rtc import EncodedFrame, IceCandidate, IceServer, PeerConnection, RtcError, SessionDescription
from plait.testing import HubProcess, connected, running_hub, served
from plait.thing import Thing
from plait.thing.call import Call
from plait.wire.errors import ActionFailed, Offline, UnknownOperation


class Phone(Thing):
    """It answers with an echo on every channel, and sends a frame where video is asked for."""

    def __init__(self) -> None:
        super().__init__("urn:dev:phone")
        self.peers: list[PeerConnection] = []
        self.calls: list[Call] = []
        self.over = asyncio.Event()
        self.refusal = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_call(self, call: Call) -> None:
        if self.refusal:
            raise RuntimeError(self.refusal)
        self.calls.append(call)
        try:
            async with PeerConnection() as peer:
                self.peers.append(peer)
                peer.on_ice_candidate = call.send_candidate
                peer.on_track = lambda line: self._spawn(self._show(peer, line))
                peer.on_data_channel = lambda channel: self._spawn(self._echo(channel))
                call.on_candidate = lambda c: peer.add_ice_candidate(
                    c and IceCandidate(c.candidate, c.sdp_mid)
                )
                async for offer in call.offers():
                    answer = await peer.accept(SessionDescription("offer", offer.sdp))
                    offer.answer(answer.sdp)
        finally:
            self.over.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _echo(self, channel: Any) -> None:
        async for message in channel:
            await channel.send(message)

    async def _show(self, peer: PeerConnection, line: Any) -> None:
        await peer.connected()
        for number in range(100):
            line.send(EncodedFrame(b"\x90\x00\x00\x9d\x01\x2a" + bytes(200), number * 3000, True, "VP8"))
            await asyncio.sleep(0.02)


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path, turn=False, ice_servers=[{"urls": "stun:127.0.0.1:9"}]) as hub:
        yield hub


@pytest.fixture
async def phone(hub):
    phone = Phone()
    async with served(phone, hub=hub):
        yield phone


@pytest.fixture
async def home(hub, phone):
    async with connected(hub) as home:
        yield home


async def test_channels_open_and_carry(home, phone):
    async with asyncio.timeout(20), home.thing("Phone").call() as call:
        first = await call.channel("one")
        second = await call.channel("two", ordered=False, max_retransmits=0)
        await first.send("hello")
        await second.send(b"\x00\x01")
        assert await anext(aiter(first)) == "hello"
        assert await anext(aiter(second)) == b"\x00\x01"
        assert call.peer.connection_state == "connected"
        await call.connected()
    await asyncio.wait_for(phone.over.wait(), 10)
    assert phone.peers[0].connection_state == "closed"


async def test_both_ends_are_told_the_servers_of_the_hub(home, phone):
    async with asyncio.timeout(20), home.thing("Phone").call() as call:
        await call.channel("one")
        assert call.ice_servers == ({"urls": "stun:127.0.0.1:9"},)
        assert phone.calls[0].ice_servers == ({"urls": "stun:127.0.0.1:9"},)
        assert call.peer.ice_servers == (IceServer(("stun:127.0.0.1:9",)),)


async def test_video_arrives_as_frames_beside_a_channel(home, phone):
    async with asyncio.timeout(20), home.thing("Phone").call() as call:
        picture = call.receive("video")
        channel = await call.channel("control")
        await channel.send("x")
        frame = await anext(aiter(picture))
        assert frame.codec == "VP8"
        assert len(frame.data) == 206


async def ring(thing, ask):
    async with asyncio.timeout(20), thing.call() as call:
        await ask(call)


async def _channel(call):
    await call.channel("one")


async def _video(call):
    call.receive("video")
    await call.connected()


async def _frames(call):
    async for _ in call.receive("video"):
        raise AssertionError


@pytest.mark.parametrize("ask", [_channel, _video, _frames])
async def test_a_refusal_is_raised_where_it_is_waited_for(home, phone, ask):
    phone.refusal = "the line is engaged"
    with pytest.raises(ActionFailed, match="the line is engaged"):
        await ring(home.thing("Phone"), ask)


async def test_a_thing_that_takes_no_calls_says_so(hub, home):
    class Lamp(Thing):
        pass

    async with served(Lamp(), hub=hub):
        lamp = await home.wait_for("Lamp", timeout=10)
        with pytest.raises(UnknownOperation, match="Lamp takes no calls"):
            await ring(lamp, _channel)


async def test_a_thing_that_is_away_cannot_be_called(tmp_path):
    async with running_hub(tmp_path) as hub, connected(hub) as home:
        async with served(Phone(), hub=hub):
            phone = await home.wait_for("Phone", timeout=10)
        with pytest.raises(Offline):
            async with phone.call():
                raise AssertionError


async def test_the_thing_may_hang_up(home, phone):
    async def listen(call):
        channel = await call.channel("one")
        phone.calls[0].bye("dinner")
        async for _ in channel:
            raise AssertionError
        assert await call.over() == "dinner"
        await channel.send("still there?")

    with pytest.raises(RtcError):
        await ring(home.thing("Phone"), listen)


async def test_a_call_that_asks_for_nothing_needs_no_engine(home, phone):
    async with home.thing("Phone").call() as call:
        assert call._made is None


async def test_a_standing_call_outlives_a_hub_that_is_killed(tmp_path):
    async with HubProcess(tmp_path) as hub, served(Phone(), hub=hub), connected(hub) as home:
        phone = home.thing("Phone")
        async with asyncio.timeout(20), phone.call() as call:
            channel = await call.channel("one")
            await hub.kill()
            await channel.send("without a hub")
            assert await anext(aiter(channel)) == "without a hub"
