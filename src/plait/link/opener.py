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
from plait.link.link import Link
from plait.link.route import Route
from plait.transport.signaling import servers_in
from plait.wire import messages
from plait.wire.errors import Offline, PlaitError, Timeout

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
        self._client = client
        self._openers = openers
        self._thing_id = thing_id
        self._wants_direct = direct
        self._pinned = pinned
        self._on_open = on_open
        self._link: Link | None = None
        self._route: Route | None = None
        self._direct: Direct | None = None

    @property
    def direct(self) -> Direct | None:
        """What looks for a direct path, once the link is open; None where none was wanted."""
        return self._direct

    @property
    def doorbell(self) -> list[str]:
        """Where the thing may be found without the hub, as it has said."""
        return [] if self._route is None else self._route.doorbell

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
        link = self._link = Link(messages.new_id(), peer=self._thing_id)
        route = self._route = Route(self._client, self._thing_id, link)
        self.asking = Asking(link, self._client.hub_time)
        self._openers[link.id] = self  # before it is asked for: its packets may come before the answer
        opened: dict[str, Any] = {}
        if self._client.connected or self._pinned is None or self._pinned.ring is None:
            try:
                opened = await route.open()
            except BaseException as error:
                self._give_up(link, at_thing=isinstance(error, (Timeout, asyncio.CancelledError)))
                raise
        # Else the far end is looked for without the hub.
        if self._wants_direct:
            servers = opened.get("iceServers", ())
            self._direct = Direct(
                link, offers=True, ice_servers=servers, renew=self._renewed_servers, pinned=self._pinned
            )
        if self._on_open is not None:
            self._on_open(self)
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
        self._give_up(link, at_thing=not link.closed.is_set())
        if self._direct is not None:
            await self._direct.close()

    def _give_up(self, link: Link, *, at_thing: bool) -> None:
        """End it here, and at the thing where that may have it."""
        assert self._route is not None  # noqa: S101 - made with the link
        self._route.close()
        if at_thing:
            with suppress(PlaitError):
                self._client.notify(
                    messages.END_LINK, thing_id=self._thing_id, call=link.id, data={"reason": ""}
                )
        del self._openers[link.id]
        link.close()

    async def _renewed_servers(self) -> Sequence[Mapping[str, Any]]:
        assert self._link is not None  # noqa: S101 - opened before
        if not self._client.connected:
            raise Offline("the hub is away")  # what is known already will do
        answer = await self._client.request(messages.ICE_SERVERS, call=self._link.id)
        return servers_in(answer.output)

    # What the session's owner hands on

    def take(self, message: Message) -> None:
        """Take a packet, or the end."""
        if self._route is not None:
            self._route.take(message)

    def moved(self, state: str) -> None:
        """Follow the session: what it carried goes on with it, or is opened anew."""
        if self._route is not None:
            self._route.moved(state)
