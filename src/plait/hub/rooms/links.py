"""Links: opens them after the access check, and hands their packets on, of which it reads none.

asked ──access──▶ the thing is asked ──▶ routed ──▶ ended by an end, or by access that was taken back
                                          └─ loose: the opener's session is over; the two may go on directly

Each link has a ticket, which says by what right it is there: whose credential, or which pairing. The thing
keeps it, and a hub that was away is told of it (`keeplinks`), so that what was taken back meanwhile ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from plait.hub.contracts import PATIENCE, Notice, Operation, Principal, Quiet, link_key
from plait.wire.codec import Encoded, convert
from plait.wire.errors import Busy, Forbidden, InvalidMessage, LinkLost
from plait.wire.messages import END_LINK, KEEP_LINKS, LINK, OPEN_LINK, new_id, notification, now, response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from plait.hub.contracts import Access, CallServers, Client, Clients, Kind, Later, Permissions, Things
    from plait.wire.messages import Message

_MOST: Final = 64
"""Links that one client may have open."""

_LONGEST_ID: Final = 64

BACK_WITHIN: Final = 120.0
"""Seconds for which relays of a link go on that the hub does not carry: as long as a thing keeps the link."""

_OPENERS: Final[dict[str, Kind]] = {"user": "user", "service": "service"}

_TAKEN_BACK: Final = "access was taken back"


@dataclass(frozen=True, slots=True)
class _Ticket:
    """By what right a link is there: a pairing, or else a principal's credential."""

    pairing: str = ""
    principal: str = ""
    credential: str = ""

    def __str__(self) -> str:
        return f"pairing {self.pairing}" if self.pairing else f"{self.credential} {self.principal}"

    @classmethod
    def read(cls, text: str) -> _Ticket:
        first, _, rest = text.partition(" ")
        return cls(pairing=rest) if first == "pairing" else cls(principal=rest, credential=first)


class _Kept(msgspec.Struct):
    """The `input` of a `keeplinks` request: links with their tickets, and permissions by pairing."""

    links: dict[str, str] = {}
    grants: list[str] = []


@dataclass(slots=True)
class _Route:
    id: str
    thing_id: str
    opener: Client | None
    thing: Client
    ticket: _Ticket

    def ends(self) -> list[Client]:
        return [end for end in (self.opener, self.thing) if end is not None]

    def other(self, client: Client) -> Client | None:
        if client is self.opener:
            return self.thing
        return self.opener if client is self.thing else None


