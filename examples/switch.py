"""An app: switch the lamp, dim it, let it blink, and see what can go wrong.

PLAIT_TOKEN=$(plait hub user-token) python switch.py
"""

import asyncio

from plait import app
from plait.wire.errors import InvalidValue, Offline


async def main() -> None:
    async with app.connect() as home:
        lamp = home.thing("Hall lamp")
        try:
            print("on:", await lamp.write("on", True))  # returns when the device has confirmed it
            print("brightness:", await lamp.write("brightness", 33))  # this dimmer has steps of 5
            await lamp.invoke("blink", times=1, timeout=5)
            await lamp.write("brightness", 101)
        except InvalidValue as error:
            print("refused:", error.detail)
        except Offline:
            print("the lamp is away since", lamp.presence.since)


asyncio.run(main())
