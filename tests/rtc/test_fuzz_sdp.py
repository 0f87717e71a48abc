"""Descriptions and candidates of strangers, mutated: typed errors and nothing else.

The descriptions are real ones of Plait, Chromium and aiortc (`sdps/`). What does not fail is used: the
connection then does what it would with it. `native/fuzz` has a coverage-guided fuzzer of the same.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.rtc import IceCandidate, NegotiationError, PeerClosed, PeerConnection, SessionDescription

SDPS = {path.stem: path.read_bytes().decode() for path in (Path(__file__).parent / "sdps").glob("*.sdp")}
LINES = sorted({line for sdp in SDPS.values() for line in sdp.splitlines()})
CANDIDATES = [line for line in LINES if line.startswith("a=candidate")]
NUMBERS = (
    "0",
    "-1",
    "1",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "9" * 40,
    "",
    "NaN",
    "\u0663",
)


def mutated(sdp: str, chance: random.Random) -> str:
    """Return a description that was changed in one to six places, as a fuzzer for SDP would."""
    lines = sdp.split("\r\n")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        words = lines[at].replace(":", " ").split(" ")
        match chance.randrange(10):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, chance.choice(LINES))
            case 2:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case 3:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 4:
                lines[at] = lines[at].replace(chance.choice(words), chance.choice(NUMBERS))
            case 5:
                lines[at] = lines[at].replace(
                    chance.choice(words), chance.choice(chance.choice(LINES).split(" "))
                )
            case 6:
                lines[at:at] = [lines[at]] * chance.choice((1, 2, 50, 1000))
            case 7:
                where = chance.randint(0, len(lines[at]))
                lines[at] = lines[at][:where] + chr(chance.randrange(0x300)) + lines[at][where:]
            case 8:
                lines[at] += chance.choice(words) * chance.choice((1, 100, 10_000))
            case _:
                first = sorted(chance.sample(range(len(lines) + 1), 2))
                part = lines[first[0] : first[1]]
                lines[at:at] = part if chance.random() < 0.5 else part[::-1]
        lines = lines or [""]
    return "\r\n".join(lines)


async def offered(sdp: str) -> str:
    """Give it to a peer as an offer, and to one that has offered as an answer; return what became of it."""
    outcome = []
    async with PeerConnection() as answerer, PeerConnection() as offerer:
        offerer.create_data_channel("x")
        offerer.add_transceiver("video")
        await offerer.create_offer()
        for attempt in (
            answerer.accept(SessionDescription("offer", sdp)),
            offerer.set_answer(SessionDescription("answer", sdp)),
        ):
            try:
                await asyncio.wait_for(attempt, 10)
                outcome.append("taken")
            except (NegotiationError, PeerClosed, ValueError) as error:
                outcome.append("refused" if str(error) else "refused without a word")
        # What is left of the two still speaks, or says that it is over.
        for peer in (answerer, offerer):
            try:
                await asyncio.wait_for(peer.stats(), 10)
            except PeerClosed:
                assert peer.close_reason
                assert "the engine failed" not in peer.close_reason, peer.close_reason
    return " ".join(outcome)


async def bystander(use) -> None:
    """Run `use` beside a call that is not to notice."""
    async with PeerConnection() as a, PeerConnection() as b:
        queue: asyncio.Queue = asyncio.Queue()
        b.on_data_channel = queue.put_nowait
        mine = a.create_data_channel("x")
        await a.set_answer(await b.accept(await a.create_offer()))
        theirs = await asyncio.wait_for(queue.get(), 10)
        await use()
        await mine.send("still here")
        assert await asyncio.wait_for(theirs.receive(), 10) == "still here"


@pytest.mark.parametrize("name", sorted(SDPS))
async def test_the_originals_are_taken(name):
    kind = name.rpartition("-")[2]
    async with PeerConnection() as peer:
        if kind == "offer":
            assert (await peer.accept(SessionDescription("offer", SDPS[name]))).type == "answer"
        else:
            with pytest.raises(NegotiationError, match="no offer"):
                await peer.set_answer(SessionDescription("answer", SDPS[name]))


async def fuzz(count: int, seed: int) -> None:
    outcomes: dict[str, int] = {}
    texts = [SDPS[name] for name in sorted(SDPS)]

    async def use() -> None:
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            sdp = mutated(chance.choice(texts), chance)
            try:
                outcome = await offered(sdp)
            except Exception as error:
                error.add_note(f"number {number} of seed {seed}: {sdp!r}")
                raise
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

    await bystander(use)
    assert not any("word" in outcome for outcome in outcomes), outcomes
    # Mutations that are all refused, or all taken, would try nothing.
    assert sum(n for outcome, n in outcomes.items() if "taken" in outcome) > count / 20, outcomes
    assert outcomes.get("refused refused", 0) > count / 20, outcomes


async def test_mutated_descriptions():
    await fuzz(120, 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_many_mutated_descriptions():
    await fuzz(20_000, 2)


def run(coroutine) -> None:
    with asyncio.Runner() as runner:
        runner.run(coroutine)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(LINES), st.text(max_size=60), st.from_regex(r"[a-z]=[ -~]{0,40}", fullmatch=True)
        ),
        max_size=40,
    )
)
def test_lines_thrown_together(lines):
    run(offered("\r\n".join(["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", *lines]) + "\r\n"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.text(max_size=200),
            st.tuples(st.sampled_from(CANDIDATES), st.randoms(use_true_random=False)).map(
                lambda drawn: mutated(drawn[0], drawn[1])
            ),
            st.from_regex(r"candidate:[ -~]{0,80}", fullmatch=True),
        ),
        max_size=30,
    )
)
def test_candidates_thrown_in(lines):
    async def use() -> None:
        async with PeerConnection() as a, PeerConnection() as b:
            a.create_data_channel("x")

            def throw(part: slice) -> None:
                for line in lines[part]:
                    for peer in (a, b):
                        try:
                            peer.add_ice_candidate(IceCandidate(line, "0", 0))
                        except ValueError as error:
                            assert str(error)  # noqa: PT017 - most are refused, and some are not

            throw(slice(0, 10))
            answer = await b.accept(await a.create_offer())
            throw(slice(10, 20))
            await a.set_answer(answer)
            throw(slice(20, None))
            async with asyncio.timeout(10):
                await asyncio.gather(a.connected(), b.connected())

    run(use())
