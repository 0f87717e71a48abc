"""Who does not answer checks any more is sent nothing more (RFC 7675), whatever comes from its address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time

import pytest

from plait.rtc import PeerConnection, SessionDescription

FAR_END = """
import asyncio, json, sys
from plait.rtc import PeerConnection, SessionDescription
async def main():
    peer = PeerConnection()
    answer = await peer.accept(SessionDescription("offer", json.loads(sys.stdin.readline())))
    print(json.dumps(answer.sdp), flush=True)
    await peer.closed()
asyncio.run(main())
"""


class Successor(asyncio.DatagramProtocol):
    """Has the port of the far end that was killed, and notes when it was sent something."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.senders: set[tuple] = set()

    def datagram_received(self, _data: bytes, source: tuple) -> None:
        self.last = time.monotonic()
        self.senders.add(source)


async def abandoned(*, noise: bool) -> tuple[list[tuple[float, str]], str, float, float]:
    """Connect, kill the far end, and take its port over.

    Returns:
        The states told since, with the seconds after the kill; the reason of the end; when the last
        packet came, and when the end was told, in the same seconds.
    """
    async with PeerConnection() as a:
        channel = a.create_data_channel("x")
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", FAR_END, stdin=pipe, stdout=pipe)
        try:
            offer = await a.create_offer()
            child.stdin.write((json.dumps(offer.sdp) + "\n").encode())
            answer = json.loads(await asyncio.wait_for(child.stdout.readline(), 10))
            await a.set_answer(SessionDescription("answer", answer))
            await asyncio.wait_for(channel.opened(), 10)
            report = await a.stats()
            remote = report[report["CP"]["remoteCandidateId"]]
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
            await child.wait()
        killed = time.monotonic()
        told: list[tuple[float, str]] = []
        a.on_connection_state_change = lambda state: told.append((time.monotonic() - killed, state))
        loop = asyncio.get_running_loop()
        transport, successor = await loop.create_datagram_endpoint(
            Successor,
            local_addr=(remote["address"], remote["port"]),
            family=socket.AF_INET6 if ":" in remote["address"] else socket.AF_INET,
        )
        channel.send_nowait("SCTP sends this again and again")
        while a.connection_state not in ("failed", "closed"):
            # The first byte is DTLS's: without keys nobody can tell that it is none.
            for sender in successor.senders if noise else ():
                transport.sendto(b"\x16" + bytes(40), sender)
            await asyncio.sleep(0.1)
        ended = time.monotonic() - killed
        await asyncio.sleep(3)
        transport.close()
        return told, a.close_reason, successor.last - killed, ended


@pytest.mark.long
async def test_sending_stops_within_thirty_seconds():
    async with asyncio.timeout(50):
        silent, noisy = await asyncio.gather(abandoned(noise=False), abandoned(noise=True))
    told, reason, last, ended = silent
    assert [state for _, state in told] == ["disconnected", "failed"]
    assert told[0][0] < 6
    assert "silent for 20 s" in reason
    assert last < ended + 0.2 < 25
    told, reason, last, ended = noisy
    assert [state for _, state in told] == ["disconnected", "failed"], "it is heard all the time"
    assert told[0][0] < 12
    assert "answered no check" in reason
    assert last < ended + 0.2 < 31
