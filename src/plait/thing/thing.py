"""`Thing`: a device as a Python class."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack

from plait.thing.affordances import ABSENT
from plait.thing.definition import Definition
from plait.thing.runner import run, serve
from plait.thing.state import State, install, state_of
from plait.thing.values import humane
from plait.wire.description import (
    action_affordance,
    event_affordance,
    property_affordance,
    thing_description,
)
from plait.wire.errors import UnknownOperation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.link.link import Link
    from plait.thing.call import Call
    from plait.thing.pairing.peers import Peer
    from plait.thing.runner import Options
    from plait.wire.description import (
        Description,
    )
    from plait.wire.messages import Message

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


class Thing:
    """A device. Subclass it, and declare what the device has with `prop`, `action` and `event`.

        class Lamp(Thing):
            "A lamp."
            on: bool = prop(False)

        Lamp("urn:dev:lamp").run(hub="http://127.0.0.1:8080", token="…")

    A subclass may define

    - `set_NAME(self, value)` for a property NAME: called when an app writes it, before anybody is told. What
      it returns, or else what it assigned to the property, or else the value itself, is confirmed to the app;
      what it raises is told to the app instead. `async` or not; if not, it runs in a thread.
    - `async def main(self)`: runs while the thing is served. If it raises, serving ends with its error.
    - `async def on_call(self, call)`: takes WebRTC calls; see `plait.thing.call`.
    - `async def on_picture(self, width, size)`: gives a JPEG to viewers whom no video reaches.

    Class keywords: `types` are WoT `@type` terms, `links` web links of the description, `context` further
    `@context` entries that give the terms a meaning: `class Lamp(Thing, types=["Light"])`.

    Args:
        id: a URI, the device's name for machines: that of its token. Absent, made from the class's name.
        title: its name for people. Absent, it is made from the class's name.
    """

    id: str
    title: str
    definition: ClassVar[Definition]

    def __init_subclass__(
        cls,
        *,
        types: Sequence[str] = (),
        links: Sequence[Mapping[str, Any]] = (),
        context: Sequence[Any] = (),
        **rest: Any,
    ) -> None:
        super().__init_subclass__(**rest)
        inherited = cls.definition
        cls.definition = Definition(
            cls,
            Thing,
            types=types or inherited.types,
            links=links or inherited.links,
            context=context or inherited.context,
        )

    def __init__(self, id: str | None = None, *, title: str | None = None) -> None:  # noqa: A002 - WoT's name for it
        name = type(self).__name__
        self.id = f"urn:dev:{humane(name).lower().replace(' ', '-')}" if id is None else id
        if not _URI.fullmatch(self.id):
            raise ValueError(f"{name}: the id {self.id!r} is not a URI, such as urn:dev:lamp")
        self.title = title or self.definition.title
        install(self, State(name, self.definition))
        for declared in self.definition.properties.values():
            if declared.default is not ABSENT:
                state_of(self).report(declared.name, declared.default)

    def describe(self, *, base: str | None = None, secure: bool = True) -> Description:
        """Return the thing's description (TD 1.1). Override it to add what only the instance knows.

        Args:
            base: the URL of the hub, to which its forms are relative.
            secure: whether the hub asks for a token.
        """
        has = self.definition
        properties = {
            name: property_affordance(
                self.id,
                name,
                declared.kind.schema,
                read_only=declared.read_only,
                **declared.terms.members(humane(name)),
            )
            for name, declared in has.properties.items()
        }
        actions = {
            name: action_affordance(
                self.id,
                name,
                input_schema=None if action.input is None else action.input.schema,
                output_schema=None if action.output is None else action.output.schema,
                safe=action.terms.safe,
                idempotent=action.terms.idempotent,
                **action.terms.members(humane(name), action.description),
            )
            for name, action in has.actions.items()
        }
        events = {
            name: event_affordance(
                None if declared.kind is None else declared.kind.schema,
                **declared.terms.members(humane(name)),
            )
            for name, declared in has.events.items()
        }
        return thing_description(
            self.id,
            self.title,
            types=has.types,
            context=has.context,
            base=base,
            secure=secure,
            properties=properties,
            actions=actions,
            events=events,
            links=has.links,
            description=has.description,
        )

    def run(self, **options: Unpack[Options]) -> None:
        """Serve it as this program's whole work, until Ctrl-C or SIGTERM; see `plait.thing.run`."""
        run(self, **options)

    async def serve(self, **options: Unpack[Options]) -> None:
        """Serve it until cancelled; see `plait.thing.serve`."""
        await serve(self, **options)

    async def saved(self) -> None:
        """Wait until all that was reported so far is on the disk, or with the hub.

        At once where the thing is served without a folder: it keeps nothing.
        """
        await state_of(self).saved()

    def peer(self, name: str) -> Peer:
        """Return another thing that this one may use, once its owner has said so (`plait pair`).

        Args:
            name: the other's id, or the last part of it: `lamp` for `urn:dev:lamp`.
        """
        from plait.thing.pairing.peers import peers_of  # noqa: PLC0415 - a thing without pairs needs none of it

        return peers_of(self).peer(name)

    async def main(self) -> None:
        """Do the device's own work. Override it; it may return."""

    async def on_link(self, link: Link) -> None:
        """Take a link. Override it where apps are to speak to the device beside its affordances."""
        await link.closed.wait()

    def on_lost(self, unheard: Sequence[Message]) -> None:
        """Take note that the session was lost and a new one has begun. Override it where that matters.

        What was reported is not lost: it is told again, and counts once. Calls have ended. Links go on
        directly, or are opened again.

        Args:
            unheard: answers to `invokeaction` and `writeproperty` (`operation`, `name`, `output` or `value`,
                or `error`) that may not have been heard: it was done, and who asked may have been told
                `outcome-unknown`.
        """

    async def on_call(self, call: Call) -> None:
        """Take a call. Override it where the device has a camera, sound or data channels."""
        await call.refuse(f"{self.title} takes no calls")

    async def on_picture(self, width: int, size: int) -> bytes:
        """Return a JPEG of this moment, for a viewer whom no video reaches.

        A `Camera` does so from its source. Override it where the device has a picture by other means:
        it needs neither the extra `media` nor an engine.

        Args:
            width: pixels across at most; fewer where `size` does not allow so many.
            size: bytes at most.
        """
        del width, size
        raise UnknownOperation(
            f"{self.title} sends no pictures through the hub: it has no `on_picture`, and is no `Camera`"
        )


Thing.definition = Definition(Thing, Thing)
