"""One end of a call in a place of its own, told by JSON lines what to do, and telling what happens.

A viewer offers a channel and asks for video; a device answers, and sends the street.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import av

from plait.rtc import EncodedFrame, IceCandidate, IceServer, PeerConnection, SessionDescription

STREET = Path(__file__).parents[2] / "src/plait/media/clips/street.mp4"


def tell(what: str, **members) -> None:
    print(json.dumps({"told": what} | members), flush=True)  # noqa: T201 - to who started it


def street() -> list[EncodedFrame]:
    with av.open(str(STREET)) as container:
        stream = container.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        units = [unit for packet in container.demux(stream) if packet.size for unit in convert.filter(packet)]
    return [
        EncodedFrame(bytes(unit), int(unit.pts * unit.time_base * 90_000), unit.is_keyframe, "H264")
        for unit in units[:100]
    ]


async def send(peer: PeerConnection, track, frames: list[EncodedFrame]) -> None:
    """Send these frames from the beginning once connected, again whenever a keyframe is asked for."""
    again, stamp = asyncio.Event(), 0
    track.on_keyframe_request = again.set
    await peer.connected()
    while True:
        again.clear()
        for frame in frames:
            stamp += 3600
            track.send(EncodedFrame(frame.data, stamp, frame.keyframe, "H264"))
            await asyncio.sleep(0.04)
            if again.is_set():
                break


async def receive(track) -> None:
    async for frame in track:
        if frame.keyframe:
            tell("frame")
            return


async def opened(channel) -> None:
    await channel.opened()
    tell("open")


async def path(peer: PeerConnection) -> None:
    report = await peer.stats()
    pair = next(
        entry
        for entry in report.values()
        if entry["type"] == "candidate-pair" and entry.get("nominated", True)
    )
    tell("path", local=report[pair["localCandidateId"]], remote=report[pair["remoteCandidateId"]])


async def main() -> None:
    servers = [IceServer.from_dict(server) for server in json.loads(sys.argv[1])]
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    tasks, frames = set(), street()
    async with PeerConnection(ice_servers=servers, loopback=False) as peer:
        peer.on_ice_candidate = lambda found: tell("candidate", candidate=found and asdict(found))
        peer.on_track = lambda track: tasks.add(asyncio.create_task(send(peer, track, frames)))
        tell("ready")
        while line := await reader.readline():
            said = json.loads(line)
            match said["do"]:
                case "offer":
                    tasks.add(asyncio.create_task(opened(peer.create_data_channel("test"))))
                    track = peer.add_transceiver("video", direction="recvonly")
                    tasks.add(asyncio.create_task(receive(track)))
                    tell("description", sdp=(await peer.create_offer()).sdp)
                case "accept":
                    answer = await peer.accept(SessionDescription("offer", said["sdp"]))
                    tell("description", sdp=answer.sdp)
                case "answer":
                    await peer.set_answer(SessionDescription("answer", said["sdp"]))
                case "candidate":
                    found = said["candidate"]
                    peer.add_ice_candidate(found and IceCandidate(found["candidate"]))
                case "path":
                    await path(peer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