class Links(Quiet):
    """The room of links.

    Args:
        things, access, clients, permissions: see `hub/contracts`.
        valid: whether a credential, by its id, is still good.
        servers: STUN and TURN servers for both ends.
    """

    def __init__(
        self,
        things: Things,
        *,
        access: Access,
        clients: Clients,
        permissions: Permissions,
        valid: Callable[[str], bool],
        servers: CallServers,
    ) -> None:
        self._things = things
        self._access = access
        self._clients = clients
        self._permissions = permissions
        self._valid = valid
        self._servers = servers
        self._routes: dict[str, _Route] = {}
        self._by_client: dict[str, set[str]] = {}
        self.operations = (
            Operation("request", OPEN_LINK, self._open, session=True),
            Operation("notification", LINK, self._packet, session=True),
            Operation("notification", END_LINK, self._end, session=True),
            Operation("request", KEEP_LINKS, self._keep, session=True, things=True),
        )

    def _open(self, client: Client, message: Message) -> Later:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        given: dict[str, Any] = {}
        if client.principal.kind == "thing" and client.principal.id != thing_id:
            pairing, given["grant"] = self._permissions.permission(client.principal.id, thing_id)
            ticket = _Ticket(pairing=pairing)
        else:
            self._access.check(client.principal, thing_id, "control")
            ticket = _Ticket(principal=str(client.principal), credential=client.credential)
        record = self._things.get(thing_id)
        thing = self._clients.thing(record.id)
        if thing is client:
            raise Forbidden("a thing has no link to itself", field="/thingID")
        asked = message.input if isinstance(message.input, dict) else {}
        wanted = asked.get("link")
        if wanted is not None and not (isinstance(wanted, str) and 0 < len(wanted) <= _LONGEST_ID):
            raise InvalidMessage(f"a link's id has 1 to {_LONGEST_ID} characters", field="/input/link")
        known = None if wanted is None else self._routes.get(wanted)
        if known is not None and (
            known.thing_id != record.id
            or (known.ticket.pairing, known.ticket.principal) != (ticket.pairing, ticket.principal)
        ):
            raise Forbidden("this link is another one's", field="/input/link")
        if known is None and len(self._by_client.get(client.id, ())) >= _MOST:
            raise Busy(f"{_MOST} links are open already")
        if known is not None:
            self._drop(known)
        given |= {"from": str(client.principal), "ticket": str(ticket), "versions": asked.get("versions", [])}
        return self._ask(client, message, _Route(wanted or new_id(), record.id, client, thing, ticket), given)

    async def _ask(self, opener: Client, message: Message, route: _Route, given: dict[str, Any]) -> Message:
        self._add(route)  # its packets may follow the thing's answer at once
        deadline = now() + PATIENCE if message.deadline is UNSET else message.deadline
        key = link_key(route.id)
        self._servers.opened(key, route.thing_id, (opener, route.thing))
        given["iceServers"] = self._servers.servers(key, route.thing)
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
        opened = {**output, "link": route.id, "iceServers": self._servers.servers(key, opener)}
        return response(message, output=opened, call=route.id)

    def _add(self, route: _Route) -> None:
        self._routes[route.id] = route
        for end in route.ends():
            self._by_client.setdefault(end.id, set()).add(route.id)

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
        if route is not None and client in route.ends():
            self._drop(route)
            self._servers.over(link_key(route.id))
            told = message.data if isinstance(message.data, dict) else {}
            if other is not None:
                _tell(other, route, str(told.get("reason", "")), final=True)

    def _drop(self, route: _Route) -> None:
        if self._routes.get(route.id) is route:
            del self._routes[route.id]
        for end in route.ends():
            links = self._by_client.get(end.id)
            if links is not None:
                links.discard(route.id)
                if not links:
                    del self._by_client[end.id]

    def ended(self, client: Client) -> None:
        """Tell the other end of each link that the hub carries it no more.

        It may be opened again, over the direct path meanwhile, unless access was taken back: then it is over.
        """
        why = _TAKEN_BACK if client.revoked else "the other end's session is over"
        for link_id in list(self._by_client.get(client.id, ())):
            route = self._routes[link_id]
            other = route.other(client)
            self._drop(route)
            self._servers.over(link_key(link_id), back_within=0.0 if client.revoked else BACK_WITHIN)
            if other is not None:
                _tell(other, route, why, final=client.revoked)
            if route.opener is client and not client.revoked:
                route.opener = None
                self._add(route)

    # Access that is taken back

    def revoked(self, credentials: Collection[str]) -> None:
        """End the links that are there by these credentials, and whose opener has no session any more."""
        for route in list(self._routes.values()):
            if route.opener is None and route.ticket.credential in credentials:
                self._cut(route, _TAKEN_BACK)

    def unpaired(self, pairing: str, reason: str) -> None:
        """End the links that are there by this pairing."""
        for route in list(self._routes.values()):
            if route.ticket.pairing == pairing:
                self._cut(route, reason)

    def _cut(self, route: _Route, reason: str) -> None:
        self._drop(route)
        self._servers.over(link_key(route.id))
        for end in route.ends():
            _tell(end, route, reason, final=True)

    def _keep(self, client: Client, message: Message) -> Message:
        """Tell a thing, after this hub or it was away, which of its links and permissions hold no more."""
        kept = convert({} if message.input is UNSET else message.input, _Kept, field="/input")
        over = {}
        for link_id, text in kept.links.items():
            ticket = _Ticket.read(text)
            if reason := self._hindrance(ticket, client.principal.id):
                over[link_id] = reason
            elif link_id not in self._routes and len(self._by_client.get(client.id, ())) < _MOST:
                self._add(_Route(link_id, client.principal.id, None, client, ticket))
        revoked = {each: why for each in kept.grants if (why := self._permissions.revoked(each))}
        return response(message, output={"over": over, "revoked": revoked})

    def _hindrance(self, ticket: _Ticket, thing: str) -> str:
        """Return why there may be no such link any more."""
        if ticket.pairing:
            return self._permissions.revoked(ticket.pairing)
        kind, _, name = ticket.principal.partition(":")
        if kind not in _OPENERS or not self._valid(ticket.credential):
            return _TAKEN_BACK
        may = self._access.may(Principal(_OPENERS[kind], name), thing, "control")
        return "" if may else _TAKEN_BACK


def _tell(end: Client, route: _Route, reason: str, *, final: bool) -> None:
    data = {"reason": reason, "final": final}
    end.tell(Notice(Encoded(notification(END_LINK, thing_id=route.thing_id, call=route.id, data=data))))
