"""Links: opens them after the access check, and hands their packets on, of which it reads none.

asked ──access──▶ the thing is asked ──▶ routed ──▶ ended by an end, or unrouted when one's session is over
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.hub.contracts import PATIENCE, Notice, Operation, Quiet, link_key
from plait.wire.codec import Encoded
from plait.wire.errors import Busy, Forbidden, InvalidMessage, LinkLost
from plait.wire.messages import END_LINK, LINK, OPEN_LINK, new_id, notification, now, response

if TYPE_CHECKING:
    from plait.hub.contracts import Access, CallServers, Client, Clients, Later, Things
    from plait.wire.messages import Message

_MOST: Final = 64
"""Links that one client may have open."""

_LONGEST_ID: Final = 64

BACK_WITHIN: Final = 120.0
"""Seconds for which relays of a link go on that the hub does not carry: as long as a thing keeps the link."""


@dataclass(slots=True)
class _Route:
    id: str
    thing_id: str
    app: Client
    thing: Client

    def other(self, client: Client) -> Client | None:
        if client is self.app:
            return self.thing
        return self.app if client is self.thing else None


class Links(Quiet):
    """The room of links.

    Args:
        things, access, clients: see `hub/contracts`.
        servers: STUN and TURN servers for both ends.
    """

    def __init__(self, things: Things, *, access: Access, clients: Clients, servers: CallServers) -> None:
        self._things = things
        self._access = access
        self._clients = clients
        self._servers = servers
        self._routes: dict[str, _Route] = {}
        self._by_client: dict[str, set[str]] = {}
        self.operations = (
            Operation("request", OPEN_LINK, self._open, session=True),
            Operation("notification", LINK, self._packet, session=True),
            Operation("notification", END_LINK, self._end, session=True),
        )

    def _open(self, client: Client, message: Message) -> Later:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(client.principal, thing_id, "control")
        record = self._things.get(thing_id)
        thing = self._clients.thing(record.id)
        if thing is client:
            raise Forbidden("a thing has no link to itself", field="/thingID")
        asked = message.input if isinstance(message.input, dict) else {}
        wanted = asked.get("link")
        if wanted is not None and not (isinstance(wanted, str) and 0 < len(wanted) <= _LONGEST_ID):
            raise InvalidMessage(f"a link's id has 1 to {_LONGEST_ID} characters", field="/input/link")
        known = None if wanted is None else self._routes.get(wanted)
        if known is not None and (known.app.principal, known.thing_id) != (client.principal, record.id):
            raise Forbidden("this link is another one's", field="/input/link")
        if known is None and len(self._by_client.get(client.id, ())) >= _MOST:
            raise Busy(f"{_MOST} links are open already")
        if known is not None:
            self._drop(known)
        return self._ask(message, _Route(wanted or new_id(), record.id, client, thing), asked)

    async def _ask(self, message: Message, route: _Route, asked: dict[str, Any]) -> Message:
        self._routes[route.id] = route  # its packets may follow the thing's answer at once
        for end in (route.app, route.thing):
            self._by_client.setdefault(end.id, set()).add(route.id)
        deadline = now() + PATIENCE if message.deadline is UNSET else message.deadline
        key = link_key(route.id)
        self._servers.opened(key, route.thing_id, (route.app, route.thing))
        servers = self._servers.servers(key, route.thing)
        given = {"versions": asked.get("versions", []), "iceServers": servers}
        question = route.thing.question(OPEN_LINK, thing_id=route.thing_id, call=route.id, input=given)
        try:
            answer = await route.thing.ask(question, deadline)
        except BaseException:
            self._drop(route)
            self._servers.over(key, back_within=BACK_WITHIN)
            raise
        if self._routes.get(route.id) is not route:
            raise LinkLost("an end of the link has gone meanwhile")
        output = answer.output if isinstance(answer.output, dict) else {}
        opened = {**output, "link": route.id, "iceServers": self._servers.servers(key, route.app)}
        return response(message, output=opened, call=route.id)

    def _packet(self, client: Client, message: Message) -> None:
        route = self._routes.get("" if message.call is UNSET else message.call)
        other = None if route is None else route.other(client)
        if route is not None and other is not None:
            packet = notification(LINK, thing_id=route.thing_id, call=route.id, data=message.data)
            other.tell(Notice(Encoded(packet)))
        # Else it was on its way when the route ended; both ends know that, or are about to hear it.

    def _end(self, client: Client, message: Message) -> None:
        route = self._routes.get("" if message.call is UNSET else message.call)
        other = None if route is None else route.other(client)
        if route is not None and other is not None:
            self._drop(route)
            self._servers.over(link_key(route.id))
            told = message.data if isinstance(message.data, dict) else {}
            _tell(other, route, str(told.get("reason", "")), final=True)

    def _drop(self, route: _Route) -> None:
        if self._routes.get(route.id) is route:
            del self._routes[route.id]
        for end in (route.app, route.thing):
            links = self._by_client.get(end.id)
            if links is not None:
                links.discard(route.id)
                if not links:
                    del self._by_client[end.id]

    def ended(self, client: Client) -> None:
        """Tell the other end of each link that the hub carries it no more.

        It may be opened again, over the direct path meanwhile, unless access was taken back: then it is over.
        """
        for link_id in list(self._by_client.get(client.id, ())):
            route = self._routes[link_id]
            other = route.other(client)
            self._drop(route)
            self._servers.over(link_key(link_id), back_within=0.0 if client.revoked else BACK_WITHIN)
            if other is not None:
                why = "access was taken back" if client.revoked else "the other end's session is over"
                _tell(other, route, why, final=client.revoked)


def _tell(end: Client, route: _Route, reason: str, *, final: bool) -> None:
    data = {"reason": reason, "final": final}
    end.tell(Notice(Encoded(notification(END_LINK, thing_id=route.thing_id, call=route.id, data=data))))
