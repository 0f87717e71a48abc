"""Actions: journaled before they are dispatched, done once, journaled before the caller hears of the end.

asked ──journal──▶ pending ──▶ at the device ──▶ done | failed ──journal──▶ answered
                  thing killed, hub killed └─ asked again under the same id, where the thing journals;
                                              else failed with outcome-unknown
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from msgspec import UNSET

from plait.hub.contracts import (
    PATIENCE,
    Entry,
    NotKept,
    Operation,
    Quiet,
    SessionEnded,
    microseconds,
    moment,
)
from plait.hub.reply import Reply, start
from plait.wire.errors import (
    Busy,
    Expired,
    InvalidMessage,
    OutcomeUnknown,
    PlaitError,
    Problem,
    Timeout,
    UnknownAffordance,
    from_problem,
)
from plait.wire.messages import INVOKE_ACTION, now, response

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from datetime import datetime

    from plait.hub.contracts import (
        Access,
        Caller,
        Clients,
        Later,
        Store,
        Things,
    )
    from plait.wire.codec import Encoded
    from plait.wire.messages import Message

_LATE: Final = timedelta(seconds=60)
"""How long after its deadline the device's answer is still taken, so that the journal tells how it ended."""

_MOST: Final = 10_000
"""Actions that run at a time."""

_LONGEST_ID: Final = 256

_log = structlog.get_logger("plait.hub")


class Actions(Quiet):
    """The room of actions."""

    def __init__(self, things: Things, *, store: Store, access: Access, clients: Clients) -> None:
        self._things = things
        self._store = store
        self._access = access
        self._clients = clients
        # What runs now, by idempotency key. It belongs to no client: an app that leaves does not stop it.
        self._running: dict[tuple[str, str], Reply[Entry]] = {}
        self.operations = (Operation("request", INVOKE_ACTION, self._invoke, durable=True),)

    def _invoke(self, caller: Caller, message: Message) -> Later:
        thing = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(caller.principal, thing, "control")
        record = self._things.get(thing)
        name = "" if message.name is UNSET else message.name
        affordance = record.actions.get(name)
        if affordance is None:
            raise UnknownAffordance(f"no action {name!r:.200}", field="/name")
        affordance.check(message.input, "input")
        message_id = str(message.message_id)
        if len(message_id) > _LONGEST_ID:
            raise InvalidMessage(f"at most {_LONGEST_ID} characters", field="/messageID")
        deadline = now() + PATIENCE if message.deadline is UNSET else message.deadline
        entry = Entry(
            sender=str(caller.principal),
            message=message_id,
            thing=thing,
            name=name,
            input=None if message.input is UNSET else msgspec.json.encode(message.input),
            deadline=microseconds(deadline),
        )
        return self._once(caller, message, entry)

    async def _once(self, caller: Caller, message: Message, entry: Entry) -> Message:
        key = (entry.sender, entry.message)
        running = self._running.get(key)
        if running is None:
            hindrance = self._hindrance(entry)
            if hindrance is not None:
                known = await self._store.action(*key)
                if known is None:
                    raise hindrance
                return _answer(message, entry, known)
            running = start(self._run(caller, message, entry))
            if not running.done:
                self._keep(entry, running)
        return _answer(message, entry, await _until(moment(entry.deadline), running))

    def _keep(self, entry: Entry, running: Reply[Entry]) -> None:
        key = (entry.sender, entry.message)

        def forget(_: Reply[Entry]) -> None:
            del self._running[key]

        self._running[key] = running
        running.then(forget)

    def _hindrance(self, entry: Entry) -> PlaitError | None:
        """Return why this action cannot be run now."""
        if moment(entry.deadline) <= now():
            return Expired("its deadline is past", field="/deadline")
        absence = self._clients.absence(entry.thing, moment(entry.deadline))
        if absence is not None:
            return absence
        if len(self._running) >= _MOST:
            return Busy("too many actions run at the moment")
        return None

    async def _run(self, caller: Caller, message: Message, entry: Entry) -> Entry:
        opening = self._store.open_action(entry, caller.mark(message))
        question = self._question(entry, message.input)  # encoded while the disk works
        opened = await opening
        caller.settled(message)
        if not opened:
            known = await self._store.action(entry.sender, entry.message)
            return entry if known is None else known
        return await self._see_through(entry, self._asked(entry, question))

    async def _see_through(self, entry: Entry, asked: Coroutine[Reply[Any], None, Message]) -> Entry:
        """Wait until it is done, and journal how it ended."""
        try:
            output = (await asked).output
            entry.output = None if output is UNSET else msgspec.json.encode(output)
            entry.state = "done"
        except Timeout:
            _fail(entry, OutcomeUnknown("the thing never answered"))
        except PlaitError as error:
            _fail(entry, error)
        try:
            await self._store.close_action(entry)
        except NotKept:
            # The device did it: that is what its caller must hear. Asked again, the journal will say it
            # cannot tell.
            _log.exception("an action's end was not journaled", thing=entry.thing, name=entry.name)
        return entry

    async def _asked(self, entry: Entry, question: Encoded | PlaitError) -> Message:
        """Ask the thing, once it is awake; again, under the same id, where it was restarted and journals."""
        if self._clients.asleep(entry.thing) is not None:
            await self._here(entry, Expired("its deadline passed while the thing slept; it was not run"))
            question = self._question(entry, _input(entry))
        try:
            return await self._dispatch(entry, question)
        except SessionEnded as ended:
            if not ended.journals:
                raise
        return await self._asked_again(entry)

    async def _asked_again(self, entry: Entry) -> Message:
        """Ask for what the thing may have done already, whenever it comes back, up to the deadline."""
        while True:
            await self._here(entry, OutcomeUnknown("the thing did not come back to tell how it ended"))
            if not self._clients.thing(entry.thing).journals:
                raise OutcomeUnknown("the thing was restarted before it answered, and keeps no journal")
            try:
                return await self._dispatch(entry, self._question(entry, _input(entry)))
            except SessionEnded as ended:
                if not ended.journals:
                    raise

    def resume(self, entries: Iterable[Entry]) -> None:
        """Go on with what a hub before this one had journaled and did not see ended."""
        for entry in entries:
            running = start(self._see_through(entry, self._asked_again(entry)))
            if not running.done:
                self._keep(entry, running)

    def _here(self, entry: Entry, late: PlaitError) -> Reply[None]:
        return self._clients.here(entry.thing, moment(entry.deadline), late)

    def _question(self, entry: Entry, given: Any) -> Encoded | PlaitError:
        """Return what the thing will be asked, or why it cannot be."""
        try:
            return self._clients.thing(entry.thing).question(
                INVOKE_ACTION,
                key=_key(entry),
                thing_id=entry.thing,
                name=entry.name,
                input=given,
                deadline=moment(entry.deadline),
            )
        except PlaitError as error:
            return error

    def _dispatch(self, entry: Entry, question: Encoded | PlaitError) -> Reply[Message]:
        if isinstance(question, PlaitError):
            raise question
        deadline = moment(entry.deadline)
        if deadline <= now():
            raise Expired("its deadline passed before it could be dispatched")
        return self._clients.thing(entry.thing).ask(question, deadline + _LATE)


