"""Links as they are opened: through the hub, kept through its absence, closed by either end.

async with lamp.link() as link:
    control = link.channel("control")
    await control.send("hello")
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait.link.asking import Asking
from plait.link.direct import Direct
from plait.link.hub import HubCarrier, take
from plait.link.link import Link
from plait.transport.reconnect import Backoff
from plait.transport.signaling import servers_in
from plait.wire import messages
from plait.wire.errors import InvalidMessage, LinkLost, Offline, PlaitError, SessionLost
from plait.wire.link import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from plait.link.pinning import Pinned
    from plait.transport.client import Client
    from plait.wire.messages import Message

FLUSH: Final = 2.0
"""Seconds that what was sent has to arrive when the block is left."""


class LinkOpener:
    """Opens a link on `async with`, and keeps it open, for an app and for a paired thing.

    Args:
        client: the session with the hub.
        openers: where it finds its place, by the link's id, while it is open.
        thing_id: the other end.
        direct: whether to look for a direct path.
        pinned: the certificates of both ends, where they are known.
        on_open: told of it when it is open.

    Attributes:
        asking: asks the thing over the link, once it is open.
        doorbell: where the thing may be found without the hub, as it has said.
    """

    def __init__(
        self,
        client: Client,
        openers: dict[str, LinkOpener],
        thing_id: str,
        *,
        direct: bool = True,
        pinned: Pinned | None = None,
        on_open: Callable[[LinkOpener], None] | None = None,
    ) -> None:
        self.asking: Asking | None = None
        self.doorbell: list[str] = []
        self._client = client
        self._openers = openers
        self._thing_id = thing_id
        self._wants_direct = direct
        self._pinned = pinned
        self._on_open = on_open
        self._link: Link | None = None
        self._direct: Direct | None = None
        self._reopening: asyncio.Task[None] | None = None
        # Packets of a link that the thing may have begun anew: not ours before it says that it knows ours.
        self._held: list[Message] | None = None

    @property
    def direct(self) -> Direct | None:
        """What looks for a direct path, once the link is open; None where none was wanted."""
        return self._direct

    @property
    def thing_id(self) -> str:
        """The other end."""
        return self._thing_id

    async def __aenter__(self) -> Link:
        """Open it.

        Raises:
            Offline: the thing is not there.
            Forbidden: the user may not control it.
            UnknownOperation: it takes no links.
        """
        if self._client.connected or self._pinned is None or self._pinned.ring is None:
            opened = await self._ask(None)
            link = self._begin(opened["link"])
            self._carry()
        else:  # the far end is looked for without the hub
            opened = {}
            link = self._begin(messages.new_id())
        if self._wants_direct:
            servers = opened.get("iceServers", ())
            self._direct = Direct(
                link, offers=True, ice_servers=servers, renew=self._renewed_servers, pinned=self._pinned
            )
        if self._on_open is not None:
            self._on_open(self)
        return link

    def _begin(self, link_id: str) -> Link:
        link = self._link = Link(link_id, peer=self._thing_id)
        self._openers[link_id] = self
        self.asking = Asking(link, self._client.hub_time)
        return link

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        link = self._link
        assert link is not None  # noqa: S101 - entered before
        if kind is None and not link.closed.is_set():
            await link.settled(FLUSH)
        if self._reopening is not None:
            self._reopening.cancel()
        if not link.closed.is_set():
            with suppress(PlaitError):
                self._client.notify(
                    messages.END_LINK, thing_id=self._thing_id, call=link.id, data={"reason": ""}
                )
        del self._openers[link.id]
        link.close()
        if self._direct is not None:
            await self._direct.close()

    async def _ask(self, link_id: str | None) -> dict[str, Any]:
        asked: dict[str, Any] = {"versions": [VERSION]}
        if link_id is not None:
            asked["link"] = link_id
        answer = await self._client.request(messages.OPEN_LINK, thing_id=self._thing_id, input=asked)
        output = answer.output
        if not isinstance(output, dict) or not isinstance(output.get("link"), str):
            raise InvalidMessage("The hub opened a link without an id", field="/output/link")
        if output.get("version") != VERSION:
            raise InvalidMessage(
                f"The thing speaks version {output.get('version')} of links, we speak {VERSION}",
                field="/output/version",
            )
        if isinstance(found := output.get("doorbell"), list):
            self.doorbell = [str(address) for address in found]
        return output

    async def _renewed_servers(self) -> Sequence[Mapping[str, Any]]:
        assert self._link is not None  # noqa: S101 - opened before
        if not self._client.connected:
            raise Offline("the hub is away")  # what is known already will do
        answer = await self._client.request(messages.ICE_SERVERS, call=self._link.id)
        return servers_in(answer.output)

    def _carry(self) -> None:
        assert self._link is not None  # noqa: S101 - opened before
        self._link.opened("hub", HubCarrier(self._client, self._thing_id, self._link.id))

    # What the session's owner hands on

    def take(self, message: Message) -> None:
        """Take a packet, or the end."""
        link = self._link
        if link is None:
            return
        if message.operation == messages.LINK:
            if self._held is None:
                take(link, message)
            else:
                self._held.append(message)
            return
        told = message.data if isinstance(message.data, dict) else {}
        if told.get("final"):
            reason = str(told.get("reason") or "")
            link.close(LinkLost(reason) if reason else None)
        else:
            self.moved("connected")

    def moved(self, state: str) -> None:
        """Follow the session: what it carried goes on with it, or is opened anew."""
        link = self._link
        if link is None or link.closed.is_set():
            return
        if state == "resumed":
            self._carry()
        elif state == "lost":
            link.lost("hub")
        elif state == "connected":
            link.lost("hub")
            self._held = []
            if self._reopening is None or self._reopening.done():
                self._reopening = asyncio.create_task(self._reopen(link), name=f"link {link.id}")
        elif state == "closed":
            link.close(SessionLost("the connection to the hub is closed"))

    async def _reopen(self, link: Link) -> None:
        """Ask until the thing is there: on a direct path the link goes on meanwhile."""
        backoff = Backoff()
        while not link.closed.is_set():
            self._held = []
            try:
                opened = await self._ask(link.id)
            except PlaitError as error:
                if not error.retry:
                    link.close(error)
                    return
                await asyncio.sleep(backoff.wait())
                continue
            if not opened.get("known") and link.met.is_set():
                link.close(LinkLost("the thing has begun anew and does not know the link any more"))
                return
            held, self._held = self._held, None
            self._carry()
            for message in held:
                take(link, message)
            return
