"""The permissions that a thing has, to use another or to be used by one: kept, checked, and over in time.

Where the thing has a folder they outlive its process, in `pairs.json`: a device that starts while its hub is
away finds its other end all the same.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.rtc import Certificate
from plait.rtc.ed25519 import verify
from plait.thing.kept.certificate import certificate_of
from plait.thing.kept.folder import folder_of
from plait.wire.errors import Forbidden, InvalidMessage, PermissionExpired
from plait.wire.grant import unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from plait.thing.clock import Clock
    from plait.wire.errors import PlaitError
    from plait.wire.grant import Grant

MOST: Final = 64
"""Permissions of one thing; the oldest go first."""

_REMEMBERED: Final = 256

log = logging.getLogger("plait.thing")


class Kept(msgspec.Struct, omit_defaults=True):
    """The file.

    Attributes:
        key: the hub's public key, base64url.
        tokens: permissions, by pairing.
        revoked: pairings that were taken back, so that an old token of theirs is refused.
        doorbells: where a thing that we may use was last found, by its id.
        port: where we are found ourselves.
    """

    key: str = ""
    tokens: dict[str, str] = {}
    revoked: list[str] = []
    doorbells: dict[str, list[str]] = {}
    port: int = 0


class Grants:
    """One thing's permissions.

    Args:
        thing_id: its id.
        clock: tells the hub's time.
        folder: what its user gave for all things' folders; None to keep nothing.

    Attributes:
        kept: what is in the file; `save` writes it.
        on_given: told of each permission, new or renewed.
        on_over: told of each pairing whose permission is over, and why.
    """

    def __init__(self, thing_id: str, clock: Clock, folder: Path | None) -> None:
        self.on_given: Callable[[Grant], None] = lambda _: None
        self.on_over: Callable[[str, PlaitError], None] = lambda _id, _why: None
        self._thing_id = thing_id
        self._clock = clock
        self._path = None if folder is None else folder_of(thing_id, folder) / "pairs.json"
        self._certificate: Certificate | None = None
        self._folder = folder
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.kept = self._load()

    def __iter__(self) -> Iterator[Grant]:
        return iter(tuple(self._grants.values()))

    @property
    def certificate(self) -> Certificate:
        """What we show in DTLS: the same for life where there is a folder."""
        if self._certificate is None:
            kept = self._folder is not None
            self._certificate = (
                certificate_of(self._thing_id, self._folder) if kept else Certificate.generate()
            )
        return self._certificate

    def begin(self) -> None:
        """Take up what an earlier run has left."""
        for token in tuple(self.kept.tokens.values()):
            try:
                self._hold(unseal(token, self._signed), token)
            except Forbidden as error:
                log.warning("%s: a kept permission is of no use: %s", self._thing_id, error)

    def close(self) -> None:
        """Stop the clocks."""
        for timer in self._timers.values():
            timer.cancel()

    # What the hub says

    def take(self, data: Any) -> None:
        """Take a permission.

        Raises:
            InvalidMessage: it is none.
            Forbidden: it is for others.
        """
        told = data if isinstance(data, dict) else {}
        key = told.get("key")
        if not isinstance(key, str) or len(_key(key)) != 32:
            raise InvalidMessage("a permission comes with the hub's key, 32 bytes", field="/data/key")
        self.kept.key = key  # the session with the hub is what makes it the hub's
        grant = unseal(told.get("grant"), self._signed)
        if self._thing_id not in (grant.caller, grant.thing):
            raise Forbidden(f"this permission is for {grant.caller} and {grant.thing}", field="/data/grant")
        self._hold(grant, str(told["grant"]))
        self.save()

    def revoke(self, pairing: str, reason: str) -> None:
        """Take note that a pairing was taken back."""
        self.kept.revoked = [*self.kept.revoked, pairing][-_REMEMBERED:]
        self._drop(pairing, Forbidden(reason or "the pairing was taken back"))
        self.save()

    # What others say

    def admit(self, token: object, *, caller: str | None = None) -> Grant:
        """Take the permission that somebody shows who wants to use us.

        Raises:
            Forbidden: it is none, another hub's, for others, or was taken back; the detail says which.
            PermissionExpired: its time is over.
        """
        grant = unseal(token, self._signed)
        grant.check(self._clock.hub(), thing=self._thing_id, caller=caller)
        if grant.id in self.kept.revoked:
            raise Forbidden(f"the permission of {grant.caller} for {grant.thing} was taken back")
        known = self._grants.get(grant.id)
        if known is None or known.issued < grant.issued:
            self._hold(grant, str(token))
            self.save()
        return grant

    def current(self, pairing: str) -> Grant:
        """Return what a pairing allows now.

        Raises:
            PermissionExpired: its time is over, or it was taken back.
        """
        grant = self._grants.get(pairing)
        if grant is None or self._clock.hub() >= grant.until:
            raise PermissionExpired("the permission is over")
        return grant

    def token(self, pairing: str) -> str:
        """Return a permission as it is shown to the other end."""
        return self.kept.tokens.get(pairing, "")

    # Keeping

    def _hold(self, grant: Grant, token: str) -> None:
        left = (grant.until - self._clock.hub()).total_seconds()
        for earlier in self:
            if (earlier.caller, earlier.thing) == (grant.caller, grant.thing) and earlier.id != grant.id:
                self._drop(earlier.id, Forbidden("the pairing was made anew"))
        self._grants[grant.id] = grant
        self._grants.move_to_end(grant.id)
        self.kept.tokens[grant.id] = token
        while len(self._grants) > MOST:
            self._drop(next(iter(self._grants)), Forbidden(f"more than {MOST} pairings"))
        if (timer := self._timers.pop(grant.id, None)) is not None:
            timer.cancel()
        if left <= 0:
            self._expire(grant)
            return
        self._timers[grant.id] = asyncio.get_running_loop().call_later(left, self._expire, grant)
        self.on_given(grant)

    def _expire(self, grant: Grant) -> None:
        if (grant.until - self._clock.hub()).total_seconds() > 0:  # the hub's clock was learnt meanwhile
            self._hold(grant, self.kept.tokens[grant.id])
            return
        self._drop(grant.id, grant.expired())
        self.save()

    def _drop(self, pairing: str, why: PlaitError) -> None:
        self.kept.tokens.pop(pairing, None)
        if (timer := self._timers.pop(pairing, None)) is not None:
            timer.cancel()
        if self._grants.pop(pairing, None) is not None:
            self.on_over(pairing, why)

    def _signed(self, message: bytes, signature: bytes) -> bool:
        if not self.kept.key:
            raise Forbidden("no hub has told this thing its key yet")
        return verify(_key(self.kept.key), message, signature)

    def _load(self) -> Kept:
        if self._path is None:
            return Kept()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s: %s; pairs are learnt anew from the hub", self._path, error)
            return Kept()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(self.kept))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:  # it works on without: the hub tells it all again
            log.warning("%s: %s", self._path, error)


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
