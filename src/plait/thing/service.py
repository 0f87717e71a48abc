"""One thing on one connection: described, its reports told, what it is asked answered."""

from __future__ import annotations

import asyncio
import logging
import platform
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import UNSET

from plait import __version__
from plait.thing.answers import Answers
from plait.thing.call import Calls
from plait.thing.kept.folder import folder_of
from plait.thing.links import Links
from plait.thing.pictures import Pictures
from plait.thing.state import state_of
from plait.thing.wake import wake_and_sleep
from plait.transport.client import Client
from plait.wire import messages
from plait.wire.errors import Busy, InvalidMessage, MessageTooLarge, PlaitError, from_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from plait.thing.kept.file import StateFile
    from plait.thing.kept.spool import Spool
    from plait.thing.pairing.pairs import Pairs
    from plait.thing.thing import Thing
    from plait.transport.connections import State
    from plait.transport.trust import Trust
    from plait.wire.codec import Encoded
    from plait.wire.messages import Message

Standing = Literal["online", "lost"]
"""online: the hub has the description and everything passes. lost: the hub is not reachable just now."""

AT_ONCE: Final = 64
"""Requests that a thing works on at the same time; more are told `busy`."""

AHEAD: Final = 256 << 10
"""Bytes from the spool that are on their way at a time."""

COMMANDS: Final = frozenset({messages.INVOKE_ACTION, messages.WRITE_PROPERTY})
"""Requests whose answers matter to who gave them."""

CATCH_UP_AFTER: Final = 1.0
"""Seconds until readings that found no place are tried again."""

SOFTWARE: Final = f"plait/{__version__} python/{platform.python_version()}"

log = logging.getLogger("plait.thing")


