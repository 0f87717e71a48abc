"""An app: follow a thing, first its last known values, then all that happens.

PLAIT_TOKEN=$(plait hub user-token) python watch.py Thermometer
"""

import asyncio
import sys

from plait import app


async def main(name: str) -> None:
    async with app.connect() as home:
        async for change in home.thing(name).watch():
            print(f"{change.timestamp:%H:%M:%S} {change.kind:8} {change.name} = {change.value}", flush=True)


asyncio.run(main(sys.argv[1]))
