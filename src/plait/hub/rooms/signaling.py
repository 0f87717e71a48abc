"""Calls: hands offers, answers and candidates between an app and a thing, and reads none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.hub.contracts import (
    PATIENCE,
    Notice,
    Operation,
    Quiet,
    call_key,
)
from plait.wire.codec import Encoded
from plait.wire.errors import Busy, Forbidden, InvalidMessage
from plait.wire.messages import OPEN_CALL, SIGNAL, new_id, notification, now, response

if TYPE_CHECKING:
    from plait.hub.contracts import (
        Access,
        CallServers,
        Client,
        Clients,
        Later,
        Things,
    )
    from plait.wire.messages import Message

_MOST: Final = 64
"""Calls that one client may have open."""

_LONGEST_ID: Final = 64


@dataclass(slots=True)
class _Call:
    id: str
    thing_id: str
    viewer: Client
    thing: Client
    greeted: bool = False  # the thing has been handed the hub's servers, with the first offer

    def other(self, client: Client) -> Client | None:
        if client is self.viewer:
            return self.thing
        return self.viewer if client is self.thing else None


class Signaling(Quiet):
    """The room of calls.

    Args:
        things, access, clients: see `hub/contracts`.
        servers: STUN and TURN servers for both ends.
    """

    def __init__(self, things: Things, *, access: Access, clients: Clients, servers: CallServers) -> None:
        self._things = things
        self._access = access
        self._clients = clients
        self._servers = servers
        self._calls: dict[str, _Call] = {}
        self._by_client: dict[str, set[str]] = {}
        self.operations = (
            Operation("request", OPEN_CALL, self._open, session=True),
            Operation("request", SIGNAL, self._request, session=True),
            Operation("notification", SIGNAL, self._notify, session=True),
        )

    def _open(self, client: Client, message: Message) -> Message:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(client.principal, thing_id, "watch")
        record = self._things.get(thing_id)
        thing = self._clients.thing(record.id)
        if thing is client:
            raise Forbidden("a thing does not call itself", field="/thingID")
        wanted = None if message.call is UNSET else message.call
        if wanted is not None and not 0 < len(wanted) <= _LONGEST_ID:
            raise InvalidMessage(f"a call's id has 1 to {_LONGEST_ID} characters", field="/call")
        known = None if wanted is None else self._calls.get(wanted)
        if known is not None and (known.viewer.principal, known.thing_id) != (client.principal, record.id):
            raise Forbidden("this call is another one's", field="/call")
        if known is not None:
            self._forget(known)
        if len(self._by_client.get(client.id, ())) >= _MOST:
            raise Busy(f"{_MOST} calls are open already")
        call = _Call(wanted or new_id(), record.id, client, thing)
        self._calls[call.id] = call
        for end in (client, thing):
            self._by_client.setdefault(end.id, set()).add(call.id)
        self._servers.opened(call_key(call.id), record.id, (client, thing))
        servers = self._servers.servers(call_key(call.id), client)
        return response(message, output={"call": call.id, "iceServers": servers})

    def _request(self, client: Client, message: Message) -> Later:
        call, other = self._find(client, message)
        data = message.data
        self._servers.heard(call_key(call.id), client, data)
        if other is call.thing and not call.greeted and isinstance(data, dict):
            call.greeted = True
            data = {**data, "iceServers": self._servers.servers(call_key(call.id), other)}
        return self._ask(message, call, other, data)

    async def _ask(self, message: Message, call: _Call, other: Client, data: Any) -> Message:
        deadline = now() + PATIENCE if message.deadline is UNSET else message.deadline
        question = other.question(SIGNAL, thing_id=call.thing_id, call=call.id, data=data)
        answer = await other.ask(question, deadline)
        self._servers.heard(call_key(call.id), other, answer.output)
        return response(message, output=answer.output, call=call.id)

    def _notify(self, client: Client, message: Message) -> None:
        call, other = self._find(client, message)
        self._servers.heard(call_key(call.id), client, message.data)
        signal = notification(SIGNAL, thing_id=call.thing_id, call=call.id, data=message.data)
        other.tell(Notice(Encoded(signal)))
        if isinstance(message.data, dict) and message.data.get("type") == "bye":
            self._drop(call)

    def _find(self, client: Client, message: Message) -> tuple[_Call, Client]:
        call = self._calls.get("" if message.call is UNSET else message.call)
        other = None if call is None else call.other(client)
        if call is None or other is None:
            raise InvalidMessage("no such call of this client", field="/call")
        return call, other

    def _drop(self, call: _Call) -> None:
        self._forget(call)
        self._servers.over(call_key(call.id))

    def _forget(self, call: _Call) -> None:
        self._calls.pop(call.id, None)
        for end in (call.viewer, call.thing):
            calls = self._by_client.get(end.id)
            if calls is not None:
                calls.discard(call.id)
                if not calls:
                    del self._by_client[end.id]

    def ended(self, client: Client) -> None:
        """Say `bye` to whoever was in a call with this session."""
        for call_id in list(self._by_client.get(client.id, ())):
            call = self._calls[call_id]
            other = call.other(client)
            self._drop(call)
            if other is not None:
                why = "access was taken back" if client.revoked else "the other end is gone"
                bye = {"type": "bye", "reason": why}
                signal = notification(SIGNAL, thing_id=call.thing_id, call=call.id, data=bye)
                other.tell(Notice(Encoded(signal)))