class Service:
    """One thing, served by one hub.

    Args:
        thing: the thing.
        hub: the hub's address, such as `http://127.0.0.1:8080`.
        token: the thing's token.
        ssl: whom to trust for https; None: the system's authorities.
        on_state: told whenever the thing comes online, and whenever the hub is lost.
        folder: where it keeps what must outlive this process; None to keep it in memory.
        every: seconds from one wake to the next; None for a thing that stays connected.

    Raises:
        ValueError: `hub` is not an address.
    """

    def __init__(
        self,
        thing: Thing,
        hub: str,
        token: str | None,
        *,
        ssl: Trust | None = None,
        on_state: Callable[[Standing], None] | None = None,
        folder: Path | None = None,
        every: float | None = None,
    ) -> None:
        self._thing = thing
        self._state = state_of(thing)
        self._tell = on_state or (lambda _: None)
        self._about = partial(thing.describe, base=hub, secure=token is not None)
        self._client = Client(
            hub,
            on_message=self._take,
            on_state=self._moved,
            on_session=self._describe,
            on_lost=self._lost,
            token=token,
            software=SOFTWARE,
            journal=folder is not None,
            brief=every is not None,
            ssl=ssl,
            on_progress=None if folder is None else self._progress,
        )
        self._folder = folder
        self._every = every
        if every is not None:
            self._client.pause()
        self._here, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._spool: Spool | None = None
        self._answers = Answers(thing)
        self._calls = Calls(thing, self._client)
        self._pictures = Pictures(thing, self._state.clock)
        self._links = Links(thing, self._client, self._answers, self._paired)
        self._pairs: Pairs | None = None
        self._asking: set[asyncio.Future[None]] = set()
        self._working = 0
        self._left_out: set[str] = set()  # properties whose last reading found no place
        self._refused: asyncio.Future[None] | None = None
        self._known = False  # the hub has taken the description; before that its errors follow from that

    async def run(self) -> None:
        """Serve it until cancelled; then say goodbye.

        Raises:
            Unauthorized, Forbidden: the hub does not take the token.
            InvalidDescription: the hub does not take the thing.
            SessionLost: another process serves this thing now.
            Exception: whatever the thing's `main` raised.
        """
        loop = asyncio.get_running_loop()
        self._refused = loop.create_future()
        file = self._open()
        if self._spool is not None:
            self._state.attach(loop, self._spool.put)
        if self._every is None and self._was_paired():
            self._paired()
        main = asyncio.create_task(self._main(), name=f"main of {self._thing.id}")
        connection = asyncio.create_task(self._connection(), name=f"connection of {self._thing.id}")
        ends: list[asyncio.Future[None]] = [main, connection, self._refused]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
            for end in ends:
                if end.done():
                    end.result()
        finally:
            main.cancel()
            await self._calls.close()
            await self._links.close()
            if self._pairs is not None:
                await self._pairs.close()
            await self._client.close()
            self._state.detach()
            connection.cancel()
            self._refused.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            if file is not None:
                await self._close(file)

    def _open(self) -> StateFile | None:
        """Open what outlives the process, where there is a folder for it."""
        if self._folder is None:
            return None
        from plait.thing.kept.file import StateFile  # noqa: PLC0415 - as above
        from plait.thing.kept.journal import Journal  # noqa: PLC0415 - SQLite is for those who have a folder
        from plait.thing.kept.spool import Spool  # noqa: PLC0415 - as above

        file = StateFile(folder_of(self._thing.id, self._folder) / "state.db")
        self._spool = Spool(file, clock=self._state.clock, send=self._send, room=self._has_room)
        self._client.session.forgotten = self._spool.acknowledged
        self._answers.journal = Journal(file)
        self._state.admit, self._state.keep = self._spool.admit, self._spool.saved
        return file

    def _was_paired(self) -> bool:
        return self._folder is not None and (folder_of(self._thing.id, self._folder) / "pairs.json").exists()

    def _paired(self) -> Pairs:
        if self._pairs is None:
            from plait.thing.pairing.pairs import Pairs  # noqa: PLC0415 - it brings the engine, for who is paired

            self._pairs = Pairs(self._thing, self._client, self._links, self._state.clock, self._folder)
        return self._pairs

    async def _close(self, file: StateFile) -> None:
        if self._spool is not None:
            await self._spool.close()
        self._state.admit = self._state.keep = self._spool = None
        await file.close()

    async def _connection(self) -> None:
        await self._client.start()
        await self._client.closed()

    async def _main(self) -> None:
        try:
            if self._every is None:
                await self._thing.main()
            else:
                await wake_and_sleep(self._thing.main, self._client, self, every=self._every)
        except Exception as error:
            error.add_note(
                f"{type(self._thing).__name__}.main() ended with this; the thing is not served any more"
            )
            raise

    # The client's callbacks

    def _describe(self) -> list[Message]:
        try:
            asked = messages.request(messages.DESCRIBE_THING, thing_id=self._thing.id, value=self._about())
        except Exception as error:  # noqa: BLE001 - `describe` may be overridden, so may raise anything
            self._refuse(error)
            return []
        self._client.expect(asked).add_done_callback(self._described)
        return [asked]

    def _described(self, answer: asyncio.Future[Message]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return  # the session ended before the hub could answer; the next one asks again
        error = answer.result().error
        if error is UNSET:
            self._online()
        else:
            self._refuse(from_problem(error))

    def _refuse(self, error: Exception) -> None:
        if self._refused is not None and not self._refused.done():
            self._refused.set_exception(error)

    def _moved(self, state: State) -> None:
        self._links.moved(state)
        if self._pairs is not None:
            self._pairs.moved(state)
        if state in ("connected", "resumed"):
            self._state.shift(self._state.clock.learn(self._client.hub_time()))
            if self._spool is None:  # from now on the readings' times are right
                self._state.attach(asyncio.get_running_loop(), self._report)
        if state == "connected":
            self._settle()
            self._calls.adrift()
        elif state == "resumed":
            self._online()
        elif state == "lost":
            self._here.clear()
            if self._every is None:
                self._tell("lost")

    def _lost(self, _: Sequence[Message]) -> None:
        """Tell the thing that the hub had lost our session: its last answers may not have been heard."""
        answers = [told for told in self._client.session.dropped if told.message_type == "response"]
        unheard = [told for told in answers if told.operation in COMMANDS]
        names = ", ".join(f"`{told.name}`" for told in unheard) or "none"
        log.warning(
            "%s: the session was lost; answers that the hub may not have: %s", self._thing.title, names
        )
        try:
            self._thing.on_lost(unheard)
        except Exception:
            log.exception("%s.on_lost() failed", type(self._thing).__name__)

    def _settle(self) -> None:
        """Ask a hub that was away, or has lost our session, which links and permissions still hold."""
        links = self._links.tickets
        grants = [] if self._pairs is None else [grant.id for grant in self._pairs.grants]
        if links or grants:
            task = asyncio.ensure_future(self._ask_what_holds({"links": links, "grants": grants}))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask_what_holds(self, kept: dict[str, Any]) -> None:
        try:
            answer = await self._client.request(messages.KEEP_LINKS, input=kept)
        except PlaitError as error:  # a hub of an earlier release keeps no account of them
            log.info("%s: the hub does not say which links hold: %s", self._thing.title, error)
            return
        output = answer.output if isinstance(answer.output, dict) else {}
        for link_id, reason in dict(output.get("over", {})).items():
            self._links.end(link_id, str(reason))
        for pairing, reason in dict(output.get("revoked", {})).items():
            self._paired().grants.revoke(pairing, str(reason))

    def _online(self) -> None:
        self._known = True
        self._here.set()
        self._tell("online")
        self._catch_up()

    def _take(self, message: Message) -> Awaitable[None] | None:
        if message.operation == messages.READ_PROPERTY and message.message_type == "request":
            self._client.respond(message, **self._answers.read(message))  # there at once: no task for it
        elif (
            message.operation == messages.READ_IDENTITY
            and message.message_type == "request"
            and self._every is None  # what sleeps keeps no links
        ):
            self._client.respond(message, **self._paired().identity())
        elif message.operation == messages.OPEN_LINK and message.message_type == "request":
            self._client.respond(message, **self._links.answer(message))
        elif message.message_type == "request":
            return self._respond(message)
        elif message.operation == messages.SIGNAL:
            self._calls.take(message)
        elif message.operation in (messages.LINK, messages.END_LINK):
            opener = None if self._pairs is None else self._pairs.peers.openers.get(str(message.call))
            (self._links if opener is None else opener).take(message)
        elif message.operation in (messages.GRANT, messages.REVOKE):
            self._paired().take(message)
        elif message.operation == messages.ERROR and message.error is not UNSET and self._known:
            log.error("%s: the hub says: %s", self._thing.title, from_problem(message.error))
        return None

    async def _respond(self, request: Message) -> None:
        if self._working >= AT_ONCE:
            raise Busy(f"{self._thing.title} works on {AT_ONCE} requests already")
        self._working += 1
        self._idle.clear()
        try:
            if request.operation == messages.SIGNAL:
                members: dict[str, Any] = await self._calls.answer(request)
            elif request.operation == messages.READ_PICTURE:
                members = await self._pictures.answer(request)
            else:
                members = await self._answers.answer(request)
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()
        self._client.respond(request, **members)

    # What a wake waits for (`wake.py`)

    async def online(self) -> None:
        """Return when the hub has the thing's description."""
        await self._here.wait()

    async def told(self) -> None:
        """Return when everything reported is on its way."""
        if self._spool is not None:
            await self._spool.told.wait()

    async def idle(self) -> None:
        """Return when nothing that was asked is still worked on, and all of it is answered."""
        await self._idle.wait()
        await asyncio.sleep(0)  # the last answer is sent

    # Reports

    def _has_room(self) -> bool:
        return self._client.connected and self._client.session.buffered < AHEAD

    def _send(self, operation: str, members: dict[str, Any]) -> Encoded | None:
        try:
            return self._client.notify(operation, **members)
        except (InvalidMessage, MessageTooLarge) as error:
            log.error("%s: a report cannot be told: %s", self._thing.title, error)  # noqa: TRY400 - its text says all
            return None

    def _progress(self) -> None:
        if self._spool is not None:
            self._spool.moved()

    def _report(self, operation: str, **members: Any) -> None:
        """Hand a report to the session; where that is full, keep in mind which property is behind."""
        try:
            self._client.notify(operation, **members)
        except Busy:
            if not self._left_out:
                log.warning(
                    "%s: the hub is away too long; readings are dropped, the last ones will be told",
                    self._thing.title,
                )
            if operation == messages.OBSERVE_PROPERTY:
                self._left_out.add(members["name"])
        except PlaitError:  # closed for good: `run` is about to raise why
            return

    def _catch_up(self) -> None:
        """Tell the last readings of the properties that are behind."""
        left, self._left_out = self._left_out, set()
        for name in left:
            self._state.repeat(name)
        if self._left_out:
            asyncio.get_running_loop().call_later(CATCH_UP_AFTER, self._catch_up)
