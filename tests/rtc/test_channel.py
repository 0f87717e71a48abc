"""Data channels between two engines."""

from __future__ import annotations

import asyncio

import pytest

from plait.rtc import ChannelClosed, PeerConnection
from plait.rtc.channel import LOW_WATER


async def test_text_and_binary_arrive_as_sent(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    for message in ("héllo ☃", b"\x00\xff", "", b"", b"x" * 65536, "y" * 65536):
        await mine.send(message)
        received = await asyncio.wait_for(theirs.receive(), 10)
        assert received == message
        assert type(received) is type(message)
        await theirs.send(message)
        assert await asyncio.wait_for(mine.receive(), 10) == message


async def test_the_answerer_opens_channels_too(peers, channel_pair):
    a, b = peers
    await channel_pair(a, b)
    queue: asyncio.Queue = asyncio.Queue()
    a.on_data_channel = queue.put_nowait
    theirs = b.create_data_channel("back", protocol="plait.v1")
    await asyncio.wait_for(theirs.opened(), 10)
    mine = await asyncio.wait_for(queue.get(), 10)
    assert (mine.label, mine.protocol) == ("back", "plait.v1")
    assert mine.id == theirs.id
    await theirs.send("from the answerer")
    assert await asyncio.wait_for(mine.receive(), 10) == "from the answerer"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ordered": False},
        {"max_retransmits": 0, "ordered": False},
        {"max_packet_life_time": 250},
        {"protocol": "a.b"},
    ],
)
async def test_options_reach_the_far_end(peers, channel_pair, options):
    mine, theirs = await channel_pair(*peers, **options)
    for name in ("label", "protocol", "ordered", "max_retransmits", "max_packet_life_time", "id"):
        assert getattr(theirs, name) == getattr(mine, name), name
    assert theirs.ordered is options.get("ordered", True)
    assert theirs.max_retransmits == options.get("max_retransmits")
    await mine.send("still works")
    assert await asyncio.wait_for(theirs.receive(), 10) == "still works"


async def test_a_negotiated_channel_needs_no_announcement(peers, joined):
    a, b = peers
    mine = a.create_data_channel("n", negotiated=True, id=7)
    b.on_data_channel = lambda _channel: pytest.fail("was announced")
    theirs = b.create_data_channel("n", negotiated=True, id=7)
    await joined(a, b)
    await asyncio.wait_for(mine.opened(), 10)
    await asyncio.wait_for(theirs.opened(), 10)
    await mine.send("over 7")
    assert await asyncio.wait_for(theirs.receive(), 10) == "over 7"
    assert mine.id == theirs.id == 7


