"""A client of a hub: one lasting session over connections that come and go. Things and apps share it.

It numbers and keeps what is said, sends again what a break swallowed, and brings answers to their requests;
a hub that is killed and started anew costs nothing but time. How it is connected is in `connections.py`, what
goes over one connection in `conversation.py`, and what messages mean is the owner's affair.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.transport import websocket
from plait.transport.connections import Connections
from plait.transport.conversation import Conversation
from plait.transport.dial import ByWebSocket
from plait.transport.reconnect import Phase
from plait.transport.requests import Requests
from plait.wire import messages
from plait.wire.codec import Encoded
from plait.wire.errors import ActionFailed, Busy, PlaitError, SessionLost, Timeout, from_problem
from plait.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from plait.transport.base import Transport
    from plait.transport.connections import State
    from plait.transport.dial import Dial
    from plait.transport.trust import Trust
    from plait.wire.greeting import Opened
    from plait.wire.messages import Message

_COMMANDS: Final = frozenset({messages.INVOKE_ACTION, messages.WRITE_PROPERTY})
"""Requests that must not run late: they travel with a deadline."""

_LOG: Final = logging.getLogger("plait.client")


class Client:
    """One client's session with its hub.

    Attributes:
        session: numbers and what is not acknowledged yet.
        error: why it closed, where that was not `close()`.
    """

    def __init__(
        self,
        url: str,
        *,
        on_message: Callable[[Message], Awaitable[None] | None],
        on_state: Callable[[State], None] | None = None,
        on_session: Callable[[], Iterable[Message]] = tuple,
        token: str | None = None,
        cookie: str | None = None,
        software: str = "",
        journal: bool = False,
        ssl: Trust | None = None,
        brief: bool = False,
        dial: Dial | None = None,
        on_progress: Callable[[], None] | None = None,
        on_lost: Callable[[Sequence[Message]], None] | None = None,
    ) -> None:
        """Make a client; `start` dials.

        Args:
            url: the hub's address: `http://host:8080`, or its WebSocket's.
            on_message: called with each new message that is not an answer to `request`, in order. It counts
                as handed over, and is acknowledged, when the call returns; what that returns, if awaitable,
                runs on by itself. A request whose handler raises is answered with that error.
            on_state: told of every change. "connected" means a new session, "resumed" that nothing was lost.
            on_session: called when a new session begins; what it returns is sent before all that waits, for
                example a thing's description. Use `expect` for answers.
            token: the bearer token.
            cookie: instead of it, a browser's session.
            software: name and version, for the hub's logs.
            journal: tell the hub that an action asked again, after a restart too, is answered as at first.
            ssl: whom to trust for wss; None: the system's authorities.
            brief: connections last a moment, and each byte counts: MessagePack instead of JSON, TLS sessions
                resumed, and the round trip not measured.
            dial: opens the transport, instead of a WebSocket to `url`.
            on_progress: called when the hub may have acknowledged something.
            on_lost: called where the hub had forgotten the session and a new one began, before `on_state`,
                with the requests whose outcome is not known: they fail with `SessionLost`.
        """
        self.session = Session()
        self.error: PlaitError | None = None
        self._url = websocket.endpoint(url)
        self._software = software
        self._journal = journal
        self._on_message = on_message
        self._on_session = on_session
        self._on_progress = on_progress
        self._on_lost = on_lost or _ignore
        self._begun = False  # there was a session
        self._text = not brief
        self._brief = brief
        dial = dial or ByWebSocket(self._url, token, cookie, ssl, text=not brief, brief=brief)
        self._connections = Connections(
            self._url, dial, converse=self._converse, on_state=on_state or _ignore
        )
        self._requests = Requests()
        self._clock_ahead = timedelta()  # the hub's clock less ours
        self._task: asyncio.Future[None] | None = None
        self._opened: asyncio.Future[None] | None = None  # start() waits for it
        self._quiet: set[asyncio.Future[None]] = set()  # flush() waits for these
        self._handlers: set[asyncio.Future[None]] = set()

    # For the owner

    async def start(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - says what did not come in time
        """Dial until the first session is open, and keep it so until `close`.

        Args:
            timeout: seconds; None to wait for as long as the hub may take to be there.

        Raises:
            Unauthorized, Forbidden: the hub does not take the credential.
            Timeout: no hub answered; the detail says what stood in the way.
        """
        if self._connections.phase is not Phase.IDLE:
            raise RuntimeError("A client starts once")
        self._opened = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(timeout):
                await self._opened
        except TimeoutError:
            await self.close(flush=0)
            raise Timeout(f"No hub at {self._url} within {timeout} s: {self._connections.failure}") from None
        except BaseException:
            await self.close(flush=0)
            raise

    @property
    def connected(self) -> bool:
        """Whether messages flow right now."""
        return self._connections.phase is Phase.OPEN

    def hub_time(self) -> datetime:
        """Return the time by the hub's clock, as far as it is known."""
        return messages.now() + self._clock_ahead

    @property
    def rtt(self) -> float | None:
        """The last measured round trip to the hub, in seconds; None before the first of a connection."""
        return None if self._conversation is None else self._conversation.rtt

    async def request(self, operation: str, *, timeout: float = 10.0, **members: Any) -> Message:  # noqa: ASYNC109 - travels as the deadline
        """Ask something of the hub and return its response.

        A request waits out a break, and is sent again where the hub may not have had it. A command carries
        its deadline by the hub's clock, so that it is not run when nobody waits for it any more.

        Raises:
            PlaitError: what the response says went wrong, typed.
            Timeout: no answer within `timeout` seconds.
            SessionLost: the hub has forgotten that it was asked; a command may have run.
            Busy: too much waits already.
        """
        if operation in _COMMANDS and "deadline" not in members:
            members["deadline"] = self.hub_time() + timedelta(seconds=timeout)
        message = messages.request(operation, **members)
        future = self.expect(message)
        late = Timeout(f"No answer to {operation} within {timeout} s")
        # Not asyncio.timeout, which costs several times as much: nothing has to be cancelled but the future.
        timer = asyncio.get_running_loop().call_later(timeout, _fail, future, late)
        try:
            self._post(message)
            answer = await future
        finally:
            timer.cancel()
            future.cancel()
        if answer.error is not UNSET:
            raise from_problem(answer.error)
        return answer

    def expect(self, request: Message) -> asyncio.Future[Message]:
        """Return a future of the response to a request that `on_session` is about to return."""
        if self.error is not None:
            raise self.error
        return self._requests.expect(request)

    def notify(self, operation: str, **members: Any) -> Encoded:
        """Tell the hub something; return it, as it is kept until the hub has acknowledged it, over any break.

        Raises:
            Busy: too much waits already; nothing was sent.
        """
        return self._post(messages.notification(operation, **members))

    def respond(self, request: Message, **members: Any) -> None:
        """Answer a request of the hub; errors as `notify`."""
        self._post(messages.response(request, **members))

    async def flush(self, timeout: float) -> bool:  # noqa: ASYNC109 - an answer, not an error, when time is up
        """Wait until the hub has acknowledged everything; return whether it did in time."""
        if not self.session.buffered:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._quiet.add(future)
        done, _ = await asyncio.wait([future], timeout=timeout)
        self._quiet.discard(future)
        return bool(done)

    def pause(self) -> None:
        """Give up the connection, and dial no more before `resume`. The session may go on."""
        self._connections.pause()
        if self._conversation is not None and self._conversation.open:
            if not self._brief:  # what is settled is said in the next hello, too
                self._conversation.acknowledge()
            self._conversation.close()

    def resume(self) -> None:
        """End a pause."""
        self._connections.resume()

    async def close(self, *, flush: float = 2.0) -> None:
        """Say goodbye, after at most `flush` seconds for what is not acknowledged yet. Idempotent."""
        conversation = self._conversation
        if conversation is not None and conversation.open:
            await self.flush(flush)
            conversation.acknowledge()
        self._finish(None)
        ending = {task for task in (self._task, *self._handlers) if task is not None}
        ending.discard(asyncio.current_task())  # a handler may close its own client
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if conversation is not None:
            conversation.close()
            await asyncio.wait([conversation.ended])

    async def closed(self) -> None:
        """Wait until it is closed.

        Raises:
            PlaitError: why, where that was not `close()`.
        """
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()  # raises where the owner's own callbacks did
        if self.error is not None:
            raise self.error

    # Connections

    @property
    def _conversation(self) -> Conversation | None:
        return self._connections.conversation

    async def _run(self) -> None:
        try:
            await self._connections.run()
        except PlaitError as error:
            self._finish(error)

    def _converse(self, transport: Transport) -> Conversation:
        self._text = transport.text
        return Conversation(
            transport,
            self.session,
            software=self._software,
            journal=self._journal,
            measures=not self._brief,
            first=self._on_session,
            on_open=self._welcomed,
            on_message=self._deliver,
            on_invalid=self._refuse,
            on_progress=self._progress,
        )

    def _welcomed(self, opened: Opened) -> None:
        self._clock_ahead = opened.welcome.time - messages.now()
        if not opened.welcome.resumed:
            alive: set[object] = {message.message_id for message in opened.again}
            unknown = self._requests.fail(SessionLost(), but=alive)
            if self._begun:
                _LOG.warning("%s: the session was lost; %d requests have no answer", self._url, len(unknown))
                self._on_lost(unknown)
        self._begun = True
        self._connections.go("welcomed", "resumed" if opened.welcome.resumed else "connected")
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _finish(self, error: PlaitError | None) -> None:
        """Close for good; nothing is numbered or dialled any more."""
        if self._connections.phase is Phase.CLOSED:
            return
        self.error = error
        why = error or SessionLost("The client was closed")
        self._requests.fail(why)
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(why)
        self._connections.go("stop", "closed")

    # Messages

    def _post(self, message: Message) -> Encoded:
        """Number, keep, and send where there is a connection."""
        if self._connections.phase is Phase.CLOSED:
            raise self.error or SessionLost("The client is closed")
        encoded = Encoded(message)
        try:
            data = self.session.send_encoded(encoded, text=self._text)
        except SessionLost as error:
            raise Busy(error.detail) from error
        if self._conversation is not None and self._conversation.open:
            self._conversation.send(data)
        return encoded

    def _deliver(self, message: Message) -> None:
        if message.message_type == "response" and self._requests.resolve(message):
            return
        try:
            result = self._on_message(message)
        except Exception as error:  # noqa: BLE001 - whatever the owner's code raises must not end the session
            self._failed(message, error)
        else:
            if result is not None:
                task = asyncio.get_running_loop().create_task(self._handle(message, result))
                self._handlers.add(task)
                task.add_done_callback(partial(self._handled, result))

    def _handled(self, result: Awaitable[None], task: asyncio.Future[None]) -> None:
        self._handlers.discard(task)
        if inspect.iscoroutine(result):  # where it was cancelled before it began, nothing has awaited it
            result.close()

    async def _handle(self, message: Message, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(message, error)

    def _failed(self, message: Message, error: Exception) -> None:
        if not isinstance(error, PlaitError):
            _LOG.error("handling %s failed", message.operation, exc_info=error)
            error = ActionFailed(f"{type(error).__name__}: {error}")
        if message.message_type == "request":
            self._refuse(message, error)

    def _refuse(self, message: Message, error: PlaitError) -> None:
        """Answer with an error; where there is nothing to answer, tell it. Never about an error of theirs."""
        if message.message_type == "request" and message.message_id is not UNSET:
            try:
                self.respond(message, error=error.problem())
            except PlaitError:
                _LOG.exception("cannot answer %s", message.operation)
        elif message.operation != messages.ERROR and self._conversation is not None:
            self._conversation.put(messages.notification(messages.ERROR, error=error.problem()))

    def _progress(self) -> None:
        if not self.session.buffered:
            for future in self._quiet:
                if not future.done():
                    future.set_result(None)
        if self._on_progress is not None:
            self._on_progress()


def _fail(future: asyncio.Future[Message], error: PlaitError) -> None:
    if not future.done():
        future.set_exception(error)


def _ignore(*_: object) -> None:
    """Stand in for a callback that the owner does not need."""
