"""The live sessions: who is here, who has just left and may come back, who displaces whom."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import structlog

from plait.hub.arrivals import Arrivals
from plait.hub.client import LiveClient
from plait.wire.errors import Offline
from plait.wire.messages import now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from plait.hub.contracts import Bus, Client, Principal, Room
    from plait.hub.outbox import Traffic
    from plait.hub.reply import Reply
    from plait.transport.base import Transport
    from plait.wire.errors import PlaitError

REVOKED: Final = 1008
"""The close code (RFC 6455, section 7.4.1) of a client whose credential is not valid any more."""

_MOST_WAITING: Final = 64
"""Broken sessions that are kept for one principal: a page reloaded again and again must not fill memory."""

_LATE: Final = 1.1
"""A sleep lasts at most so many times as long as was said: cheap clocks are off by some percent."""
_LONGEST: Final = 7 * 24 * 3600.0
"""Seconds that a sleeping thing's session is kept at most."""

_log = structlog.get_logger("plait.hub")


class LiveClients:
    """Implements `contracts.Clients`.

    Args:
        bus: what the clients' watches listen to.
        window: seconds for which a broken session is kept.
        marked: how far a session that is not live any more was committed, by its id and principal.
        traffic: counts what passes.

    Attributes:
        rooms: told of comings and goings; set by `hub/main`.
        revoked: the ids of credentials taken back since this hub started: who was let in with one of them
            just before gets no session.
        on_revoked: told of credentials that are taken back, after their sessions have ended.
    """

    def __init__(
        self, bus: Bus, window: float, marked: Callable[[str, str], Reply[int]], traffic: Traffic
    ) -> None:
        self.rooms: Sequence[Room] = ()
        self.revoked: set[str] = set()
        self.on_revoked: Callable[[Collection[str]], None] = lambda _: None
        self.window = window
        self.marked = marked
        self._bus = bus
        self._traffic = traffic
        self._sessions: dict[str, LiveClient] = {}
        self._things: dict[str, LiveClient] = {}
        self._arrivals = Arrivals()
        self._broken: dict[Principal, dict[str, LiveClient]] = {}

    def __iter__(self) -> Iterator[LiveClient]:
        return iter(list(self._sessions.values()))

    # For the rooms

    def thing(self, thing: str) -> Client:
        """Return the connected session of a thing. Raises `Offline`."""
        client = self._things.get(thing)
        if client is None or not client.connected or client.asleep is not None:
            raise Offline(f"{thing} is not connected")
        return client

    def online(self, thing: str) -> bool:
        """Return whether a connection carries the thing's session now."""
        client = self._things.get(thing)
        return client is not None and client.connected and client.asleep is None

    def asleep(self, thing: str) -> datetime | None:
        """Return until when a thing sleeps, if it does."""
        client = self._things.get(thing)
        return None if client is None else client.asleep

    def absence(self, thing: str, deadline: datetime) -> Offline | None:
        """Return why a thing can be asked nothing before this time: it is away, or sleeps longer."""
        if self.online(thing):
            return None
        until = self.asleep(thing)
        if until is None:
            return Offline(f"{thing} is not connected")
        if until >= deadline:
            return Offline(f"{thing} sleeps until {until.isoformat()}, beyond the deadline")
        return None

    def here(self, thing: str, until: datetime, late: PlaitError) -> Reply[None]:
        """Return a reply that is there when the thing comes, or fails with `late` at that time."""
        return self._arrivals.wait(thing, until, late)

    # For the connections

    def find(self, session: str, principal: Principal) -> LiveClient | None:
        """Return a live session, if it is this principal's."""
        client = self._sessions.get(session)
        return client if client is not None and client.principal == principal else None

    def begin(self, principal: Principal) -> LiveClient:
        """Begin a new session; an earlier one of the same thing is over."""
        if principal.kind == "thing" and (earlier := self._things.get(principal.id)) is not None:
            self.lose(earlier, 4001, "another connection of this thing")
        client = LiveClient("s-" + secrets.token_urlsafe(18), principal, self._bus, self.lose, self._traffic)
        self._sessions[client.id] = client
        if principal.kind == "thing":
            self._things[principal.id] = client
        return client

    def join(self, client: LiveClient, transport: Transport, credential: str) -> None:
        """Carry a session by this connection, let in with this credential; an earlier one is displaced."""
        client.credential = credential
        earlier = client.transport
        if earlier is not None:
            client.detach()
            earlier.close(4001, "another connection of this session")
        if client.expiry is not None:
            client.expiry.cancel()
            client.expiry = None
            self._forget_broken(client)
        client.attach(transport)
        client.asleep = None
        if earlier is None:
            for room in self.rooms:
                room.arrived(client)
            if client.principal.kind == "thing":
                self._arrivals.came(client.principal.id)

    def part(self, client: LiveClient, transport: Transport, *, goodbye: bool) -> None:
        """Take note that a connection is gone; its session, unless it said goodbye, may come back."""
        if client.transport is not transport:
            return
        if goodbye and client.asleep is None:
            self.lose(client, 1000, "goodbye")
            return
        client.detach()
        window = self.window
        if client.asleep is not None:  # late by as much as a break may last, and by a part of its sleep
            asleep = max(0.0, (client.asleep - now()).total_seconds())
            window += min(asleep * _LATE, _LONGEST)
        client.expiry = asyncio.get_running_loop().call_later(window, self._expire, client)
        waiting = self._broken.setdefault(client.principal, {})
        waiting[client.id] = client
        for room in self.rooms:
            room.left(client)
        if len(waiting) > _MOST_WAITING:
            self.lose(next(iter(waiting.values())), 4003, "too many broken sessions")

    def lose(self, client: LiveClient, code: int, reason: str) -> None:
        """End a session; its connection is closed with this code. Twice does nothing."""
        if self._sessions.pop(client.id, None) is None:
            return
        if code not in (1000, 1001, 4001) and client.connected:
            _log.warning("session lost", client=str(client.principal), session=client.id, reason=reason)
        if self._things.get(client.principal.id) is client:
            del self._things[client.principal.id]
        self._forget_broken(client)
        transport = client.transport
        client.end()
        if transport is not None:
            for room in self.rooms:
                room.left(client)
            transport.close(code, reason)
        for room in self.rooms:
            room.ended(client)

    def revoke(self, credentials: Collection[str]) -> None:
        """End every session that was last let in with one of these credentials."""
        self.revoked.update(credentials)
        for client in self:
            if client.credential in credentials:
                client.revoked = True
                self.lose(client, REVOKED, "its credential was taken back")
        self.on_revoked(credentials)

    def close(self) -> None:
        """End all of them: the hub goes away, and they come back to the next one."""
        self.rooms = ()  # nobody is told that another is gone: what two have between them directly goes on
        for client in list(self._sessions.values()):
            self.lose(client, 1001, "the hub is going away")

    def _expire(self, client: LiveClient) -> None:
        self.lose(client, 4003, "the session was not resumed in time")

    def _forget_broken(self, client: LiveClient) -> None:
        waiting = self._broken.get(client.principal)
        if waiting is not None and waiting.pop(client.id, None) is not None and not waiting:
            del self._broken[client.principal]
