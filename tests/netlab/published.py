"""The hub's end of a connection, and a viewer's: published.py hub OUTSIDE, or viewer [URL USER PASSWORD]."""

from __future__ import annotations

import asyncio
import json
import sys

from plait import _native
from plait.rtc import Engine, IceCandidate, IceServer, PeerConnection, SessionDescription

SECRET, PORT = b"only for tests", 3478


def say(**told):
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def lines():
    """What the other end says."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


def trickle(candidate):
    if candidate is not None:
        say(candidate=candidate.candidate, mid=candidate.sdp_mid)


async def hub(outside):
    """Be at the TURN server's port, and send back what comes."""
    tasks = set()

    async def echo(channel):
        async for message in channel:
            await channel.send(message)

    def adopt(channel):
        tasks.add(asyncio.create_task(echo(channel)))

    server = _native.TurnServer(
        [("0.0.0.0", PORT)], secret=SECRET, realm="plait.test", published=[("0.0.0.0", outside)]
    )
    say(up=True)
    async with Engine(turn=server) as engine, PeerConnection(engine=engine, loopback=False) as peer:
        peer.on_data_channel, peer.on_ice_candidate = adopt, trickle
        async for told in lines():
            if "sdp" in told:
                say(sdp=(await peer.accept(SessionDescription("offer", told["sdp"]))).sdp)
            else:
                peer.add_ice_candidate(IceCandidate(told["candidate"], told["mid"]))


async def viewer(*server):
    """Say something to the hub, and where it was heard."""
    given = {"ice_servers": [IceServer(*server)], "ice_transport_policy": "relay"} if server else {}
    async with PeerConnection(loopback=False, **given) as peer:
        peer.on_ice_candidate = trickle
        channel = peer.create_data_channel("test")
        say(sdp=(await peer.create_offer()).sdp)

        async def talk():
            await channel.opened()
            await channel.send("hello")
            report = {"heard": await channel.receive()}
            stats = await peer.stats()
            for end in ("local", "remote"):
                one = stats[stats["CP"][f"{end}CandidateId"]]
                report[end] = [one["candidateType"], one["address"], one["port"]]
            say(**report)

        talking = asyncio.create_task(talk())
        async for told in lines():
            if "sdp" in told:
                await peer.set_answer(SessionDescription("answer", told["sdp"]))
            else:
                peer.add_ice_candidate(IceCandidate(told["candidate"], told["mid"]))
        await talking


if __name__ == "__main__":
    asyncio.run({"hub": hub, "viewer": viewer}[sys.argv[1]](*sys.argv[2:]))
