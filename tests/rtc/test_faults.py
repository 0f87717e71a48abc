"""What must not break the engine: floods, forks, loops that go away, ends in odd orders."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from plait.rtc import PeerConnection, SessionDescription


def ports(report: dict) -> list[tuple[str, int]]:
    return [
        (entry["address"], entry["port"]) for entry in report.values() if entry["type"] == "local-candidate"
    ]


async def test_ten_thousand_random_datagrams_do_not_disturb_a_call(peers, channel_pair):
    a, b = peers
    mine, theirs = await channel_pair(a, b)
    targets = ports(await b.stats())
    randomness = random.Random(7)
    # Every first byte there is: STUN, DTLS, SRTP and neither.
    flood = [
        bytes([number % 256]) + randomness.randbytes(randomness.choice((0, 1, 11, 19, 50, 1200)))
        for number in range(10_000)
    ]
    sockets = {
        family: socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)
    }
    try:
        for number, datagram in enumerate(flood):
            address, port = targets[number % len(targets)]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sockets[family].sendto(datagram, (address, port))
            if number % 500 == 0:
                await mine.send(f"still here {number}")
                assert await asyncio.wait_for(theirs.receive(), 10) == f"still here {number}"
    finally:
        for sock in sockets.values():
            sock.close()
    await mine.send("after the flood")
    assert await asyncio.wait_for(theirs.receive(), 10) == "after the flood"
    assert (await b.stats())["T"]["datagramsDiscarded"] > 5000
    assert a.connection_state == b.connection_state == "connected"


async def test_garbage_from_the_far_ends_own_address_does_not_end_the_call(peers, channel_pair):
    a, b = peers
    mine, theirs = await channel_pair(a, b)
    report = await b.stats()
    pair = report["CP"]
    local, remote = report[pair["localCandidateId"]], report[pair["remoteCandidateId"]]
    family = socket.AF_INET6 if ":" in local["address"] else socket.AF_INET
    try:
        raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip("sending from another's address needs CAP_NET_RAW")
    randomness = random.Random(11)
    with raw:
        for number in range(2000):
            payload = bytes([number % 256]) + randomness.randbytes(60)
            length = 8 + len(payload)
            header = b"".join(
                value.to_bytes(2, "big") for value in (remote["port"], local["port"], length, 0)
            )
            if family == socket.AF_INET6:
                # The kernel fills in the checksum, which IPv6 demands.
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 6)
            raw.sendto(header + payload, (local["address"], 0))
    await mine.send("unharmed")
    assert await asyncio.wait_for(theirs.receive(), 10) == "unharmed"


async def test_closing_in_odd_orders(joined):
    async with asyncio.timeout(30):
        never = PeerConnection()
        await never.close()
        offered = PeerConnection()
        offered.create_data_channel("x")
        await offered.create_offer()
        await asyncio.gather(offered.close(), offered.close())
        for _ in range(5):
            a, b = PeerConnection(), PeerConnection()
            channel = a.create_data_channel("x")
            await joined(a, b)
            channel.close()
            await asyncio.gather(a.close(), b.close())
        a, b = PeerConnection(), PeerConnection()
        a.create_data_channel("x")
        offer = await a.create_offer()
        accepting = asyncio.create_task(b.accept(offer))
        await a.close()
        await b.close()
        await asyncio.gather(accepting, return_exceptions=True)


async def test_a_far_end_that_vanishes_is_told_within_five_seconds():
    async with PeerConnection() as a:
        channel = a.create_data_channel("x")
        states: asyncio.Queue = asyncio.Queue()
        a.on_connection_state_change = states.put_nowait
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ANSWERER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            await answered_by(a, child)
            await asyncio.wait_for(channel.opened(), 10)
            child.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            async with asyncio.timeout(10):
                while await states.get() != "disconnected":
                    pass
            assert time.monotonic() - killed < 6
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def answered_by(peer: PeerConnection, child) -> None:
    offer = await peer.create_offer()
    child.stdin.write((json.dumps(offer.sdp) + "\n").encode())
    await child.stdin.drain()
    answer = json.loads(await asyncio.wait_for(child.stdout.readline(), 10))
    await peer.set_answer(SessionDescription("answer", answer))


ANSWERER = """
import asyncio, json, sys
from plait.rtc import PeerConnection, SessionDescription
async def main():
    peer = PeerConnection()
    answer = await peer.accept(SessionDescription("offer", json.loads(sys.stdin.readline())))
    print(json.dumps(answer.sdp), flush=True)
    await peer.closed()
