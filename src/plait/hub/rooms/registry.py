"""Which things there are, what they say of themselves, and whether they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from plait.hub.contracts import (
    THINGS_TOPIC,
    Notice,
    Operation,
    moment,
)
from plait.wire.codec import Encoded, convert
from plait.wire.errors import InvalidDescription, InvalidMessage, UnknownThing
from plait.wire.messages import (
    DESCRIBE_THING,
    OBSERVE_THINGS,
    SLEEP,
    Presence,
    PropertyState,
    Sleep,
    ThingState,
    notification,
    now,
    response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from plait.hub.contracts import (
        Access,
        Bus,
        Client,
        Clients,
        Later,
        Store,
        ThingRecord,
    )
    from plait.wire.messages import (
        Message,
    )

_FIRST: Final = 768 << 10
"""Bytes of things in the response to `observethings`; what goes beyond follows as notifications."""


class Registry:
    """Implements `contracts.Things`, and the room that things and apps see of it.

    Args:
        read: reads a description; raises `InvalidDescription`.
        store, bus, access, clients: see `hub/contracts`.
    """

    def __init__(
        self,
        read: Callable[[Any], ThingRecord],
        *,
        store: Store,
        bus: Bus,
        access: Access,
        clients: Clients,
    ) -> None:
        self._read = read
        self._store = store
        self._bus = bus
        self._access = access
        self._clients = clients
        self._things: dict[str, ThingRecord] = {}
        self._watchers: dict[str, Client] = {}
        self.operations = (
            Operation("request", DESCRIBE_THING, self._describe, durable=True, session=True, things=True),
            Operation("request", SLEEP, self._sleep, session=True, things=True),
            Operation("request", OBSERVE_THINGS, self._observe, session=True),
        )
        bus.subscribe(THINGS_TOPIC, self._tell)

    def load(
        self, descriptions: Iterable[tuple[str, Any]], values: Iterable[tuple[str, str, int, Any]]
    ) -> list[str]:
        """Take what the store remembers; return the things whose description is not understood any more."""
        refused = []
        for thing, description in descriptions:
            try:
                self._things[thing] = self._read(description)
            except InvalidDescription:
                refused.append(thing)
        for thing, name, time, value in values:
            if thing in self._things:
                self._things[thing].values[name] = PropertyState(value=value, timestamp=moment(time))
        return refused

    # contracts.Things

    def get(self, thing: str) -> ThingRecord:
        """Return a thing. Raises `UnknownThing`."""
        record = self._things.get(thing)
        if record is None:
            raise UnknownThing(f"no thing {thing!r:.200}", field="/thingID")
        return record

    def all(self) -> Sequence[ThingRecord]:
        """Return every thing, in the order in which they were registered."""
        return list(self._things.values())

    # Operations

    def _describe(self, client: Client, message: Message) -> Later:
        record = self._read(None if message.value is UNSET else message.value)
        if record.id != client.principal.id:
            raise InvalidDescription(f"the credential is of {client.principal.id}", field="/value/id")
        known = self._things.get(record.id)
        changed = known is None or known.description != record.description
        record.presence = Presence(state="online", since=now())
        if known is not None:
            record.values = known.values
            if known.presence.state == "online":
                record.presence = known.presence
        # In force at once: what the thing says next, in the same breath, is checked against it.
        self._things[record.id] = record
        return self._keep(client, message, record, changed=changed)

    async def _keep(self, client: Client, message: Message, record: ThingRecord, *, changed: bool) -> Message:
        if changed:
            description = msgspec.json.encode(record.description)
            await self._store.describe(record.id, description, client.mark(message))
            self._publish(record)
        return response(message, output={})

    def _sleep(self, client: Client, message: Message) -> Later:
        until = convert(message.input, Sleep, field="/input").until
        if until.tzinfo is None:
            raise InvalidMessage("a time has a UTC offset", field="/input/until")
        return self._rest(client, message, until)

    async def _rest(self, client: Client, message: Message, until: datetime) -> Message:
        await self._store.marked(client.id, str(client.principal))  # all that it told before is kept
        client.sleep(until)
        self._set_presence(client, "asleep", until)
        return response(message, output={})

    def _observe(self, client: Client, message: Message) -> Message:
        self._watchers[client.id] = client
        states: list[Any] = []
        size = 0
        for record in self._things.values():
            if not self._access.may(client.principal, record.id, "read"):
                continue
            state = msgspec.to_builtins(
                ThingState(description=record.description, presence=record.presence, properties=record.values)
            )
            size += len(msgspec.json.encode(state))
            if size <= _FIRST:
                states.append(state)
            else:
                client.tell(_notice(record))
        return response(message, value=states)

    # Comings and goings

    def arrived(self, client: Client) -> None:
        """A thing is here."""
        self._set_presence(client, "online")

    def left(self, client: Client) -> None:
        """A thing is away."""
        if client.asleep is None:
            self._set_presence(client, "offline")

    def ended(self, client: Client) -> None:
        """A session is over: it watches no more."""
        self._watchers.pop(client.id, None)
        if client.asleep is not None:  # it has not come back
            self._set_presence(client, "offline")

    def _set_presence(self, client: Client, state: Any, until: datetime | None = None) -> None:
        if client.principal.kind != "thing":
            return
        record = self._things.get(client.principal.id)
        if record is not None and record.presence.state != state:
            record.presence = Presence(state=state, since=now(), until=until)
            self._publish(record)

    def _publish(self, record: ThingRecord) -> None:
        self._bus.publish(THINGS_TOPIC, _notice(record))

    def _tell(self, notice: Notice) -> None:
        thing = notice.encoded.message.thing_id
        for client in list(self._watchers.values()):
            if thing is not UNSET and self._access.may(client.principal, thing, "read"):
                client.tell(notice)


def _notice(record: ThingRecord) -> Notice:
    state = ThingState(description=record.description, presence=record.presence)
    message = notification(OBSERVE_THINGS, thing_id=record.id, value=msgspec.to_builtins(state))
    return Notice(Encoded(message), (OBSERVE_THINGS, record.id))
