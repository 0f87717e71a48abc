"""The Python viewer in a place: tells each frame that it is shown, and each number that comes over the link.

viewer.py THING [link], with PLAIT_HUB and PLAIT_TOKEN. Lines of JSON, with the time by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress

from plait import app


def tell(**members) -> None:
    print(json.dumps(members), flush=True)  # noqa: T201 - to who started it


async def count(thing) -> None:
    """Take the device's numbers."""
    async with thing.link() as link:
        async for number in link.channel("numbers"):
            tell(number=int(number))


async def main() -> None:
    async with app.connect() as home:
        thing = await home.wait_for(sys.argv[1], timeout=30)
        await thing.online(timeout=30)
        home.on_state = lambda state: tell(state=state, at=time.monotonic())
        counting = asyncio.create_task(count(thing)) if "link" in sys.argv else None
        async with thing.video() as video:
            async for _ in video:
                tell(at=time.monotonic(), way=video.way, why=video.why)
                if counting is not None and counting.done():
                    counting.result()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
