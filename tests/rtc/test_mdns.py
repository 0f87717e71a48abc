"""Candidates behind `.local` names, resolved by multicast DNS; a real responder has the names."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import uuid

import psutil
import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from plait.rtc import IceCandidate, PeerConnection, SessionDescription, multicast
from plait.rtc.mdns import LocalNames

WITHIN = 20


@contextlib.asynccontextmanager
async def published(*addresses: str):
    """Have a new name for each address; yields the name of each."""
    responder = AsyncZeroconf()
    names = {}
    try:
        for address in addresses:
            name = names[address] = f"{uuid.uuid4()}.local"
            kind = "_plait-test._udp.local."
            info = ServiceInfo(
                kind,
                f"{name[:8]}.{kind}",
                9,
                server=f"{name}.",
                addresses=[socket.inet_aton(address)],
            )
            await responder.async_register_service(info)
        yield names
    finally:
        await responder.async_close()


def without_candidates(description: SessionDescription) -> SessionDescription:
    lines = [line for line in description.sdp.splitlines() if not line.startswith("a=candidate")]
    return SessionDescription(description.type, "\r\n".join(lines) + "\r\n")


@pytest.mark.parametrize("trickled", [True, False])
async def test_an_address_behind_a_name_is_found(peers, trickled):
    """The end behind the names learns of no candidate: only checks of its address can connect the two."""
    a, b = peers
    async with published("127.0.0.1") as names:

        def hidden(line: str) -> bool:
            return "127.0.0.1" in line

        def hide(line: str) -> str:
            return line.replace("127.0.0.1", names["127.0.0.1"])

        def tell(candidate: IceCandidate | None) -> None:
            if candidate is not None and hidden(candidate.candidate):
                a.add_ice_candidate(IceCandidate(hide(candidate.candidate)))

        if trickled:
            b.on_ice_candidate = tell
        a.create_data_channel("x")
        answer = await b.accept(without_candidates(await a.create_offer()))
        if trickled:
            answer = without_candidates(answer)
        else:
            kept = [
                hide(line)
                for line in answer.sdp.splitlines()
                if not line.startswith("a=candidate") or hidden(line)
            ]
            answer = SessionDescription("answer", "\r\n".join(kept) + "\r\n")
            assert ".local" in answer.sdp
        await a.set_answer(answer)
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(a.connected(), b.connected())
    report = await a.stats()
    remote = report[report["CP"]["remoteCandidateId"]]
    assert (remote["address"], remote["candidateType"]) == ("127.0.0.1", "host")
    assert a.candidates_ignored == 0


def asking_sockets() -> int:
    return sum(
        1
        for one in psutil.Process(os.getpid()).net_connections("udp")
        if one.laddr and one.laddr.port == 5353
    )


def line(name: str) -> str:
    return f"candidate:1 1 udp 2113937151 {name} 40000 typ host"


async def test_a_name_that_nobody_has_is_counted(peers):
    a, _ = peers
    a.create_data_channel("x")
    await a.create_offer()
    for _ in range(2):
        a.add_ice_candidate(IceCandidate(line(f"{uuid.UUID(int=1)}.local")))
    assert a.candidates_ignored == 0
    async with asyncio.timeout(WITHIN):
        while a.candidates_ignored == 0:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)
    assert a.candidates_ignored == 1, "it came twice, and is one candidate"
    assert (await a.stats())["T"]["candidatesIgnored"] == 1


async def test_names_that_browsers_do_not_make_are_not_asked_for():
    used, ignored = [], []
    names = LocalNames(used.append, lambda: ignored.append(1))
    for bad in ("printer.office.local", ".local", "a_b.local", "é.local"):
        assert names.take(line(bad))
    assert len(ignored) == 4
    assert not names.take(line("192.0.2.1"))
    assert asking_sockets() == 0


async def test_a_far_end_gets_sixteen_names_asked_for():
    ignored = []
    names = LocalNames(lambda _: None, lambda: ignored.append(1))
    for number in range(20):
        names.take(line(f"{uuid.UUID(int=number)}.local"))
        names.take(line(f"{uuid.UUID(int=number)}.local").replace("40000", "40001"))
    assert len(ignored) == 8
    names.end()


async def test_closing_stops_asking():
    async with PeerConnection() as a:
        a.add_ice_candidate(IceCandidate(line(f"{uuid.uuid4()}.local")))
        async with asyncio.timeout(WITHIN):
            while not asking_sockets():  # noqa: ASYNC110 - the sockets themselves
                await asyncio.sleep(0.01)
    assert not asking_sockets()


@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_ends_while_it_asks_leaves_no_socket(turns):
    """asyncio.run cancels what still runs: here what was cancelled before, some turns of the loop ago."""

    async def ask() -> None:
        asked = asyncio.create_task(multicast.resolve(f"{uuid.uuid4()}.local"))
        async with asyncio.timeout(WITHIN):
            while not asking_sockets():  # noqa: ASYNC110 - the sockets themselves
                await asyncio.sleep(0.01)
        asked.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(ask())
    assert not asking_sockets()
    gc.collect()  # a socket or transport left open warns here, which fails the test


async def test_odd_names_lead_nowhere_and_raise_nothing():
    used, ignored = [], []
    names = LocalNames(used.append, lambda: ignored.append(1))
    odd = ["-", "--", "a--b", "-a", "0", "x" * 63, "xn--nxasmq6b", "local"]
    for label in odd:
        assert names.take(f"candidate:1 1 udp 2113937151 {label}.local 50000 typ host")
    async with asyncio.timeout(WITHIN):
        while len(ignored) < len(odd):  # noqa: ASYNC110 - each by itself
            await asyncio.sleep(0.05)
    assert not used
