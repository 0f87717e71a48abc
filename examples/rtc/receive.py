"""Receive what send.py sends, and write it into a file as it is.

python receive.py URL FILE.h264 [FRAMES]
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from plait.rtc import PeerConnection, SessionDescription


def ask(url: str, offer: SessionDescription) -> SessionDescription:
    body = json.dumps({"type": offer.type, "sdp": offer.sdp}).encode()
    with urlopen(Request(url, body), timeout=10) as reply:  # noqa: S310 - the user's own URL
        return SessionDescription("answer", json.load(reply)["sdp"])


async def main(url: str, file: str, frames: int) -> None:
    async with PeerConnection(codecs=["H264"]) as peer:
        video = peer.add_transceiver("video", direction="recvonly")
        await peer.set_answer(await asyncio.to_thread(ask, url, await peer.create_offer()))
        await peer.connected()
        received = []
        async for frame in video:
            if received or frame.keyframe:  # a decoder begins at a keyframe
                received.append(frame.data)
            if len(received) == frames:
                break
        await asyncio.to_thread(Path(file).write_bytes, b"".join(received))
        stats = next(each for each in (await peer.stats()).values() if each["type"] == "inbound-rtp")
        print(f"{len(received)} frames of {stats['framesReceived']} received")


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 300))
