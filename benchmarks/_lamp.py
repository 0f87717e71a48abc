"""The thing of `command`: `python -m benchmarks._lamp HUB TOKEN`."""

from __future__ import annotations

import sys

from plait.thing import Thing, action, prop


class Lamp(Thing):
    """A lamp with 200 bytes to say."""

    text: str = prop("x" * 198)

    @action
    async def repeat(self, text: str) -> str:
        """Give back what was given."""
        return text


if __name__ == "__main__":
    Lamp("urn:dev:bench:lamp", title="Lamp").run(hub=sys.argv[1], token=sys.argv[2])
