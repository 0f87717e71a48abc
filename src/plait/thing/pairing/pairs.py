"""What a thing needs that is paired with others: its permissions, its links to them, and where it is found.

Made when the hub first asks who the thing is, when its own code asks for a peer, or where an earlier run was
paired: a thing that nobody pairs loads none of it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from plait.thing.pairing.doorbell import Doorbell
from plait.thing.pairing.grants import Grants
from plait.thing.pairing.nearby import Announced
from plait.thing.pairing.peers import peers_of
from plait.wire import messages

if TYPE_CHECKING:
    from pathlib import Path

    from plait.thing.clock import Clock
    from plait.thing.links import Links
    from plait.thing.thing import Thing
    from plait.transport.client import Client
    from plait.transport.connections import State
    from plait.wire.errors import PlaitError
    from plait.wire.grant import Grant
    from plait.wire.messages import Message

log = logging.getLogger("plait.thing")


class Pairs:
    """One thing's pairs.

    Args:
        thing: the thing.
        client: its session with the hub.
        links: the links of others to it.
        clock: tells the hub's time.
        folder: where it keeps what outlives its process.
    """

    def __init__(self, thing: Thing, client: Client, links: Links, clock: Clock, folder: Path | None) -> None:
        self.grants = Grants(thing.id, clock, folder)
        self.doorbell = Doorbell(links.rung)
        self._thing = thing
        self._client = client
        self._links = links
        self._announced = Announced(self.grants.certificate.fingerprint, lambda: self.doorbell.addresses)
        self.peers = peers_of(thing)
        self.peers.attach(client, self.grants)
        self.grants.on_given, self.grants.on_over = self._given, self._over
        self.grants.begin()

    async def close(self) -> None:
        """End the links to others, and listen no more."""
        self.grants.close()
        await self.peers.close()
        await self._announced.close()
        await self.doorbell.close()

    # What comes over the session

    def identity(self) -> dict[str, Any]:
        """Return the members of the response that says who we are."""
        return {"output": {"certificate": self.grants.certificate.fingerprint}}

    def take(self, told: Message) -> None:
        """Take a permission, or that one is over."""
        if told.operation == messages.GRANT:
            self.grants.take(told.data)
            return
        data = told.data if isinstance(told.data, dict) else {}
        self.grants.revoke(str(data.get("grant")), str(data.get("reason") or ""))

    def moved(self, state: State) -> None:
        """Follow the session."""
        self.peers.moved(state)
        self._show()

    # Permissions

    def _given(self, grant: Grant) -> None:
        if grant.thing == self._thing.id:
            self._listen()
        else:
            self.peers.given(grant)

    def _over(self, pairing: str, why: PlaitError) -> None:
        log.warning("%s: %s", self._thing.title, why)
        self._links.over(pairing, why)
        self.peers.over(pairing, why)

    def _listen(self) -> None:
        try:
            self.doorbell.open(self.grants.kept.port)
        except OSError as error:
            log.warning("%s: it cannot be found without its hub: %s", self._thing.title, error)
            return
        if self.grants.kept.port != self.doorbell.port:
            self.grants.kept.port = self.doorbell.port
            self.grants.save()
        self._show()

    def _show(self) -> None:
        """Say on the network where we are while the hub cannot say it to who may use us."""
        if self._client.connected or not self.doorbell.port:
            self._announced.end()
        else:
            self._announced.begin()
