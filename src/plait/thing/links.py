"""Links at a thing: the far ends of those that apps have opened.

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
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.transport.signaling import servers_in
from plait.wire import messages
from plait.wire.codec import decode, encode
from plait.wire.errors import Busy, InvalidMessage, LinkLost, PlaitError, UnknownOperation
from plait.wire.link import VERSION
from plait.wire.messages import END_LINK, LINK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.link.channel import Channel
    from plait.link.direct import Direct
    from plait.link.link import Link
    from plait.thing.answers import Answers
    from plait.thing.thing import Thing
    from plait.transport.client import Client
    from plait.wire.messages import Message

MOST_AT_ONCE: Final = 64
"""Writes over links, and links, that are worked on at a time."""

KEPT: Final = 120.0
"""Seconds for which a link is kept that no path carries: the app may open it again."""

log = logging.getLogger("plait.thing")


class Links:
    """The links of one thing.

    Args:
        thing: its `on_link` takes each link.
        client: the session with the hub.
        answers: reads and writes of its properties, which apps may ask over a link, too.
    """

    def __init__(self, thing: Thing, client: Client, answers: Answers) -> None:
        self._thing = thing
        self._answers = answers
        self._client = client
        self._links: dict[str, Link] = {}
        self._routed: set[str] = set()
        self._over: set[str] = set()  # links that the app has ended
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, asked: Message) -> dict[str, Any]:
        """Return the members of the response to an app that opens a link, or opens one again."""
        try:
            if asked.call is UNSET or not isinstance(asked.input, dict):
                raise InvalidMessage("A link is opened with its `call` and `input`", field="/call")
            versions = asked.input.get("versions")
            if not isinstance(versions, list) or VERSION not in versions:
                raise UnknownOperation(f"This thing speaks version {VERSION} of links, not {versions}")
            known = asked.call in self._links
            if known:
                self._links[asked.call].lost("hub")  # what went by the route before may not have come
            else:
                self._begin(asked.call, asked.input.get("iceServers"))
        except PlaitError as error:
            return {"error": error.problem()}
        self._routed.add(asked.call)
        self._carry(asked.call)
        return {"call": asked.call, "output": {"version": VERSION, "known": known}}

    def take(self, told: Message) -> None:
        """Take a packet, or the end; of a link that is not known, it is late and means nothing."""
        link = self._links.get(str(told.call))
        if link is None:
            return
        if told.operation == LINK:
            from plait.link.hub import take  # noqa: PLC0415 - as in `_begin`

            take(link, told)
            return
        data = told.data if isinstance(told.data, dict) else {}
        if data.get("final"):
            self._over.add(link.id)
            reason = str(data.get("reason") or "")
            link.close(LinkLost(reason) if reason else None)
        else:
            self._routed.discard(link.id)
            link.lost("hub")

    def moved(self, state: str) -> None:
        """Follow the session: what it carried goes on with it, or waits for the app to open it again."""
        if state == "connected":
            self._routed.clear()
        for link_id, link in tuple(self._links.items()):
            if state == "resumed" and link_id in self._routed:
                self._carry(link_id)
            else:
                link.lost("hub")

    async def close(self) -> None:
        """End all links and wait until their handlers have cleaned up."""
        for link in tuple(self._links.values()):
            link.close(LinkLost("the device stops"))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, link_id: str, servers: Any) -> None:
        # Here, not above: a thing that nobody opens a link to needs no engine.
        from plait.link.direct import Direct  # noqa: PLC0415
        from plait.link.link import AFFORDANCES, Link  # noqa: PLC0415

        link = self._links[link_id] = Link(link_id)
        asked = link.channel(AFFORDANCES, priority=200)
        asked.on_message = partial(self._asked, asked)
        known = servers if isinstance(servers, list) else ()
        renew = partial(self._renewed_servers, link_id)
        direct = Direct(link, offers=False, ice_servers=known, renew=renew)
        task = asyncio.create_task(self._run(link, direct), name=f"link {link_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renewed_servers(self, link_id: str) -> Sequence[Mapping[str, Any]]:
        return servers_in((await self._client.request(messages.ICE_SERVERS, call=link_id)).output)

    def _asked(self, channel: Channel, text: bytes | str) -> None:
        """Answer a read or a write; the app was let in by the hub to control the thing."""
        try:
            request = decode(text.encode() if isinstance(text, str) else text, text=True)
        except PlaitError as error:
            log.warning("%s: a request over a link cannot be read: %s", self._thing.title, error)
            return
        if request.operation == messages.READ_PROPERTY:
            _respond(channel, request, self._answers.read(request))
        elif len(self._tasks) < MOST_AT_ONCE:
            task = asyncio.create_task(self._write(channel, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            _respond(channel, request, {"error": Busy("too many writes at a time").problem()})

    async def _write(self, channel: Channel, request: Message) -> None:
        if request.operation == messages.WRITE_PROPERTY:
            members = await self._answers.answer(request)
        else:
            wrong = UnknownOperation(f"A link does not carry `{request.operation}`", field="/operation")
            members = {"error": wrong.problem()}
        _respond(channel, request, members)

    def _carry(self, link_id: str) -> None:
        from plait.link.hub import HubCarrier  # noqa: PLC0415 - as in `_begin`

        self._links[link_id].opened("hub", HubCarrier(self._client, self._thing.id, link_id))

    async def _run(self, link: Link, direct: Direct) -> None:
        reason = ""
        serving = asyncio.create_task(self._thing.on_link(link), name=f"on_link {link.id}")
        watching = asyncio.create_task(_over(link))
        try:
            await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not serving.cancelled() and (error := serving.exception()) is not None:
                reason = str(error) or type(error).__name__
                if not isinstance(error, LinkLost):
                    log.error("%s.on_link() failed", type(self._thing).__name__, exc_info=error)
            elif serving.done() and not link.closed.is_set():
                await link.settled(2.0)
        finally:
            for task in (serving, watching):
                task.cancel()
            await asyncio.gather(serving, watching, return_exceptions=True)
            self._say_end(link, reason or (link.error.detail if link.error is not None else ""))
            link.close()
            await direct.close()
            del self._links[link.id]
            self._over.discard(link.id)
            self._routed.discard(link.id)

    def _say_end(self, link: Link, reason: str) -> None:
        if link.id not in self._over:
            with suppress(PlaitError):  # the client is closed or full: the hub says it when we are gone
                self._client.notify(
                    END_LINK, thing_id=self._thing.id, call=link.id, data={"reason": reason, "final": True}
                )


def _respond(channel: Channel, request: Message, members: dict[str, Any]) -> None:
    with suppress(PlaitError):  # the link is over, or the app does not read: it hears no answer
        channel.send_nowait(encode(messages.response(request, **members), text=True).decode())


async def _over(link: Link) -> None:
    """Wait until a link is closed; close it where no path carries it for too long."""
    unheard = 0.0
    while not link.closed.is_set():
        try:
            await asyncio.wait_for(link.closed.wait(), 1.0)
        except TimeoutError:
            unheard = 0.0 if link.path.name else unheard + 1.0
            if unheard >= KEPT:
                link.close(LinkLost(f"no path for {KEPT:.0f} s"))
