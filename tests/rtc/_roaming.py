"""Two peers on one machine without loopback candidates; says which address they use as networks change.

Line by line: the address in use; for "moved", the address once it is another; for "stop", how many messages
were sent and received in order, and the states of the connection.
"""

from __future__ import annotations

import asyncio
import sys

from plait.rtc import Engine, PeerConnection, PerfectNegotiation


async def address(peer: PeerConnection) -> str:
    report = await peer.stats()
    pair = report.get("CP")
    return "" if pair is None else report.get(pair["localCandidateId"], {}).get("address", "")


async def main() -> None:
    loop = asyncio.get_running_loop()
    # With a port given, all of one end's connections share it.
    engine = Engine(udp_port=int(sys.argv[1])) if len(sys.argv) > 1 else None
    async with PeerConnection(loopback=False, engine=engine) as a, PeerConnection(loopback=False) as b:
        ends: list[PerfectNegotiation] = []
        ends.append(PerfectNegotiation(a, lambda s: ends[1].receive(s), polite=True))  # noqa: PLW0108 - it is made next
        ends.append(PerfectNegotiation(b, ends[0].receive, polite=False))
        received: list[int] = []
        states: list[str] = []
        a.on_connection_state_change = states.append
        b.on_data_channel = lambda channel: setattr(
            channel, "on_message", lambda message: received.append(int(message))
        )
        channel = a.create_data_channel("numbers")
        await channel.opened()
        sent, stop = 0, asyncio.Event()

        async def count() -> None:
            nonlocal sent
            while not stop.is_set():
                await channel.send(str(sent))
                sent += 1
                await asyncio.sleep(0.01)

        counting = asyncio.create_task(count())
        known = ""
        while True:
            while (now := await address(a)) in ("", known):  # noqa: ASYNC110 - statistics tell nobody
                await asyncio.sleep(0.05)
            known = now
            print(known, flush=True)  # noqa: T201 - to the test
            if (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "stop":
                break
        stop.set()
        await counting
        while len(received) < sent:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
        assert received == list(range(sent))
        print(sent, len(received), *states, flush=True)  # noqa: T201 - to the test


asyncio.run(main())
