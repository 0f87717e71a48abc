"""Pairings: the owner's word that one thing may use another, and the permissions that follow from it.

A permission is signed, names both things and their certificates, and holds for `lease` seconds, so that the
two go on while the hub is away, and not for ever. While the hub is there it gives a new one at half that
time, and whenever one of the two comes with another certificate.

paired ──both have said who they are──▶ permitted ──▶ … renewed … ──▶ taken back, or over
"""

from __future__ import annotations

import asyncio
import base64
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import structlog
from msgspec import UNSET

from plait.hub.contracts import (
    PATIENCE,
    Notice,
    Operation,
    Pairing,
    Quiet,
    microseconds,
    moment,
)
from plait.hub.reply import start
from plait.wire.codec import Encoded, convert
from plait.wire.errors import Busy, Forbidden, InvalidMessage, InvalidValue, Offline, PlaitError
from plait.wire.grant import Grant, seal
from plait.wire.messages import (
    GRANT,
    PAIR,
    READ_IDENTITY,
    READ_PAIRINGS,
    REVOKE,
    UNPAIR,
    new_id,
    notification,
    now,
    response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.hub.contracts import Access, Caller, Client, Clients, Later, PairingStore, Principal, Things
    from plait.hub.reply import Reply
    from plait.wire.messages import Message

LEASE: Final = 24 * 3600
"""Seconds for which a permission holds, where the owner does not say."""

_SHORTEST: Final = 2
_LONGEST: Final = 365 * 24 * 3600

MOST: Final = 1000
"""Pairings of one hub."""

_FINGERPRINT: Final = re.compile(r"sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}")

_log = structlog.get_logger("plait.hub")


class _Asked(msgspec.Struct, kw_only=True, rename={"caller": "with"}):
    """The `input` of a `pair` request."""

    caller: str
    verbs: tuple[Literal["read", "control"], ...] = ("read", "control")
    names: tuple[str, ...] | None = None
    until: datetime | None = None
    lease: int = LEASE


class _Meant(msgspec.Struct, rename={"caller": "with"}):
    """The `input` of an `unpair` request."""

    caller: str


class Pairings(Quiet):
    """The room of pairings; implements `contracts.Permissions`.

    Args:
        things, access, clients: see `hub/contracts`.
        store: where they are kept.
        trusts: whether a thing has a credential that is still good.
        sign: the hub's signature of these bytes.
        public: the key that proves it, 32 bytes.

    Attributes:
        over: told of a pairing that holds no more, by its id, and why: its links end.
    """

    def __init__(
        self,
        things: Things,
        *,
        access: Access,
        clients: Clients,
        store: PairingStore,
        trusts: Callable[[str], bool],
        sign: Callable[[bytes], bytes],
        public: bytes,
    ) -> None:
        self.over: Callable[[str, str], None] = lambda _id, _why: None
        self._things = things
        self._access = access
        self._clients = clients
        self._store = store
        self._trusts = trusts
        self._sign = sign
        self._public = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
        self._pairings = {(each.caller, each.thing): each for each in store.all()}
        self._certificates: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.operations = (
            Operation("request", PAIR, self._pair),
            Operation("request", UNPAIR, self._unpair),
            Operation("request", READ_PAIRINGS, self._list),
        )
        for pairing in self._pairings.values():
            self._watch(pairing)

    def close(self) -> None:
        """Renew nothing any more."""
        for timer in self._timers.values():
            timer.cancel()

    # contracts.Permissions

    def permission(self, caller: str, thing: str) -> tuple[str, str]:
        """Return the pairing's id and the signed permission. Raises `Forbidden` and `Busy`."""
        pairing = self._pairings.get((caller, thing))
        if pairing is None:
            raise Forbidden(f"{caller} is not paired with {thing}", field="/thingID")
        token = self._token(pairing)
        if token is None:
            raise Busy(f"{caller} and {thing} have not said yet who they are")
        return pairing.id, token

    def revoked(self, pairing: str) -> str:
        """Return why a pairing holds no more; empty where it does."""
        holds = any(each.id == pairing for each in self._pairings.values())
        return "" if holds else "the pairing was taken back"

    # Operations

    def _pair(self, caller: Caller, message: Message) -> Later:
        asked = convert({} if message.input is UNSET else message.input, _Asked, field="/input")
        thing = self._both(caller.principal, message, asked.caller)
        if not asked.verbs:
            raise InvalidValue("at least one of read and control", field="/input/verbs")
        if not _SHORTEST <= asked.lease <= _LONGEST:
            raise InvalidValue(f"a lease has {_SHORTEST} to {_LONGEST} seconds", field="/input/lease")
        if asked.until is not None and (asked.until.tzinfo is None or asked.until <= now()):
            raise InvalidValue("a time to come, with a UTC offset", field="/input/until")
        if len(self._pairings) >= MOST:
            raise Busy(f"{MOST} pairings are there already")
        pairing = Pairing(
            id=new_id(),
            caller=asked.caller,
            thing=thing,
            verbs=tuple(dict.fromkeys(asked.verbs)),
            names=asked.names,
            until=None if asked.until is None else microseconds(asked.until),
            lease=asked.lease,
        )
        before = self._pairings.get((pairing.caller, pairing.thing))
        self._store.keep(pairing)
        self._pairings[pairing.caller, pairing.thing] = pairing
        if before is not None:
            self._take_back(before, "the pairing was made anew")
        self._watch(pairing)
        return self._begin(message, pairing)

    async def _begin(self, message: Message, pairing: Pairing) -> Message:
        waiting = []
        for thing in (pairing.caller, pairing.thing):
            try:
                await self._identify(self._clients.thing(thing))
            except Offline:
                waiting.append(thing)
            except PlaitError:
                self._drop(pairing, f"{thing} cannot be paired")
                raise
        self._issue(pairing)
        return response(message, output={**_told(pairing), "waiting": waiting})

    def _unpair(self, caller: Caller, message: Message) -> Message:
        meant = convert({} if message.input is UNSET else message.input, _Meant, field="/input")
        thing = "" if message.thing_id is UNSET else message.thing_id
        for each in (thing, meant.caller):
            self._access.check(caller.principal, each, "manage")
        pairing = self._pairings.get((meant.caller, thing))
        if pairing is None:
            raise InvalidValue(f"{meant.caller} is not paired with {thing}", field="/input/with")
        self._drop(pairing, "the pairing was taken back")
        return response(message, output={})

    def _list(self, caller: Caller, message: Message) -> Message:
        seen = [
            _told(each)
            for each in self._pairings.values()
            if self._access.may(caller.principal, each.thing, "read")
            and self._access.may(caller.principal, each.caller, "read")
        ]
        return response(message, value=seen)

    def _both(self, principal: Principal, message: Message, caller: str) -> str:
        thing = "" if message.thing_id is UNSET else message.thing_id
        for each in (thing, caller):
            self._access.check(principal, each, "manage")
            self._things.get(each)
        if thing == caller:
            raise InvalidMessage("a thing is not paired with itself", field="/input/with")
        return thing

    # Comings and goings

    def arrived(self, client: Client) -> None:
        """Ask a paired thing who it is, and give it its permissions."""
        thing = client.principal.id
        if client.principal.kind == "thing" and any(thing in pair for pair in self._pairings):
            start(self._meet(client)).then(_log_failure)

    def ended(self, client: Client) -> None:
        """End the pairings of a thing whose access was taken back."""
        if client.revoked and client.principal.kind == "thing":
            for pairing in list(self._pairings.values()):
                thing = client.principal.id
                if thing in (pairing.caller, pairing.thing) and not self._trusts(thing):
                    self._drop(pairing, "access was taken back")

    async def _meet(self, client: Client) -> None:
        await self._identify(client)
        for pairing in list(self._pairings.values()):
            if client.principal.id in (pairing.caller, pairing.thing):
                self._issue(pairing)

    async def _identify(self, client: Client) -> None:
        thing = client.principal.id
        question = client.question(READ_IDENTITY, thing_id=thing)
        answer = await client.ask(question, now() + PATIENCE)
        told = answer.output if isinstance(answer.output, dict) else {}
        fingerprint = str(told.get("certificate", "")).replace("SHA-256", "sha-256")
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise InvalidMessage(
                f"{thing} does not say which certificate it has", field="/output/certificate"
            )
        self._certificates[thing] = fingerprint

    # Permissions

    def _token(self, pairing: Pairing) -> str | None:
        try:
            known = {each: self._certificates[each] for each in (pairing.caller, pairing.thing)}
        except KeyError:
            return None
        issued = int(now().timestamp())
        expires = issued + pairing.lease
        if pairing.until is not None:
            expires = min(expires, int(moment(pairing.until).timestamp()))
        return seal(
            Grant(
                id=pairing.id,
                caller=pairing.caller,
                thing=pairing.thing,
                issued=issued,
                expires=expires,
                verbs=pairing.verbs,
                names=pairing.names,
                certificates=known,
            ),
            self._sign,
        )

    def _issue(self, pairing: Pairing) -> None:
        """Give both a new permission, as far as they are here."""
        token = self._token(pairing)
        if token is not None:
            self._tell_both(pairing, GRANT, {"grant": token, "key": self._public})

    def _tell_both(self, pairing: Pairing, operation: str, data: dict[str, Any]) -> None:
        for thing in (pairing.caller, pairing.thing):
            try:
                client = self._clients.thing(thing)
            except Offline:
                continue
            client.tell(Notice(Encoded(notification(operation, thing_id=thing, data=data))))

    def _watch(self, pairing: Pairing) -> None:
        """Renew, or end, what is due next."""
        wait = pairing.lease / 2
        if pairing.until is not None:
            wait = min(wait, max(0.0, (moment(pairing.until) - now()).total_seconds()))
        loop = asyncio.get_running_loop()
        self._timers[pairing.id] = loop.call_later(wait, self._due, pairing)

    def _due(self, pairing: Pairing) -> None:
        if pairing.until is not None and moment(pairing.until) <= now():
            self._drop(pairing, "the time of the pairing is over")
        elif not (self._trusts(pairing.caller) and self._trusts(pairing.thing)):
            self._drop(pairing, "access was taken back")
        else:
            self._issue(pairing)
            self._watch(pairing)

    def _drop(self, pairing: Pairing, reason: str) -> None:
        if self._pairings.get((pairing.caller, pairing.thing)) is not pairing:
            return  # it was made anew meanwhile, or is over already
        self._store.drop(pairing)
        del self._pairings[pairing.caller, pairing.thing]
        self._take_back(pairing, reason)

    def _take_back(self, pairing: Pairing, reason: str) -> None:
        if (timer := self._timers.pop(pairing.id, None)) is not None:
            timer.cancel()
        self._tell_both(pairing, REVOKE, {"grant": pairing.id, "reason": reason})
        self.over(pairing.id, reason)


def _told(pairing: Pairing) -> dict[str, Any]:
    return {
        "id": pairing.id,
        "with": pairing.caller,
        "thingID": pairing.thing,
        "verbs": list(pairing.verbs),
        "names": None if pairing.names is None else list(pairing.names),
        "until": None if pairing.until is None else moment(pairing.until).isoformat(),
        "lease": pairing.lease,
    }


def _log_failure(reply: Reply[None]) -> None:
    try:
        reply.result()
    except PlaitError as error:
        _log.warning("a paired thing does not say who it is", error=str(error))
