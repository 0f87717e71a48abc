"""Events: from things through the store to whoever subscribed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from plait.hub.contracts import (
    Happening,
    Notice,
    Operation,
    Quiet,
    events_topic,
    microseconds,
)
from plait.wire.codec import Encoded
from plait.wire.errors import UnknownAffordance
from plait.wire.messages import (
    SUBSCRIBE_ALL_EVENTS,
    SUBSCRIBE_EVENT,
    UNSUBSCRIBE_ALL_EVENTS,
    notification,
    now,
    response,
)

if TYPE_CHECKING:
    from plait.hub.contracts import (
        Access,
        Bus,
        Client,
        Store,
        Things,
    )
    from plait.wire.messages import (
        Message,
    )


class Events(Quiet):
    """The room of events."""

    def __init__(self, things: Things, *, store: Store, bus: Bus, access: Access) -> None:
        self._things = things
        self._store = store
        self._bus = bus
        self._access = access
        self.operations = (
            Operation("notification", SUBSCRIBE_EVENT, self._report, durable=True, session=True, things=True),
            Operation("request", SUBSCRIBE_ALL_EVENTS, self._subscribe, session=True),
            Operation("request", UNSUBSCRIBE_ALL_EVENTS, self._unsubscribe, session=True),
        )

    def _report(self, client: Client, message: Message) -> None:
        record = self._things.get(client.principal.id)
        name = "" if message.name is UNSET else message.name
        affordance = record.events.get(name)
        if affordance is None:
            raise UnknownAffordance(f"no event {name!r:.200}", field="/name")
        affordance.check(message.data, "data")
        data = None if message.data is UNSET else message.data
        stamp = now() if message.timestamp is UNSET else message.timestamp
        event = Happening(record.id, name, microseconds(stamp), msgspec.json.encode(data))
        told = notification(
            SUBSCRIBE_EVENT, thing_id=record.id, name=name, data=message.data, timestamp=stamp
        )

        def committed(error: BaseException | None) -> None:
            if error is not None:
                client.unkept(message, error)
                return
            client.settled(message)
            if event.known:  # told again, since its device did not hear that it was kept
                return
            self._bus.publish(events_topic(record.id), Notice(Encoded(told)))

        self._store.add_event(event, client.mark(message), committed)

    def _subscribe(self, client: Client, message: Message) -> Message:
        client.watch(events_topic(self._allowed(client, message)))
        return response(message, output={})

    def _unsubscribe(self, client: Client, message: Message) -> Message:
        client.unwatch(events_topic(self._allowed(client, message)))
        return response(message, output={})

    def _allowed(self, client: Client, message: Message) -> str:
        thing = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(client.principal, thing, "read")
        return self._things.get(thing).id
