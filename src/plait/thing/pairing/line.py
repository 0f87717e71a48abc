"""A lasting link to one thing that this one may use: opened anew for as long as the permission lasts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from plait.link.direct import prove
from plait.link.opener import LinkOpener
from plait.link.pinning import Pinned
from plait.thing.pairing.doorbell import ring
from plait.thing.pairing.nearby import find
from plait.transport.reconnect import Backoff
from plait.wire.errors import LinkLost, PlaitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.link.asking import Asking
    from plait.link.link import Link
    from plait.thing.pairing.grants import Grants
    from plait.transport.client import Client
    from plait.wire.grant import Grant
    from plait.wire.messages import Message

ANSWERS_WITHIN: Final = 1.0
"""Seconds that a doorbell has to answer before the network is asked where it is now."""

log = logging.getLogger("plait.thing")


class Line:
    """One pairing's link, at its caller.

    Args:
        grant: the permission.
        client: the session with the hub.
        grants: where permissions are kept, and where others were found.
        openers: where its link finds its packets.
        changed: told when there is a link, and when there is none.

    Attributes:
        link, asking: while there is one.
        error: why there is none.
        listeners: take what the other thing tells.
    """

    def __init__(
        self,
        grant: Grant,
        client: Client,
        grants: Grants,
        openers: dict[str, LinkOpener],
        *,
        changed: Callable[[], None],
    ) -> None:
        self.grant = grant
        self.link: Link | None = None
        self.asking: Asking | None = None
        self.error: PlaitError | None = None
        self.listeners: list[Callable[[Message], None]] = []
        self._client = client
        self._grants = grants
        self._openers = openers
        self._changed = changed
        self._opener: LinkOpener | None = None
        self._told_where: list[str] = []
        self._over: PlaitError | None = None
        self._task = asyncio.create_task(self._run(), name=f"link to {grant.thing}")

    @property
    def way(self) -> tuple[Link, Asking] | None:
        """The link, and what asks over it, where a path carries it now."""
        if self.link is None or self.asking is None or not self.link.is_open():
            return None
        return self.link, self.asking

    def renew(self, grant: Grant) -> None:
        """Take the next permission of the same pairing."""
        before, self.grant = self.grant, grant
        if before.certificates != grant.certificates and self.link is not None:
            self.link.close(LinkLost(f"{grant.thing} has another certificate"))

    def end(self, why: PlaitError) -> None:
        """End it for good."""
        self._over = why
        if self.link is not None:
            self.link.close(why)
        else:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, since the thing is served no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        backoff = Backoff()
        while self._over is None:
            pinned = Pinned(
                self._grants.certificate, self.grant.certificates.get(self.grant.thing, ""), self._ring
            )
            self._opener = opener = LinkOpener(self._client, self._openers, self.grant.thing, pinned=pinned)
            try:
                async with opener as link:
                    self._keep(opener, link)
                    await link.closed.wait()
                    self.error = link.error
                backoff.reset()
            except PlaitError as error:
                self.error = error
            finally:
                self.link = self.asking = None
                self._changed()
            if self._over is None:
                log.info("no link to %s: %s", self.grant.thing, self.error or "it was closed")
                await asyncio.sleep(backoff.wait())

    def _keep(self, opener: LinkOpener, link: Link) -> None:
        self.link, self.asking, self.error = link, opener.asking, None
        assert self.asking is not None  # noqa: S101 - the link is open
        self.asking.on_told = self._told
        link.on_paths.append(self._changed)
        self._where()
        self._changed()

    def _where(self) -> list[str]:
        """Return where the thing was found last, and keep that."""
        kept = self._grants.kept.doorbells
        told = [] if self._opener is None else self._opener.doorbell
        if told and told != self._told_where:  # else it may have been found elsewhere since
            self._told_where = told
            self._keep_where(told)
        return kept.get(self.grant.thing, [])

    def _told(self, message: Message) -> None:
        for listener in tuple(self.listeners):
            listener(message)

    async def _ring(self, asked: dict[str, Any]) -> str:
        fresh = self.link is None or not self.link.met.is_set()
        shown = {"grant": self._grants.token(self.grant.id), "fresh": fresh}
        return await self._rung(asked | shown)

    async def _rung(self, asked: dict[str, Any]) -> str:
        """Ring where the thing was last, and where the network says it is if that does not answer soon."""
        trying = {asyncio.create_task(ring(self._where(), asked))}
        failure: OSError | None = None
        try:
            done, _ = await asyncio.wait(trying, timeout=ANSWERS_WITHIN)
            if not done or isinstance(next(iter(done)).exception(), OSError):
                trying.add(asyncio.create_task(self._ring_nearby(asked)))
            for each in asyncio.as_completed(trying):
                try:
                    return await each
                except OSError as error:
                    failure = error
        finally:
            for task in trying:
                task.cancel()
            await asyncio.gather(*trying, return_exceptions=True)
        raise failure or OSError("nobody answers")

    async def _ring_nearby(self, asked: dict[str, Any]) -> str:
        thing = self.grant.thing
        found = await find(self.grant.certificates.get(thing, ""))
        try:
            answer = await ring(found, asked)
            prove(answer, self.grant.certificates.get(thing, ""))
        except LinkLost:
            raise
        except PlaitError as error:  # whoever took its name has no say
            raise OSError(f"who says to be {thing} is not: {error}") from error
        log.info("%s is found at %s", thing, ", ".join(found))
        self._keep_where(found)
        return answer

    def _keep_where(self, addresses: list[str]) -> None:
        if addresses != self._grants.kept.doorbells.get(self.grant.thing):
            self._grants.kept.doorbells[self.grant.thing] = addresses
            self._grants.save()
