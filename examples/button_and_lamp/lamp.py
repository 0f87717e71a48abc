"""A lamp that a button may switch: see button.py."""

from plait.thing import Thing, action, prop


class Lamp(Thing):
    """A lamp."""

    on: bool = prop(False)

    @action
    async def toggle(self) -> bool:
        """Switch it over; gives what it is now."""
        self.on = not self.on
        return self.on


if __name__ == "__main__":
    Lamp("urn:dev:lamp").run()