asyncio.run(main())
"""


def run(program: str, timeout: float = 20) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PAIR = """
import asyncio, gc, os, sys
from plait.rtc import PeerConnection
async def pair():
    a, b = PeerConnection(), PeerConnection()
    channel = a.create_data_channel("x")
    await a.set_answer(await b.accept(await a.create_offer()))
    await channel.opened()
    return a, b, channel
"""


@pytest.mark.parametrize(
    "end",
    [
        "asyncio.run(pair())",
        "kept = asyncio.run(pair())",
        "loop = asyncio.new_event_loop(); kept = loop.run_until_complete(pair()); loop.close()",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(pair()); loop.close(); gc.collect()",
        "loop = asyncio.new_event_loop(); kept = loop.run_until_complete(pair()); os._exit(0)",
        "asyncio.run(pair()); kept = asyncio.run(pair())",
    ],
)
def test_a_loop_or_interpreter_that_ends_with_peers_open(end):
    began = time.monotonic()
    for _ in range(3):
        run(PAIR + "\n" + end)
    assert time.monotonic() - began < 15


def test_the_far_end_hears_of_an_interpreter_that_exits():
    run(
        """
        import asyncio, json, sys
        from plait.rtc import PeerConnection, SessionDescription
        CHILD = '''
        import asyncio, json, sys
        from plait.rtc import PeerConnection, SessionDescription
        async def main():
            global peer
            peer = PeerConnection()
            answer = await peer.accept(SessionDescription("offer", json.loads(sys.stdin.readline())))
            print(json.dumps(answer.sdp), flush=True)
            await peer.connected()
            await asyncio.sleep(0.1)
        asyncio.run(main())
        '''
        async def main():
            async with PeerConnection() as peer:
                peer.create_data_channel("x")
                import textwrap
                child = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", textwrap.dedent(CHILD), stdin=-1, stdout=-1)
                child.stdin.write((json.dumps((await peer.create_offer()).sdp) + "\\n").encode())
                answer = json.loads(await child.stdout.readline())
                await peer.set_answer(SessionDescription("answer", answer))
                reason = await asyncio.wait_for(peer.closed(), 10)
                assert reason == "the far end closed the connection", reason
                assert await child.wait() == 0
        asyncio.run(main())
        """
    )


def test_a_forked_child_has_an_engine_of_its_own():
    run(
        PAIR
        + textwrap.dedent(
            """
            async def main():
                a, b, channel = await pair()
                child = os.fork()
                if child == 0:
                    os._exit(17)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
                await channel.send("the parent's call goes on")
                await a.close()
            asyncio.run(main())
            child = os.fork()
            if child == 0:
                asyncio.run(pair())
                os._exit(18)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 18
            """
        )
    )


async def test_peers_leave_nothing_behind(channel_pair):
    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def once():
        async with PeerConnection() as a, PeerConnection() as b:
            await channel_pair(a, b)

    await once()
    gc.collect()
    before = descriptors()
    for _ in range(50):
        await once()
    # The engine closes sockets on its own thread, right after the last word to Python.
    for _ in range(500):
        if descriptors() <= before:
            break
        await asyncio.sleep(0.01)
    assert descriptors() <= before


async def test_nothing_leaks_into_a_peer_that_is_not_read(peers, channel_pair):
    a, b = peers
    mine, theirs = await channel_pair(a, b)
    theirs.on_message = None
    for number in range(20_000):
        await mine.send(number.to_bytes(4, "big"))
    async with asyncio.timeout(20):
        for number in range(20_000):
            assert await theirs.receive() == number.to_bytes(4, "big")
