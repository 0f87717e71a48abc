"""An app: call a thing by WebRTC and talk to it on a data channel, peer to peer.

PLAIT_TOKEN=$(plait hub user-token) python call.py Intercom
"""

import asyncio
import sys
import time

from plait import app


async def main(name: str) -> None:
    async with app.connect() as home, home.thing(name).call() as call:
        channel = await call.channel("voice")
        began = time.perf_counter()
        await channel.send("hello")
        print(await anext(aiter(channel)), f"after {(time.perf_counter() - began) * 1000:.1f} ms")


asyncio.run(main(sys.argv[1]))
