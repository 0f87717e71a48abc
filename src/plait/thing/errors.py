"""What can be wrong with a thing, before it runs and while it does."""

from __future__ import annotations

from plait.wire.errors import Busy


class DefinitionError(TypeError):
    """A `Thing` class that cannot be described. The text begins with the attribute: `Lamp.brightness: …`."""

    def __init__(self, owner: type, attribute: str, reason: str) -> None:
        super().__init__(f"{owner.__name__}.{attribute}: {reason}")
        self.attribute = attribute


class SpoolFull(Busy):
    """So many events wait for a hub that is away that there is no room for one more; it was not kept."""