def _key(entry: Entry) -> str:
    """Return the id under which a thing is asked: the same after a restart of the hub, too."""
    digest = hashlib.sha256(f"{entry.sender}\0{entry.message}".encode()).digest()
    return "a-" + base64.urlsafe_b64encode(digest[:18]).decode()


def _input(entry: Entry) -> Any:
    return UNSET if entry.input is None else msgspec.json.decode(entry.input)


def _until(deadline: datetime, running: Reply[Entry]) -> Reply[Entry]:
    """Return what waits for an action no longer than its caller does; the action itself runs on."""
    waiting: Reply[Entry] = Reply()
    if not running.done:
        seconds = (deadline - now()).total_seconds()
        late = Timeout("the thing did not answer in time")
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), waiting.fail, late)
        waiting.then(lambda _: timer.cancel())

    def hand_over(ended: Reply[Entry]) -> None:
        try:
            waiting.set(ended.result())
        except Exception as error:  # noqa: BLE001 - it is the reply
            waiting.fail(error)

    running.then(hand_over)
    return waiting


def _fail(entry: Entry, error: PlaitError) -> None:
    entry.state = "failed"
    entry.output = msgspec.json.encode(error.problem())


def _answer(message: Message, asked: Entry, entry: Entry) -> Message:
    """Answer from the journal's entry, whoever asked first."""
    if (asked.thing, asked.name, asked.input) != (entry.thing, entry.name, entry.input):
        raise InvalidMessage("this id was another action's", field="/messageID")
    if entry.state == "pending":
        raise OutcomeUnknown("it was asked before, and nobody can tell how it ended")
    if entry.state == "failed":
        raise from_problem(msgspec.json.decode(entry.output or b"", type=Problem))
    return response(message, output=None if entry.output is None else msgspec.json.decode(entry.output))
