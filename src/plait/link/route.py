"""A link's route through the hub: asked for, carried, and asked for again when it is gone.

What comes is taken in whatever order it comes; nothing is taken for granted of how the answer and the packets
behind it were batched on their way.

| what comes | while we ask | while the route stands |
|---|---|---|
| a packet | held: it may be of a link that the thing has begun anew | the link's |
| the answer, the link known there or new here | the route stands; what was held is the link's | |
| the answer, the link not known any more | the link is over | |
| the answer, after the route was said to be gone | asked again | |
| an error | asked again where that may help; the first time: raised | |
| `endlink`, not final, or a new session: the route is gone | the answer to come is of before | asked again |
| `endlink`, final | the link is over | the link is over |
| the connection is broken | | the path is lost |
| it is resumed | the request and its answer go on | the path is there again |
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from plait.link.hub import HubCarrier, take
from plait.transport.reconnect import Backoff
from plait.wire import messages
from plait.wire.errors import InvalidMessage, LinkLost, PlaitError, SessionLost
from plait.wire.link import VERSION

if TYPE_CHECKING:
    from plait.link.link import Link
    from plait.transport.client import Client
    from plait.wire.messages import Message

MOST_HELD: Final = 1024
"""Packets kept while we ask; one more, and the thing is asked to send them all again."""


class Route:
    """One link's route, at the end that opens the link.

    Args:
        client: the session with the hub.
        thing_id: the other end.
        link: what is carried. Its id is ours to choose: so its packets are known before the answer.

    Attributes:
        doorbell: where the thing may be found without the hub, as it has said.
    """

    def __init__(self, client: Client, thing_id: str, link: Link) -> None:
        self.doorbell: list[str] = []
        self._client = client
        self._thing_id = thing_id
        self._link = link
        self._stands = False
        self._asking = False
        self._gone = False  # said while we asked
        self._ended = False
        self._held: list[Message] = []
        self._reopening: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, Any]:
        """Ask for the first time; return what the hub said, nothing where the thing has ended it meanwhile.

        Raises:
            PlaitError: as the hub answers.
        """
        self._asking = True
        try:
            opened = await self._try()
        except PlaitError:
            if not self._ended:
                raise
            opened = {}
        finally:
            self._asking = False
        if self._gone:  # as if it had been told right after the answer
            self._lose()
        return opened

    async def ask(self) -> dict[str, Any]:
        """Ask the thing, by the hub; return the `output` of the answer."""
        asked = {"versions": [VERSION], "link": self._link.id}
        answer = await self._client.request(messages.OPEN_LINK, thing_id=self._thing_id, input=asked)
        output = answer.output
        if not isinstance(output, dict) or output.get("link") != self._link.id:
            raise InvalidMessage("The hub opened a link by another id", field="/output/link")
        if output.get("version") != VERSION:
            raise InvalidMessage(
                f"The thing speaks version {output.get('version')} of links, we speak {VERSION}",
                field="/output/version",
            )
        if isinstance(found := output.get("doorbell"), list):
            self.doorbell = [str(address) for address in found]
        return output

    def take(self, message: Message) -> None:
        """Take a packet, or the end."""
        if message.operation == messages.LINK:
            if self._stands:
                take(self._link, message)
            elif len(self._held) < MOST_HELD:
                self._held.append(message)
            else:
                self._lose()
            return
        told = message.data if isinstance(message.data, dict) else {}
        if told.get("final"):
            self._ended = True
            reason = str(told.get("reason") or "")
            if not self._stands and not self._link.met.is_set():  # a new link: what was held can only be its
                self._stand()
            self._link.close(LinkLost(reason) if reason else None)
        else:
            self._lose()

    def moved(self, state: str) -> None:
        """Follow the session: what it carried goes on with it, or is asked for anew."""
        if self._link.closed.is_set():
            return
        if state == "resumed" and self._stands:
            self._carry()
        elif state == "lost":
            self._link.lost("hub")
        elif state == "connected" or (state == "resumed" and not self._asking):
            self._lose()
        elif state == "closed":
            self._link.close(SessionLost("the connection to the hub is closed"))

    def close(self) -> None:
        """Ask no more."""
        if self._reopening is not None:
            self._reopening.cancel()

    def _stand(self) -> None:
        self._stands = True
        held, self._held = self._held, []
        if self._client.connected:  # else when the session is resumed
            self._carry()
        for message in held:
            take(self._link, message)

    def _carry(self) -> None:
        self._link.opened("hub", HubCarrier(self._client, self._thing_id, self._link.id))

    def _lose(self) -> None:
        """Ask again; an answer that is on its way is of before."""
        self._link.lost("hub")
        self._stands, self._gone = False, True
        self._held.clear()
        if not self._asking and not self._link.closed.is_set():
            self._asking = True
            self._reopening = asyncio.create_task(self._reopen(), name=f"link {self._link.id}")

    async def _try(self) -> dict[str, Any]:
        """Ask once; return what the hub said. Where the route is gone by then, `_gone` stays set."""
        self._gone = False
        self._held.clear()
        opened = await self.ask()
        if self._gone or self._link.closed.is_set():
            return opened
        if not opened.get("known") and self._link.met.is_set():
            self._link.close(LinkLost("the thing has begun anew and does not know the link any more"))
        else:
            self._stand()
        return opened

    async def _reopen(self) -> None:
        """Ask until the thing is there: on a direct path the link goes on meanwhile."""
        backoff = Backoff()
        try:
            while not self._link.closed.is_set():
                try:
                    await self._try()
                    if not self._gone:
                        return
                except PlaitError as error:
                    if not error.retry:
                        self._link.close(error)
                        return
                await asyncio.sleep(backoff.wait())
        finally:
            self._asking = False
