"""Lines added, changed and ended while the connection stands, and both ends offering at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from plait.rtc import EncodedFrame, NegotiationError, PerfectNegotiation, SessionDescription

if TYPE_CHECKING:
    from plait.rtc import PeerConnection

WITHIN = 20


def perfect(a: PeerConnection, b: PeerConnection, *, delay: float = 0.0):
    """Join two ends by perfect negotiation; `a` is polite. What goes wrong at an end is kept."""
    failures: list[Exception] = []

    def carry(to: str):
        async def send(signal):
            await asyncio.sleep(delay)
            try:
                await ends[to].receive(signal)
            except Exception as error:  # noqa: BLE001 - told by the test
                failures.append(error)

        return send

    ends = {"a": PerfectNegotiation(a, carry("b"), polite=True)}
    ends["b"] = PerfectNegotiation(b, carry("a"), polite=False)
    return failures


async def until(condition, what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while not condition():  # noqa: ASYNC110 - states of two peers, of which not all are told
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"not within {WITHIN} s: {what}")


@contextlib.asynccontextmanager
async def flowing(sender, frames):
    """Send in a loop for as long as the block runs."""

    async def push():
        span = frames[-1].timestamp + 3600
        number = 0
        while True:
            frame = frames[number % len(frames)]
            stamp = frame.timestamp + number // len(frames) * span
            sender.send(EncodedFrame(frame.data, stamp, frame.keyframe, frame.codec))
            number += 1
            await asyncio.sleep(0.004)

    task = asyncio.create_task(push())
    try:
        yield
    finally:
        task.cancel()


async def arrives(receiver) -> EncodedFrame:
    return await asyncio.wait_for(receiver.receive(), WITHIN)


async def connected(a, b, **options):
    failures = perfect(a, b, **options)
    channel = a.create_data_channel("first")
    await asyncio.wait_for(channel.opened(), WITHIN)
    return failures


async def test_an_offer_is_asked_for_once_and_only_when_it_is_due(peers, joined):
    a, b = peers
    needed: list[str] = []
    a.on_negotiation_needed = lambda: needed.append(a.signaling_state)
    a.create_data_channel("one")
    a.create_data_channel("two")
    a.add_transceiver("video")
    await asyncio.sleep(0.05)
    assert needed == ["stable"]
    await joined(a, b)
    a.create_data_channel("three")
    await asyncio.sleep(0.05)
    assert needed == ["stable"], "a channel needs no offer where there is one already"
    a.transceivers[0].direction = "recvonly"
    a.transceivers[0].direction = "inactive"
    await asyncio.sleep(0.05)
    assert needed == ["stable", "stable"]


async def test_a_track_is_added_later_by_either_end(peers, h264):
    a, b = peers
    tracks: asyncio.Queue = asyncio.Queue()
    a.on_track = b.on_track = tracks.put_nowait
    failures = await connected(a, b)
    for end in (a, b, a):
        sender = end.add_transceiver("video", direction="sendonly")
        receiver = await asyncio.wait_for(tracks.get(), WITHIN)
        await until(lambda sender=sender: sender.current_direction == "sendonly", "the answer")
        async with flowing(sender, h264):
            assert (await arrives(receiver)).keyframe
    assert len(a.transceivers) == len(b.transceivers) == 3
    assert not failures


async def test_a_line_changes_its_direction_and_back(peers, h264):
    a, b = peers
    tracks: asyncio.Queue = asyncio.Queue()
    b.on_track = tracks.put_nowait
    failures = await connected(a, b)
    mine = a.add_transceiver("video", direction="sendonly")
    theirs = await asyncio.wait_for(tracks.get(), WITHIN)
    async with flowing(mine, h264):
        await arrives(theirs)
    mine.direction = "inactive"
    assert not mine.send(h264[0]), "what is not wanted any more ends at once"
    await until(lambda: theirs.current_direction == "inactive", "inactive at the far end")
    mine.direction = "sendrecv"
    await until(lambda: theirs.current_direction == "sendrecv", "sendrecv at the far end")
    for sender, receiver in ((mine, theirs), (theirs, mine)):
        async with flowing(sender, h264):
            await arrives(receiver)
    theirs.direction = "recvonly"
    await until(lambda: mine.current_direction == "sendonly", "the answerer of before has changed it")
    assert not failures


async def test_a_stopped_line_ends_and_others_go_on(peers, h264):
    a, b = peers
    tracks: asyncio.Queue = asyncio.Queue()
    b.on_track = tracks.put_nowait
    failures = await connected(a, b)
    first, second = (a.add_transceiver("video", direction="sendonly") for _ in range(2))
    far = {line.mid: line for line in [await asyncio.wait_for(tracks.get(), WITHIN) for _ in range(2)]}
    first.stop()
    await until(lambda: far[first.mid].current_direction == "inactive", "inactive at the far end")
    assert not first.send(h264[0])
    async with flowing(second, h264):
        await arrives(far[second.mid])
    with pytest.raises(ValueError, match="stopped"):
        first.direction = "sendonly"
    assert not failures


@pytest.mark.parametrize("delay", [0.0, 0.003])
async def test_both_ends_offer_at_once_and_both_tracks_flow(peers, h264, delay):
    a, b = peers
    failures = await connected(a, b, delay=delay)
    for number in range(1, 26):
        mine = a.add_transceiver("audio", direction="sendonly")
        theirs = b.add_transceiver("audio", direction="sendonly")
        await until(
            lambda mine=mine, theirs=theirs: mine.current_direction == theirs.current_direction == "sendonly",
            f"glare {number}",
        )
        await until(
            lambda number=number: len(a.transceivers) == len(b.transceivers) == 2 * number,
            f"lines after glare {number}",
        )
    assert a.signaling_state == b.signaling_state == "stable"
    assert not failures
    opus = [EncodedFrame(b"\x78" + bytes(40), n * 960, keyframe=True, codec="opus") for n in range(50)]
    for sender, far in ((mine, b), (theirs, a)):
        receiver = next(line for line in far.transceivers if line.mid == sender.mid)
        async with flowing(sender, opus):
            await arrives(receiver)


async def test_both_ends_begin_at_once(peers):
    """Before anything is negotiated, too."""
    a, b = peers
    failures = perfect(a, b)
    ours, theirs = a.create_data_channel("ours"), b.create_data_channel("theirs")
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(ours.opened(), theirs.opened())
    assert not failures


async def test_a_withdrawn_offer_is_made_again(peers, joined):
    a, b = peers
    line = a.add_transceiver("video", direction="sendonly")
    offer = await a.create_offer()
    assert a.signaling_state == "have-local-offer"
    assert line.mid
    a.rollback()
    assert (a.signaling_state, line.mid) == ("stable", "")
    with pytest.raises(NegotiationError, match="no offer"):
        await a.set_answer(SessionDescription("answer", offer.sdp.replace("actpass", "active")))
    await joined(a, b)
    assert line.current_direction == "sendonly"


async def test_an_offer_that_the_far_ends_overtakes_says_so(peers):
    a, b = peers
    for end in (a, b):
        end.create_data_channel("x")
    theirs = await b.create_offer()
    making = asyncio.create_task(a.create_offer())
    await asyncio.sleep(0)
    await a.accept(theirs)
    with pytest.raises(NegotiationError, match="came first"):
        await making


async def test_a_bad_answer_leaves_what_stands(peers, joined, h264):
    a, b = peers
    sender = a.add_transceiver("video", direction="sendonly")
    await joined(a, b)
    receiver = b.transceivers[0]
    a.add_transceiver("audio")
    await a.create_offer()
    with pytest.raises(NegotiationError):
        await a.set_answer(SessionDescription("answer", "v=0\r\n"))
    async with flowing(sender, h264):
        await arrives(receiver)
    a.rollback()
    await a.create_offer()
