"""Links at a thing: the far ends of those that apps, and paired things, have opened.

    class Car(Thing):
        async def on_link(self, link: Link) -> None:
            async for command in link.channel("steer"):
                …

`on_link` runs for as long as the link lasts; when it returns, or raises, the link ends.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.transport.signaling import servers_in
from plait.wire import messages
from plait.wire.errors import (
    Busy,
    Forbidden,
    InvalidMessage,
    LinkLost,
    Offline,
    PlaitError,
    UnknownOperation,
)
from plait.wire.link import VERSION
from plait.wire.messages import END_LINK, LINK
from plait.wire.path import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plait.link.direct import Direct
    from plait.link.link import Link
    from plait.thing.answers import Answers
    from plait.thing.over_link import OverLink
    from plait.thing.pairing.pairs import Pairs
    from plait.thing.thing import Thing
    from plait.transport.client import Client
    from plait.wire.grant import Grant
    from plait.wire.messages import Message

MOST: Final = 64
"""Links at a time."""

KEPT: Final = 120.0
"""Seconds for which a link is kept that no path carries: the app may open it again."""

PROVEN_WITHIN: Final = 20.0
"""Seconds in which a link that began without the hub must have its direct path: that proves its far end."""

UNPROVEN: Final = 4
"""Such links at a time: who only pretends to be paired takes no more room than that."""

log = logging.getLogger("plait.thing")


@dataclass(slots=True)
class _Served:
    """A link, as the thing has it.

    Attributes:
        link, direct: itself, and what keeps its direct path.
        ticket: by what right it is there, as the hub has said; a hub that was away is told of it.
        grant: of a paired thing's, when it began.
        routed: whether the hub hands on its packets.
        ended: whether the hub has said that it is over.
    """

    link: Link
    direct: Direct
    ticket: str
    grant: Grant | None
    routed: bool = False
    ended: bool = False


class Links:
    """The links of one thing.

    Args:
        thing: its `on_link` takes each link.
        client: the session with the hub.
        answers: reads, writes and actions, which may be asked over a link, too.
        pairs: makes what a thing needs that is paired with others.
    """

    def __init__(self, thing: Thing, client: Client, answers: Answers, pairs: Callable[[], Pairs]) -> None:
        self._thing = thing
        self._answers = answers
        self._client = client
        self._pairs = pairs
        self._links: dict[str, _Served] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def tickets(self) -> dict[str, str]:
        """By what right each link is there."""
        return {link_id: served.ticket for link_id, served in self._links.items() if served.ticket}

    def answer(self, asked: Message) -> dict[str, Any]:
        """Return the members of the response to one who opens a link, or opens one again."""
        try:
            output = self._open(asked)
        except PlaitError as error:
            return {"error": error.problem()}
        return {"call": asked.call, "output": output}

    def _open(self, asked: Message) -> dict[str, Any]:
        if asked.call is UNSET or not isinstance(asked.input, dict):
            raise InvalidMessage("A link is opened with its `call` and `input`", field="/call")
        given = asked.input
        versions = given.get("versions")
        if not isinstance(versions, list) or VERSION not in versions:
            raise UnknownOperation(f"This thing speaks version {VERSION} of links, not {versions}")
        grant = None if given.get("grant") is None else self._pairs().grants.admit(given["grant"])
        output: dict[str, Any] = {"version": VERSION, "known": asked.call in self._links}
        served = self._links.get(asked.call)
        if served is None:
            peer = str(given.get("from") or "") if grant is None else grant.caller
            served = self._begin(asked.call, peer, given.get("iceServers"), grant)
        else:
            self._check_pairing(served, grant)
            served.link.lost("hub")  # what went by the route before may not have come
        served.ticket = str(given.get("ticket") or "")
        served.routed = True
        self._carry(served)
        if grant is not None:
            output["doorbell"] = self._pairs().doorbell.addresses
        return output

    @staticmethod
    def _check_pairing(served: _Served, grant: Grant | None) -> None:
        if (served.grant and served.grant.id) != (grant and grant.id):
            raise Forbidden("this link is another one's")

    async def rung(self, asked: dict[str, Any]) -> str:
        """Take the offer of a paired thing that comes without the hub; return the answer.

        Raises:
            Forbidden, PermissionExpired: it may not.
            LinkLost: the link that it means is not known any more.
            Busy: the link has a path, or there are too many.
        """
        grant = self._pairs().grants.admit(asked.get("grant"))
        link_id, generation, sdp = asked.get("link"), asked.get("generation"), asked.get("sdp")
        if not (isinstance(link_id, str) and isinstance(generation, int) and isinstance(sdp, str)):
            raise InvalidMessage("an offer has a link, a generation and an sdp")
        from plait.link.direct import prove  # noqa: PLC0415 - as in `_begin`

        prove(sdp, grant.certificates.get(grant.caller, ""))
        served = self._links.get(link_id)
        if served is None:
            if not asked.get("fresh"):
                raise LinkLost("the thing has begun anew and does not know the link any more")
            if sum(not each.link.met.is_set() for each in self._links.values()) >= UNPROVEN:
                raise Busy("too many begin without the hub at a time")
            served = self._begin(link_id, grant.caller, (), grant)
        self._check_pairing(served, grant)
        if served.link.path.name and served.link.silent() <= SILENT:
            raise Busy("the link has a path")
        try:
            return await served.direct.rung(generation, sdp)
        except ValueError as error:
            raise InvalidMessage(f"this is no offer: {error}") from error

    def over(self, pairing: str, why: PlaitError) -> None:
        """End the links of a pairing that is over."""
        for served in tuple(self._links.values()):
            if served.grant is not None and served.grant.id == pairing:
                served.link.close(why)

    def end(self, link_id: str, reason: str) -> None:
        """End a link whose right the hub has taken back."""
        if (served := self._links.get(link_id)) is not None:
            served.ended = True
            served.link.close(LinkLost(reason))

    def take(self, told: Message) -> None:
        """Take a packet, or the end; of a link that is not known, it is late and means nothing."""
        served = self._links.get(str(told.call))
        if served is None:
            return
        link = served.link
        if told.operation == LINK:
            from plait.link.hub import take  # noqa: PLC0415 - as in `_begin`

            take(link, told)
            return
        data = told.data if isinstance(told.data, dict) else {}
        if data.get("final"):
            served.ended = True
            reason = str(data.get("reason") or "")
            link.close(LinkLost(reason) if reason else None)
        else:
            served.routed = False
            link.lost("hub")

    def moved(self, state: str) -> None:
        """Follow the session: what it carried goes on with it, or waits to be opened again."""
        for served in tuple(self._links.values()):
            served.routed &= state != "connected"
            if state == "resumed" and served.routed:
                self._carry(served)
            else:
                served.link.lost("hub")

    async def close(self) -> None:
        """End all links and wait until their handlers have cleaned up."""
        self._closed = True
        for served in tuple(self._links.values()):
            served.link.close(LinkLost("the device stops"))
        tasks = (*self._tasks, *self._asked)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, link_id: str, peer: str, servers: Any, grant: Grant | None) -> _Served:
        # Here, not above: a thing that nobody opens a link to needs no engine.
        from plait.link.direct import Direct  # noqa: PLC0415
        from plait.link.link import Link  # noqa: PLC0415
        from plait.link.pinning import Pinned  # noqa: PLC0415
        from plait.thing.over_link import OverLink  # noqa: PLC0415

        if self._closed:
            raise Offline(f"{self._thing.title} stops")
        if len(self._links) >= MOST:
            raise Busy(f"{MOST} links are open already")
        link = Link(link_id, peer=peer)
        now = pinned = None
        if grant is not None:
            grants = self._pairs().grants
            now = partial(grants.current, grant.id)
            pinned = Pinned(grants.certificate, grant.certificates.get(grant.caller, ""))
        servers = servers if isinstance(servers, list) else ()
        renew = partial(self._renewed_servers, link_id)
        direct = Direct(link, offers=False, ice_servers=servers, renew=renew, pinned=pinned)
        served = self._links[link_id] = _Served(link, direct, "", grant)
        over_link = OverLink(self._thing, link, self._answers, grant=now, tasks=self._asked)
        task = asyncio.create_task(self._run(served, over_link), name=f"link {link_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return served

    async def _renewed_servers(self, link_id: str) -> Sequence[Mapping[str, Any]]:
        if not self._client.connected:
            raise Offline("the hub is away")  # what is known already will do
        return servers_in((await self._client.request(messages.ICE_SERVERS, call=link_id)).output)

    def _carry(self, served: _Served) -> None:
        from plait.link.hub import HubCarrier  # noqa: PLC0415 - as in `_begin`

        served.link.opened("hub", HubCarrier(self._client, self._thing.id, served.link.id))

    async def _serve(self, served: _Served) -> None:
        """Give the link to the thing's own code, where it is not limited to some affordances."""
        grant = served.grant
        await served.link.met.wait()  # one that began without the hub has proven nothing before
        if grant is None or (grant.names is None and "control" in grant.verbs):
            await self._thing.on_link(served.link)
        else:
            await served.link.closed.wait()

    async def _run(self, served: _Served, over_link: OverLink) -> None:
        link, reason = served.link, ""
        serving = asyncio.create_task(self._serve(served), name=f"on_link {link.id}")
        watching = asyncio.create_task(self._watch(served))
        try:
            await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not serving.cancelled() and (error := serving.exception()) is not None:
                reason = str(error) or type(error).__name__
                if not isinstance(error, (LinkLost, Forbidden)):
                    log.error("%s.on_link() failed", type(self._thing).__name__, exc_info=error)
            elif serving.done() and not link.closed.is_set():
                await link.settled(2.0)
        finally:
            for task in (serving, watching):
                task.cancel()
            await asyncio.gather(serving, watching, return_exceptions=True)
            self._say_end(served, reason or (link.error.detail if link.error is not None else ""))
            link.close()
            over_link.close()
            await served.direct.close()
            del self._links[link.id]

    async def _watch(self, served: _Served) -> None:
        """Wait until a link is closed; close it where no path carries it for too long."""
        link, unheard, proven = served.link, 0.0, False
        while not link.closed.is_set():
            try:
                await asyncio.wait_for(link.closed.wait(), 1.0)
            except TimeoutError:
                unheard = 0.0 if link.path.name else unheard + 1.0
                if unheard >= (KEPT if link.met.is_set() else PROVEN_WITHIN):
                    link.close(LinkLost(f"no path for {unheard:.0f} s"))
                if link.met.is_set() and not proven:
                    proven = True
                    self._supersede(served)

    def _supersede(self, served: _Served) -> None:
        """End earlier links of the same pairing: its other end has begun anew."""
        for other in tuple(self._links.values()):
            if served.grant is None or other.grant is None or other is served:
                continue
            if other.grant.id == served.grant.id and not other.link.path.name:
                other.link.close(LinkLost("the other end has begun anew"))

    def _say_end(self, served: _Served, reason: str) -> None:
        if not served.ended and served.ticket:
            with suppress(PlaitError):  # the client is closed or full: the hub says it when we are gone
                data = {"reason": reason, "final": True}
                self._client.notify(END_LINK, thing_id=self._thing.id, call=served.link.id, data=data)
