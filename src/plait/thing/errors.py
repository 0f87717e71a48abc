"""What can be wrong with a thing before it runs."""

from __future__ import annotations


class DefinitionError(TypeError):
    """A `Thing` class that cannot be described. The text begins with the attribute: `Lamp.brightness: …`."""

    def __init__(self, owner: type, attribute: str, reason: str) -> None:
        super().__init__(f"{owner.__name__}.{attribute}: {reason}")
        self.attribute = attribute
