"""Paths that lose, double, delay and reorder: reliable channels lose nothing, video recovers.

The path is a process of its own with seeded chances (`benchmarks/_impair.py`); it is as bad as it says from
the first datagram on, connectivity checks and DTLS included.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import av
import pytest

from plait.rtc import PeerConnection

from .paths import bad_path

DELAY = 0.005
SOME = {"delay": DELAY, "duplicate": 0.02, "reorder": 0.02, "late": 0.015}


async def channels(path, a, b, *options):
    """Join through the path with one channel for each of `options`, and return both ends of each."""
    queue: asyncio.Queue = asyncio.Queue()
    b.on_data_channel = queue.put_nowait
    mine = {str(n): a.create_data_channel(str(n), **each) for n, each in enumerate(options)}
    await path.join(a, b)
    async with asyncio.timeout(50):
        await asyncio.gather(*(channel.opened() for channel in mine.values()))
        theirs = {channel.label: channel for channel in [await queue.get() for _ in mine]}
    return [(channel, theirs[label]) for label, channel in mine.items()]


def numbered(number: int, size: int) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


async def carry(source, sink, count: int, size: int) -> None:
    """Send so many numbered messages and see each arrive whole, once, in order."""

    async def send():
        for number in range(count):
            await source.send(numbered(number, size))

    async def receive():
        for number in range(count):
            assert await sink.receive() == numbered(number, size)

    await asyncio.gather(send(), receive())


async def reliable(seed: int, loss: float, count: int, size: int, within: float) -> None:
    async with bad_path(seed, loss=loss, **SOME) as path, PeerConnection() as a, PeerConnection() as b:
        ((mine, theirs),) = await channels(path, a, b, {})
        async with asyncio.timeout(within):
            await asyncio.gather(carry(mine, theirs, count, size), carry(theirs, mine, count, size))
        counts = await path.ask("counts")
        assert counts["doubled"]
        assert counts["late"]
        assert bool(counts["lost"]) == bool(loss)


@pytest.mark.parametrize(("loss", "count"), [(0.0, 40), (0.01, 40), (0.05, 15), (0.1, 8), (0.2, 3)])
async def test_both_directions_lose_nothing(loss, count):
    await reliable(1, loss, count, 16384, 45)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize(("count", "size"), [(2000, 100), (200, 16384), (12, 256 << 10)])
async def test_every_size_survives_every_loss(seed, loss, count, size):
    await reliable(seed, loss, count, size, 500)


async def stopped_reader(seed: int, loss: float, count: int, pause: float) -> None:
    """More than every buffer on the way (8 MiB here, 1 MiB of window) to a reader that stops three times."""
    async with bad_path(seed, loss=loss, delay=0.001) as path, PeerConnection() as a, PeerConnection() as b:
        ((mine, theirs),) = await channels(path, a, b, {})
        size = 65536

        async def send():
            for number in range(count):
                await mine.send(numbered(number, size))

        sending = asyncio.create_task(send())
        async with asyncio.timeout(50):
            for number in range(count):
                if number in (1, count // 3, count // 2):
                    await asyncio.sleep(pause)
                assert await theirs.receive() == numbered(number, size)
            await sending
            # And the way back has not suffered.
            await theirs.send("all there")
            assert await mine.receive() == "all there"


async def test_a_reader_that_stops_and_starts_again_loses_nothing():
    await stopped_reader(2, 0.0, 240, 0.7)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.02])
async def test_a_reader_that_stops_for_seconds_on_a_path_that_loses(loss):
    await stopped_reader(2, loss, 240 if not loss else 160, 5.0)


async def test_unreliable_channels_behave_as_declared():
    declared = (
        {"ordered": False, "max_retransmits": 0},
        {"max_retransmits": 0},
        {"max_packet_life_time": 50},
        {},
    )
    async with bad_path(3, loss=0.1, delay=DELAY) as path, PeerConnection() as a, PeerConnection() as b:
        ends = await channels(path, a, b, *declared)
        count = 200
        got: list[list[int]] = [[] for _ in declared]
        for (_, theirs), numbers in zip(ends, got, strict=True):
            theirs.on_message = lambda message, numbers=numbers: numbers.append(int(message))
        for number in range(count):
            for mine, _ in ends:
                mine.send_nowait(str(number))
            await asyncio.sleep(0.005)
        async with asyncio.timeout(30):
            while len(got[3]) < count:  # noqa: ASYNC110 - four handlers fill four lists
                await asyncio.sleep(0.01)
        unordered, once, timed, surely = got
        assert surely == list(range(count))
        for numbers in (unordered, once, timed):
            assert len(numbers) == len(set(numbers))
            assert count * 0.6 < len(numbers) <= count
        # With 10 % loss, what is never sent again cannot have arrived whole.
        assert len(unordered) < count
        assert len(once) < count
        for numbers in (once, timed):
            assert all(first < second for first, second in pairwise(numbers)), "overtaken, though ordered"


async def test_what_is_given_up_does_not_fill_the_path_with_word_of_it():
    # Each loss is told by a FORWARD TSN, which is answered by a SACK, which must not bring on the next.
    async with bad_path(6, delay=0.02) as path, PeerConnection() as a, PeerConnection() as b:
        ((mine, theirs),) = await channels(path, a, b, {"ordered": False, "max_retransmits": 0})
        before = (await path.ask("counts"))["carried"]
        await path.set(loss=0.05)
        ages = []
        loop = asyncio.get_running_loop()
        theirs.on_message = lambda message: ages.append(loop.time() - float(message))
        count = 1500
        for _ in range(count):
            mine.send_nowait(str(loop.time()).ljust(100))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.3)
        assert len(ages) > count * 0.85
        assert sorted(ages)[len(ages) // 2] < 0.06
        assert (await path.ask("counts"))["carried"] - before < 4 * count


async def video(seed: int, loss: float, seconds: float, h264) -> None:
    """Send a street over and over as an encoder would: a keyframe when one is asked for, deltas else."""
    async with bad_path(seed, loss=loss, **SOME) as path, PeerConnection() as a, PeerConnection() as b:
        sender = a.add_transceiver("video", direction="sendonly")
        tracks: asyncio.Queue = asyncio.Queue()
        b.on_track = tracks.put_nowait
        await path.join(a, b)
        receiver = await asyncio.wait_for(tracks.get(), 10)
        asked = 0

        def on_request():
            nonlocal asked
            asked += 1

        sender.on_keyframe_request = on_request
        decoder = av.CodecContext.create("h264", "r")
        decoded = 0

        async def receive():
            nonlocal decoded
            broken = True
            while True:
                frame = await receiver.receive()
                broken = broken and not frame.keyframe
                if broken:
                    continue
                try:
                    decoded += len(decoder.decode(av.Packet(frame.data)))
                except av.InvalidDataError:
                    # What it builds on is lost; the engine has asked for a keyframe already.
                    broken = True

        receiving = asyncio.create_task(receive())
        sent, at, answered = 0, 0, 0
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds

        async def send_one():
            nonlocal sent, at, answered
            if asked > answered:
                at, answered = 0, asked  # the first is a keyframe
            frame = h264[at % len(h264)]
            sender.send(type(frame)(frame.data, sent * 3000, frame.keyframe, "H264"))
            sent, at = sent + 1, at + 1
            await asyncio.sleep(1 / 30)

        while loop.time() < until:
            await send_one()
        # Recovered, and not only before: pictures come while the path is as bad as before.
        before = decoded
        async with asyncio.timeout(15):
            while decoded < before + 30:
                await send_one()
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        assert decoded > 30


@pytest.mark.parametrize("loss", [0.1])
async def test_video_recovers(loss, h264):
    await video(4, loss, 1.0, h264)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1, 0.2])
async def test_video_recovers_at_every_loss(seed, loss, h264):
    await video(10 + seed, loss, 20.0, h264)


async def test_a_path_that_carries_nothing_for_three_seconds():
    async with bad_path(5, delay=DELAY) as path, PeerConnection() as a, PeerConnection() as b:
        ((mine, theirs),) = await channels(path, a, b, {})
        carrying = asyncio.create_task(carry(mine, theirs, 300, 16384))
        await asyncio.sleep(0.3)
        await path.set(loss=1.0)
        await asyncio.sleep(3)
        await path.set(loss=0.0)
        await asyncio.wait_for(carrying, 30)
        assert a.connection_state == b.connection_state == "connected"
