"""Property values: from things through the store to whoever watches, and from apps to things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from plait.hub.contracts import (
    PATIENCE,
    Notice,
    Operation,
    Quiet,
    Reading,
    microseconds,
    values_topic,
)
from plait.wire.codec import Encoded
from plait.wire.errors import Expired, InvalidMessage, Offline, ReadOnly, UnknownAffordance
from plait.wire.messages import (
    OBSERVE_ALL_PROPERTIES,
    OBSERVE_PROPERTY,
    READ_ALL_PROPERTIES,
    READ_PROPERTY,
    UNOBSERVE_ALL_PROPERTIES,
    WRITE_PROPERTY,
    PropertyState,
    notification,
    now,
    response,
)

if TYPE_CHECKING:
    from plait.hub.contracts import (
        Access,
        Affordance,
        Answer,
        Bus,
        Caller,
        Client,
        Clients,
        Later,
        Store,
        ThingRecord,
        Things,
        Verb,
    )
    from plait.wire.messages import (
        Message,
    )


class Properties(Quiet):
    """The room of property values."""

    def __init__(self, things: Things, *, store: Store, bus: Bus, access: Access, clients: Clients) -> None:
        self._things = things
        self._store = store
        self._bus = bus
        self._access = access
        self._clients = clients
        self.readings = 0
        self.operations = (
            Operation(
                "notification", OBSERVE_PROPERTY, self._report, durable=True, session=True, things=True
            ),
            Operation("request", READ_PROPERTY, self._read),
            Operation("request", READ_ALL_PROPERTIES, self._read_all),
            Operation("request", OBSERVE_ALL_PROPERTIES, self._observe_all, session=True),
            Operation("request", UNOBSERVE_ALL_PROPERTIES, self._unobserve_all, session=True),
            Operation("request", WRITE_PROPERTY, self._write),
        )

    # From things

    def _report(self, client: Client, message: Message) -> None:
        record = self._things.get(client.principal.id)
        name, affordance = _affordance(record, message)
        if message.value is UNSET:
            raise InvalidMessage("a reading has a value", field="/value")
        affordance.check(message.value, "value")
        stamp = now() if message.timestamp is UNSET else message.timestamp
        state = PropertyState(value=message.value, timestamp=stamp)
        reading = Reading(record.id, name, microseconds(stamp), msgspec.json.encode(message.value))

        def committed(error: BaseException | None) -> None:
            if error is not None:
                client.unkept(message, error)
                return
            self.readings += 1
            client.settled(message)
            if reading.known:  # told again, since its device did not hear that it was kept
                return
            record.values[name] = state
            told = notification(
                OBSERVE_PROPERTY, thing_id=record.id, name=name, value=state.value, timestamp=state.timestamp
            )
            self._bus.publish(values_topic(record.id), Notice(Encoded(told), (record.id, name)))

        self._store.add_reading(reading, client.mark(message), committed)

    # From apps

    def _read(self, caller: Caller, message: Message) -> Answer | Later:
        record = self._allowed(caller, message, "read")
        name, _ = _affordance(record, message)
        if self._clients.online(record.id):
            return self._ask(record, message, name)
        last = record.values.get(name)
        if last is None:
            raise Offline(f"{record.id} is not connected, and has never told its {name}")
        return response(message, value=last.value, timestamp=last.timestamp)

    def _write(self, caller: Caller, message: Message) -> Later:
        record = self._allowed(caller, message, "control")
        name, affordance = _affordance(record, message)
        if affordance.readonly:
            raise ReadOnly(f"{name} cannot be written", field="/name")
        if message.value is UNSET:
            raise InvalidMessage("a value is missing", field="/value")
        affordance.check(message.value, "value")
        return self._ask(record, message, name)

    async def _ask(self, record: ThingRecord, message: Message, name: str) -> Message:
        stamp = now()
        deadline = stamp + PATIENCE if message.deadline is UNSET else message.deadline
        if deadline <= stamp:
            raise Expired("its deadline is past", field="/deadline")
        if self._clients.asleep(record.id) is not None:  # a write waits for it, as an action does
            absence = self._clients.absence(record.id, deadline)
            if absence is not None:
                raise absence
            late = Expired("its deadline passed while the thing slept; nothing was written")
            await self._clients.here(record.id, deadline, late)
        thing = self._clients.thing(record.id)
        question = thing.question(
            message.operation, thing_id=record.id, name=name, value=message.value, deadline=deadline
        )
        told = await thing.ask(question, deadline)
        when = now() if told.timestamp is UNSET else told.timestamp
        return response(message, value=told.value, timestamp=when)

    def _read_all(self, caller: Caller, message: Message) -> Message:
        record = self._allowed(caller, message, "read")
        return response(message, value=msgspec.to_builtins(record.values))

    def _observe_all(self, client: Client, message: Message) -> Message:
        answer = self._read_all(client, message)
        client.watch(values_topic(self._things.get(str(message.thing_id)).id))
        return answer

    def _unobserve_all(self, client: Client, message: Message) -> Message:
        record = self._allowed(client, message, "read")
        client.unwatch(values_topic(record.id))
        return response(message, output={})

    def _allowed(self, caller: Caller, message: Message, verb: Verb) -> ThingRecord:
        thing = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(caller.principal, thing, verb)
        return self._things.get(thing)


def _affordance(record: ThingRecord, message: Message) -> tuple[str, Affordance]:
    name = "" if message.name is UNSET else message.name
    affordance = record.properties.get(name)
    if affordance is None:
        raise UnknownAffordance(f"no property {name!r:.200}", field="/name")
    return name, affordance