async def test_bad_options_are_refused(peers):
    a, _ = peers
    a.create_data_channel("n", negotiated=True, id=7)
    for options in (
        {"max_retransmits": 1, "max_packet_life_time": 1},
        {"max_retransmits": -1},
        {"max_packet_life_time": 65536},
        {"negotiated": True},
        {"id": 3},
        {"negotiated": True, "id": 65535},
        {"negotiated": True, "id": 7},
        {"protocol": "p" * 2000},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            a.create_data_channel("n", **options)


async def test_many_messages_stay_in_order_and_whole(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    count = 500

    async def send():
        for number in range(count):
            await mine.send(number.to_bytes(4, "big") * 4096)

    async def receive():
        for number in range(count):
            assert await theirs.receive() == number.to_bytes(4, "big") * 4096

    async with asyncio.timeout(30):
        await asyncio.gather(send(), receive())


async def test_send_holds_back_at_the_high_water_mark(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    seen = 0
    for _ in range(100):
        await mine.send(b"z" * 65536)
        seen = max(seen, mine.buffered_amount)
    assert LOW_WATER < seen <= 1 << 20
    for _ in range(100):
        await asyncio.wait_for(theirs.receive(), 10)
    await asyncio.wait_for(mine.drain(0), 10)
    assert mine.buffered_amount == 0


async def test_a_reader_that_stops_holds_the_sender_and_loses_nothing(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    total, size = 600, 65536  # 39 MB: more than every buffer on the way

    async def send():
        for number in range(total):
            await mine.send(number.to_bytes(4, "big") * (size // 4))

    sending = asyncio.create_task(send())
    await asyncio.sleep(1.5)
    assert not sending.done(), "the sender was not held back"
    assert len(theirs._inbox) * size < 16 << 20, "the receiver took more than it should"
    async with asyncio.timeout(30):
        for number in range(total):
            message = await theirs.receive()
            assert message[:4] == number.to_bytes(4, "big")
            assert len(message) == size
        await sending


async def test_a_message_over_the_far_ends_limit_is_refused(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    assert mine.max_message_size == 256 << 10
    with pytest.raises(ValueError, match="more than the far end takes"):
        await mine.send(b"x" * (mine.max_message_size + 1))
    await mine.send(b"x" * mine.max_message_size)
    assert len(await asyncio.wait_for(theirs.receive(), 10)) == mine.max_message_size


async def test_close_is_seen_by_the_far_end(peers, channel_pair):
    mine, theirs = await channel_pair(*peers)
    closed = asyncio.Event()
    theirs.on_close = closed.set
    mine.close()
    mine.close()
    await asyncio.wait_for(closed.wait(), 10)
    assert theirs.ready_state == "closed"
    with pytest.raises(ChannelClosed):
        await theirs.send("too late")
    with pytest.raises(ChannelClosed):
        await mine.send("too late")
    assert [message async for message in theirs] == []


async def test_closing_one_channel_leaves_the_others(peers, channel_pair):
    a, b = peers
    mine, _ = await channel_pair(a, b)
    queue: asyncio.Queue = asyncio.Queue()
    b.on_data_channel = queue.put_nowait
    second = a.create_data_channel("second")
    theirs = await asyncio.wait_for(queue.get(), 10)
    mine.close()
    await second.send("alive")
    assert await asyncio.wait_for(theirs.receive(), 10) == "alive"


async def test_waiters_learn_that_the_connection_ended(peers, channel_pair):
    a, b = peers
    mine, theirs = await channel_pair(a, b)
    reading = asyncio.create_task(theirs.receive())
    opening = a.create_data_channel("never")
    waiting = asyncio.create_task(opening.opened())
    await asyncio.sleep(0)
    await a.close()
    with pytest.raises(ChannelClosed):
        await asyncio.wait_for(reading, 10)
    results = await asyncio.gather(waiting, return_exceptions=True)
    assert results[0] is None or isinstance(results[0], ChannelClosed)
    with pytest.raises(ChannelClosed, match="closed here"):
        await mine.send("x")


async def test_a_callback_that_raises_does_not_stop_the_next_message(peers, channel_pair, caplog):
    mine, theirs = await channel_pair(*peers)
    got: asyncio.Queue = asyncio.Queue()

    def handler(message):
        got.put_nowait(message)
        if message == "bad":
            raise RuntimeError("the application's own")

    theirs.on_message = handler
    await mine.send("bad")
    await mine.send("good")
    assert [await asyncio.wait_for(got.get(), 10) for _ in range(2)] == ["bad", "good"]
    assert "the application's own" in caplog.text


async def test_hundreds_of_channels(peers, channel_pair):
    a, b = peers
    await channel_pair(a, b)
    queue: asyncio.Queue = asyncio.Queue()
    b.on_data_channel = queue.put_nowait
    channels = [a.create_data_channel(str(number)) for number in range(200)]
    async with asyncio.timeout(20):
        theirs = {channel.label: channel for channel in [await queue.get() for _ in channels]}
        for channel in channels:
            await channel.send(channel.label)
        for label, channel in theirs.items():
            assert await channel.receive() == label


async def test_a_channel_made_before_an_answerer_accepts(joined):
    async with PeerConnection() as a, PeerConnection() as b:
        a.create_data_channel("a")
        early = b.create_data_channel("b")
        queue: asyncio.Queue = asyncio.Queue()
        a.on_data_channel = queue.put_nowait
        await joined(a, b)
        await asyncio.wait_for(early.send("early"), 10)
        assert await asyncio.wait_for((await queue.get()).receive(), 10) == "early"
