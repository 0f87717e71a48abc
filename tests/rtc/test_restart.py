"""ICE restarts: new credentials and candidates while everything flows on."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plait.rtc import PeerConnection

if TYPE_CHECKING:
    from plait.rtc import SessionDescription

WITHIN = 20


def ufrag(description: SessionDescription) -> str:
    return re.findall(r"a=ice-ufrag:(\S+)", description.sdp)[0]


async def carry_on(sender, receiver, stop: asyncio.Event) -> int:
    """Send numbers until told to stop; all must arrive, in order. Returns how many."""

    async def send() -> int:
        number = 0
        while not stop.is_set():
            await sender.send(str(number))
            number += 1
            await asyncio.sleep(0.001)
        await sender.send("end")
        return number

    sending = asyncio.create_task(send())
    received = []
    async with asyncio.timeout(WITHIN):
        async for message in receiver:
            if message == "end":
                break
            received.append(int(message))
    assert received == list(range(await sending))
    return len(received)


@pytest.mark.parametrize("side", [0, 1])
async def test_either_side_restarts_while_messages_flow(channel_pair, side):
    async with PeerConnection() as a, PeerConnection() as b:
        mine, theirs = await channel_pair(a, b)
        stop = asyncio.Event()
        flowing = asyncio.create_task(carry_on(mine, theirs, stop))
        one, other = (a, b) if side == 0 else (b, a)
        seen = set()
        for _ in range(3):
            offer = await one.create_offer(ice_restart=True)
            answer = await other.accept(offer)
            await one.set_answer(answer)
            seen |= {ufrag(offer), ufrag(answer)}
            before = (await a.stats())["CP"]["packetsReceived"]
            await asyncio.sleep(0.3)
            assert (await a.stats())["CP"]["packetsReceived"] > before
        assert len(seen) == 6, "each restart has new credentials at both ends"
        if side == 0:
            # Long enough to be told as disconnected, if the new pair did not work.
            await asyncio.sleep(5.5)
        assert a.connection_state == b.connection_state == "connected"
        stop.set()
        assert await flowing > 500


async def test_candidates_are_told_again_with_the_new_credentials(channel_pair):
    async with PeerConnection() as a, PeerConnection() as b:
        await channel_pair(a, b)
        told = []
        a.on_ice_candidate = told.append
        offer = await a.create_offer(ice_restart=True)
        await a.set_answer(await b.accept(offer))
        await asyncio.sleep(0.2)
        lines = [candidate.candidate for candidate in told if candidate is not None]
        assert lines
        assert told[-1] is None
        assert all(f"ufrag {ufrag(offer)}" in line for line in lines if "ufrag" in line)


async def test_a_restart_that_is_asked_for_is_in_the_next_offer(channel_pair):
    async with PeerConnection() as a, PeerConnection() as b:
        await channel_pair(a, b)
        needed = asyncio.Event()
        a.on_negotiation_needed = needed.set
        a.restart_ice()
        await asyncio.wait_for(needed.wait(), WITHIN)
        first = await a.create_offer()
        a.rollback()
        second = await a.create_offer()
        assert ufrag(first) != ufrag(second), "a withdrawn restart is still due"
        await a.set_answer(await b.accept(second))
        third = await a.create_offer(ice_restart=True)
        assert ufrag(third) != ufrag(second)


async def test_both_ends_restart_at_once(channel_pair, negotiating):
    async with PeerConnection() as a, PeerConnection() as b:
        mine, theirs = await channel_pair(a, b)
        negotiating(a, b)
        stop = asyncio.Event()
        flowing = asyncio.create_task(carry_on(mine, theirs, stop))
        for _ in range(5):
            a.restart_ice()
            b.restart_ice()
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        assert a.connection_state == b.connection_state == "connected"
        assert a.signaling_state == b.signaling_state == "stable"
        stop.set()
        await flowing


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def namespace():
    """A network of its own with one address."""
    name = "plait-restart"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "lan", "type", "veth", "peer", "name", "wire")
        ip("-n", name, "addr", "add", "10.66.0.1/24", "dev", "lan")
        for end in ("lo", "lan", "wire"):
            ip("-n", name, "link", "set", end, "up")
        yield name
    finally:
        ip("netns", "del", name)


@pytest.mark.parametrize("port", [[], ["7000"]])
async def test_a_network_that_changes_restarts_ice_by_itself(namespace, port):
    """From one address to another while messages flow; see `_roaming.py` for the program inside."""
    program = Path(__file__).with_name("_roaming.py")
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", namespace, sys.executable, str(program), *port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    async def heard() -> str:
        return (await asyncio.wait_for(process.stdout.readline(), WITHIN)).decode().strip()

    try:
        assert await heard() == "10.66.0.1"
        for old, new in (("10.66.0.1", "10.67.0.1"), ("10.67.0.1", "10.66.0.1")):
            ip("-n", namespace, "addr", "add", f"{new}/24", "dev", "lan")
            ip("-n", namespace, "addr", "del", f"{old}/24", "dev", "lan")
            process.stdin.write(b"moved\n")
            assert await heard() == new
        process.stdin.write(b"stop\n")
        sent, received, states = (await heard()).split(" ", 2)
        assert sent == received
        assert int(sent) > 20
        assert states == "connecting connected", "it was never even silent"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
