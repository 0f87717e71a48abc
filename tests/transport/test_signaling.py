"""A call's signals, its two ends joined without a hub."""

import asyncio

import pytest

from plait.transport import signaling
from plait.transport.signaling import WAITING, Candidate, Signaling
from plait.wire.errors import ActionFailed, Busy, InvalidMessage, Timeout


class Ends:
    """Two ends; what one says the other takes, in order."""

    def __init__(self):
        self.said = []
        self.viewer = Signaling("c", ask=self._ask_thing, tell=self._to_thing)
        self.thing = Signaling("c", ask=self.viewer.take_offer, tell=self._to_viewer)

    async def _ask_thing(self, data):
        return await self.thing.take_offer(data)

    def _to_thing(self, data):
        self.said.append(data)
        self.thing.take(data)

    def _to_viewer(self, data):
        self.said.append(data)
        self.viewer.take(data)


@pytest.fixture
async def ends():
    return Ends()


async def answer_all(end, log=None):
    async for offer in end.offers():
        if log is not None:
            log.append(offer.sdp)
        offer.answer(f"answer to {offer.sdp}")


async def test_offers_are_answered_in_both_directions(ends):
    tasks = [asyncio.create_task(answer_all(end)) for end in (ends.thing, ends.viewer)]
    assert await ends.viewer.offer("one") == "answer to one"
    assert await ends.thing.offer("two") == "answer to two"
    ends.viewer.bye()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)


async def test_candidates_pass_as_they_are_and_early_ones_wait(ends):
    ends.viewer.send_candidate(Candidate("candidate:1", "0", 0))
    ends.viewer.send_candidate(Candidate("candidate:2"))
    ends.viewer.send_candidate(None)
    assert ends.said == [
        {"type": "candidate", "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0},
        {"type": "candidate", "candidate": "candidate:2"},
        {"type": "candidate", "candidate": ""},
    ]
    taken = []
    ends.thing.on_candidate = taken.append
    assert taken == [Candidate("candidate:1", "0", 0), Candidate("candidate:2"), None]
    ends.viewer.send_candidate(Candidate("candidate:3"))
    assert taken[-1] == Candidate("candidate:3")


async def test_candidates_that_nobody_takes_are_bounded(ends):
    for number in range(WAITING + 10):
        ends.viewer.send_candidate(Candidate(f"candidate:{number}"))
    taken = []
    ends.thing.on_candidate = taken.append
    assert len(taken) == WAITING


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "bye",
        {},
        {"type": "dance"},
        {"type": "candidate"},
        {"type": "candidate", "candidate": 5},
        {"type": "candidate", "candidate": "x", "sdpMLineIndex": "zero"},
    ],
)
async def test_what_is_no_signal_is_left_alone(ends, data):
    taken = []
    ends.thing.on_candidate = taken.append
    ends.thing.take(data)
    assert not taken
    assert not ends.thing.ended


@pytest.mark.parametrize(
    "data", [{}, {"type": "offer"}, {"type": "offer", "sdp": 5}, {"type": "answer", "sdp": "x"}]
)
async def test_what_is_no_offer_is_refused(ends, data):
    with pytest.raises(InvalidMessage) as caught:
        await ends.thing.take_offer(data)
    assert caught.value.field == "/data/sdp"


async def test_an_answer_without_sdp_is_refused(ends):
    async def silent(_):
        return {"type": "answer"}

    end = Signaling("c", ask=silent, tell=lambda _: None)
    with pytest.raises(InvalidMessage):
        await end.offer("x")


async def test_bye_is_said_once_and_heard_once(ends):
    heard = []
    ends.thing.on_bye = heard.append
    ends.viewer.on_bye = heard.append
    ends.viewer.bye("enough")
    ends.viewer.bye("again")
    ends.thing.bye()
    assert heard == ["enough"]
    assert ends.said == [{"type": "bye", "reason": "enough"}]
    assert await ends.thing.over() == await ends.viewer.over() == "enough"
    ends.viewer.send_candidate(None)
    assert len(ends.said) == 1


async def test_a_bye_refuses_the_offers_that_wait_and_those_that_come(ends):
    waiting = asyncio.create_task(ends.viewer.offer("x"))
    await asyncio.sleep(0)
    ends.thing.bye("closed")
    with pytest.raises(ActionFailed, match="The call has ended: closed"):
        await waiting
    with pytest.raises(ActionFailed, match="The call has ended"):
        await ends.viewer.offer("y")


async def test_an_offer_may_be_refused(ends):
    waiting = asyncio.create_task(ends.viewer.offer("x"))
    async for offer in ends.thing.offers():
        offer.refuse(Busy("engaged"))
        offer.answer("too late")
        break
    with pytest.raises(Busy, match="engaged"):
        await waiting


async def test_refusing_what_is_open_is_done_when_it_returns(ends):
    waiting = asyncio.create_task(ends.viewer.offer("x"))
    await asyncio.sleep(0)
    await ends.thing.refuse_open(Busy("engaged"))
    assert not ends.thing._open
    with pytest.raises(Busy):
        await waiting


async def test_an_offer_that_nobody_answers_is_a_timeout(ends, monkeypatch):
    monkeypatch.setattr(signaling, "ANSWER_WITHIN", 0.05)
    with pytest.raises(Timeout, match="not answered"):
        await ends.viewer.offer("x")
