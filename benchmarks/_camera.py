"""The camera of the video benchmark, in a process of its own: a line in, a line of counts out.

It is `plait camera` with one thing more: for each line on standard input it prints how many pictures its one
viewer was sent, half a picture's time after the next one: this count and the viewer's are of one moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from plait.media import STREET
from plait.thing import serve
from plait.thing.camera import Camera


async def _answer(camera: Camera) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        before = camera.fanout.sent
        while camera.fanout.sent == before:  # noqa: ASYNC110 - the product has no event for it
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)
        sent = [viewer.sent for viewer in camera.fanout.viewers]
        print(json.dumps({"sent": sent, "dropped": camera.source.dropped}), flush=True)


async def main() -> None:
    """Serve the camera until standard input ends."""
    camera = Camera(sys.argv[1], source=STREET)
    camera.look()
    serving = asyncio.create_task(serve(camera, hub=os.environ["PLAIT_HUB"], token=os.environ["PLAIT_TOKEN"]))
    answering = asyncio.create_task(_answer(camera))
    await asyncio.wait({serving, answering}, return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, answering):
        task.cancel()
    await asyncio.gather(serving, answering, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
