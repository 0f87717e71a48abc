"""Two processes on a data channel; you are the signaling: carry one line each way by copy and paste.

first:   python echo.py offer
second:  python echo.py answer
"""

import asyncio
import base64
import json
import sys
import time

from plait.rtc import DataChannel, PeerConnection, SessionDescription


def to_line(description: SessionDescription) -> str:
    return base64.b64encode(json.dumps([description.type, description.sdp]).encode()).decode()


async def from_line() -> SessionDescription:
    kind, sdp = json.loads(base64.b64decode(await asyncio.to_thread(sys.stdin.readline)))
    return SessionDescription(kind, sdp)


async def offer() -> None:
    async with PeerConnection() as peer:
        channel = peer.create_data_channel("echo")
        print("Paste this into the other process:", to_line(await peer.create_offer()), sep="\n", flush=True)
        print("And its line here:", flush=True)
        await peer.set_answer(await from_line())
        await channel.opened()
        began = time.perf_counter()
        await channel.send("hello")
        print(await channel.receive(), f"after {(time.perf_counter() - began) * 1000:.1f} ms")


def echo(channel: DataChannel) -> None:
    channel.on_message = channel.send_nowait


async def answer() -> None:
    async with PeerConnection() as peer:
        peer.on_data_channel = echo
        print("Paste the other process's line here:", flush=True)
        description = await peer.accept(await from_line())
        print("And this back there:", to_line(description), sep="\n", flush=True)
        print(await peer.closed())


asyncio.run({"offer": offer, "answer": answer}[sys.argv[1]]())
