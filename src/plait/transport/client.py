"""A client of a hub: one lasting session over connections that come and go. Things and apps share it.

It dials, says hello, sends again what a break swallowed, acknowledges, measures the round trip, and dials
again; a hub that is killed and started anew costs nothing but time. What messages mean is the owner's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from msgspec import UNSET

from plait.transport import websocket
from plait.transport.base import TransportClosed
from plait.transport.reconnect import NEXT, Backoff, Phase
from plait.wire import messages
from plait.wire.codec import Encoded, decode, encode, envelope
from plait.wire.errors import (
    ActionFailed,
    Busy,
    Forbidden,
    InvalidMessage,
    PlaitError,
    SessionLost,
    Timeout,
    Unauthorized,
    from_problem,
)
from plait.wire.greeting import hello, take_welcome
from plait.wire.requests import Requests
from plait.wire.session import SequenceGap, Session

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Awaitable, Callable, Iterable

    from plait.transport.base import Transport
    from plait.wire.messages import Message

State = Literal["connecting", "connected", "resumed", "lost", "closed"]

ACK_WITHIN: Final = 0.1
"""Seconds after which what is settled is acknowledged, if no message has carried it before."""

ACK_EVERY: Final = 32
"""Messages after which it is acknowledged at once."""

GREET_WITHIN: Final = 10.0
"""Seconds within which the hub must welcome us."""

STEADY_AFTER: Final = 5.0
"""A connection that lived for so many seconds counts as a success: the next break is answered at once."""

_LOG: Final = logging.getLogger("plait.client")

_COMMANDS: Final = frozenset({messages.INVOKE_ACTION, messages.WRITE_PROPERTY})
"""Requests that must not run late: they travel with a deadline."""


class Dial(Protocol):
    """Opens a transport; calls `on_open` with it before its first message can arrive."""

    def __call__(self, on_open: Callable[[Transport], None]) -> Awaitable[object]:
        """Return when it is open; raise OSError, Unauthorized or Forbidden."""


class Client:
    """One client's session with its hub.

    Attributes:
        session: numbers and what is not acknowledged yet.
        rtt: the last measured round trip to the hub, in seconds; None before the first.
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
        ssl: tls.SSLContext | None = None,
        binary: bool = False,
        ping_every: float = 10.0,
        dial: Dial | None = None,
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
            ssl: whom to trust for wss.
            binary: speak MessagePack instead of JSON.
            ping_every: seconds between measurements of the round trip.
            dial: opens the transport, instead of a WebSocket to `url`.
        """
        self.session = Session()
        self.rtt: float | None = None
        self.error: PlaitError | None = None
        self._url = websocket.endpoint(url)
        self._software = software
        self._on_message = on_message
        self._on_state = on_state or _ignore
        self._on_session = on_session
        self._ping_every = ping_every
        self._dial = dial or self._websocket(token, cookie, ssl, binary=binary)
        self._text = not binary
        self._phase = Phase.IDLE
        self._requests = Requests()
        self._transport: Transport | None = None
        self._hello: Message | None = None
        self._clock_ahead = timedelta()  # the hub's clock less ours
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None  # start() waits for it
        self._ended: asyncio.Future[tuple[int, str]] | None = None  # the transport at hand is closed
        self._quiet: set[asyncio.Future[None]] = set()  # flush() waits for these

    # For the owner

    async def start(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - says what did not come in time
        """Dial until the first session is open, and keep it so until `close`.

        Args:
            timeout: seconds; None to wait for as long as the hub may take to be there.

        Raises:
            Unauthorized, Forbidden: the hub does not take the credential.
            Timeout: no hub answered; the detail says what stood in the way.
        """
        if self._phase is not Phase.IDLE:
            raise RuntimeError("A client starts once")
        self._opened = asyncio.get_running_loop().create_future()
        self._loop_task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._opened)
        except TimeoutError:
            await self.close(flush=0)
            raise Timeout(f"No hub at {self._url} within {timeout} s: {self._last_failure}") from None
        except BaseException:
            await self.close(flush=0)
            raise

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
            members["deadline"] = messages.now() + self._clock_ahead + timedelta(seconds=timeout)
        message = messages.request(operation, **members)
        future = self.expect(message)
        try:
            self._post(message)
            async with asyncio.timeout(timeout):
                answer = await future
        except TimeoutError:
            raise Timeout(f"No answer to {operation} within {timeout} s") from None
        finally:
            future.cancel()
        if answer.error is not UNSET:
            raise from_problem(answer.error)
        return answer

    def expect(self, request: Message) -> asyncio.Future[Message]:
        """Return a future of the response to a request that `on_session` is about to return."""
        if self.error is not None:
            raise self.error
        return self._requests.expect(request)

    def notify(self, operation: str, **members: Any) -> None:
        """Tell the hub something; it is kept until the hub has acknowledged it, over any break.

        Raises:
            Busy: too much waits already; nothing was sent.
        """
        self._post(messages.notification(operation, **members))

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

    async def close(self, *, flush: float = 2.0) -> None:
        """Say goodbye, after at most `flush` seconds for what is not acknowledged yet. Idempotent."""
        if self._phase is Phase.OPEN:
            await self.flush(flush)
            self._acknowledge()
        self._stop(None)
        if self._loop_task is not None:
            await asyncio.gather(self._loop_task, return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def closed(self) -> None:
        """Wait until it is closed.

        Raises:
            PlaitError: why, where that was not `close()`.
        """
        if self._loop_task is not None:
            await asyncio.wait([self._loop_task])
        if self.error is not None:
            raise self.error

    # Connections

    def _websocket(
        self, token: str | None, cookie: str | None, ssl: tls.SSLContext | None, *, binary: bool
    ) -> Dial:
        names = (messages.SUBPROTOCOL_MSGPACK if binary else messages.SUBPROTOCOL_JSON,)

        def dial(on_open: Callable[[Transport], None]) -> Awaitable[object]:
            return websocket.connect(
                self._url, token=token, cookie=cookie, ssl=ssl, subprotocols=names, on_open=on_open
            )

        return dial

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        self._last_failure = "it did not answer"
        while not self._is_closed():
            self._go("dial")
            self._on_state("connecting")
            self._ended = loop.create_future()
            began = loop.time()
            try:
                await self._dial(self._greet)
                code, reason = await self._ended
            except (Unauthorized, Forbidden) as error:
                self._stop(error)
            except OSError as error:
                self._last_failure = str(error) or type(error).__name__
                _LOG.info("cannot reach %s: %s", self._url, self._last_failure)
            else:
                self._last_failure = f"it closed the connection ({code} {reason})"
                _LOG.info("connection to %s ended: %s %s", self._url, code, reason)
                if loop.time() - began >= STEADY_AFTER:
                    backoff.reset()
            self._transport = None
            if not self._is_closed():
                self._go("lost")
                self._on_state("lost")
                await asyncio.sleep(backoff.wait())

    def _is_closed(self) -> bool:
        return self._phase is Phase.CLOSED

    def _go(self, event: str) -> None:
        self._phase = NEXT[self._phase, event]

    def _stop(self, error: PlaitError | None) -> None:
        """Close for good."""
        if self._phase is Phase.CLOSED:
            return
        idle = self._phase in (Phase.IDLE, Phase.DIALLING, Phase.WAITING)
        self._go("stop")
        self.error = error
        for timer in self._timers.values():
            timer.cancel()
        self._requests.fail(error or SessionLost("The client was closed"))
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(error or SessionLost("The client was closed"))
        if self._transport is not None:
            self._transport.close()
        if idle and self._loop_task is not None and self._loop_task is not asyncio.current_task():
            self._loop_task.cancel()
        self._on_state("closed")

    def _after(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        if name not in self._timers:
            self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._due, name, call)

    def _due(self, name: str, call: Callable[[], None]) -> None:
        del self._timers[name]
        call()

    # Greeting

    def _greet(self, transport: Transport) -> None:
        self._transport = transport
        transport.on_message = self._take
        transport.on_close = self._lost
        self._text = transport.text
        if self._phase is Phase.CLOSED:
            transport.close()
            return
        self._go("opened")
        self._hello = hello(self.session, self._software)
        self._put(encode(self._hello, text=self._text))
        self._after("greet", GREET_WITHIN, lambda: transport.close(4000, "no welcome"))

    def _lost(self, code: int, reason: str) -> None:
        for name in list(self._timers):
            self._timers.pop(name).cancel()
        if code == 1008:
            self._stop(Unauthorized(reason))
        elif code == 4001:
            self._stop(SessionLost(reason or "Displaced by another connection"))
        if self._ended is not None and not self._ended.done():
            self._ended.set_result((code, reason))

    def _welcomed(self, answer: Message) -> None:
        assert self._hello is not None  # noqa: S101 - for the type checker: it was said before this phase
        try:
            opened = take_welcome(self.session, self._hello, answer, first=self._on_session)
        except PlaitError as error:
            if error.retry and self._transport is not None:
                self._transport.close(1000, error.detail)
            else:
                self._stop(error)
            return
        self._timers.pop("greet").cancel()
        self._clock_ahead = opened.welcome.time - messages.now()
        self._go("welcomed")
        if not opened.welcome.resumed:
            alive: set[object] = {message.message_id for message in opened.again}
            self._requests.fail(SessionLost(), but=alive)
        for message in opened.again:
            self._put(encode(message, text=self._text))
        self._on_state("resumed" if opened.welcome.resumed else "connected")
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        self._check_quiet()
        self._ping()

    # Messages in

    def _take(self, data: bytes) -> None:
        try:
            message = decode(data, text=self._text)
        except PlaitError as error:
            self._refuse(envelope(data, text=self._text), error)
            return
        if self._phase is Phase.GREETING:
            self._welcomed(message)
        elif self._phase is Phase.OPEN and self._is_new(message):
            self._deliver(message)
            self._settle(message)

    def _is_new(self, message: Message) -> bool:
        try:
            return self.session.receive(message)
        except SequenceGap as gap:
            if self._transport is not None:
                self._transport.close(4002, str(gap))
        except InvalidMessage as error:
            self._answer_error(message, error)
        finally:
            self._check_quiet()
        return False

    def _refuse(self, read: Message, error: PlaitError) -> None:
        """Answer what could not be read, and count it as received where it has a number."""
        _LOG.warning("the hub sent what is not a message: %s", error)
        if self._phase is Phase.OPEN and (read.seq is UNSET or self._is_new(read)):
            self._answer_error(read, error)
            self._settle(read)

    def _answer_error(self, to: Message, error: PlaitError) -> None:
        with contextlib.suppress(Busy):
            if to.message_type == "request" and to.message_id is not UNSET:
                self.respond(to, error=error.problem())
            elif to.operation != messages.ERROR:
                self._put(
                    encode(messages.notification(messages.ERROR, error=error.problem()), text=self._text)
                )

    def _settle(self, message: Message) -> None:
        if message.seq is UNSET:
            return
        self.session.settled(message.seq)
        if message.seq % ACK_EVERY == 0:
            self._acknowledge()
        elif self.session.ack_due():
            self._after("ack", ACK_WITHIN, self._acknowledge)

    def _acknowledge(self) -> None:
        ack = self.session.acknowledgement()
        if ack is not None:
            self._put(encode(ack, text=self._text))

    def _deliver(self, message: Message) -> None:
        if message.operation == messages.ACK:
            return
        if message.operation == messages.PING and message.message_type == "request":
            self._put(encode(messages.response(message, timestamp=messages.now()), text=self._text))
            return
        if message.message_type == "response" and self._requests.resolve(message):
            return
        try:
            result = self._on_message(message)
        except Exception as error:  # noqa: BLE001 - whatever the owner's code raises must not end the session
            self._failed(message, error)
        else:
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(self._finish(message, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _finish(self, message: Message, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(message, error)

    def _failed(self, message: Message, error: Exception) -> None:
        if not isinstance(error, PlaitError):
            _LOG.error("handling %s failed", message.operation, exc_info=error)
            error = ActionFailed(f"{type(error).__name__}: {error}")
        self._answer_error(message, error)

    # Messages out

    def _post(self, message: Message) -> None:
        """Number, keep, and send where there is a connection."""
        if self._phase is Phase.CLOSED:
            raise self.error or SessionLost("The client is closed")
        try:
            data = self.session.send_encoded(Encoded(message), text=self._text)
        except SessionLost as error:
            raise Busy(error.detail) from error
        if self._phase is Phase.OPEN:
            self._put(data)

    def _put(self, data: bytes) -> None:
        if self._transport is not None:
            with contextlib.suppress(TransportClosed):  # on_close is about to tell; the session has it
                self._transport.send(data)

    def _check_quiet(self) -> None:
        if not self.session.buffered:
            for future in self._quiet:
                if not future.done():
                    future.set_result(None)

    def _ping(self) -> None:
        """Measure the round trip now, and again after a while."""
        sent = asyncio.get_running_loop().time()

        def measured(answer: asyncio.Future[Message]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                self.rtt = asyncio.get_running_loop().time() - sent

        ping = messages.request(messages.PING)
        self._requests.expect(ping).add_done_callback(measured)
        self._put(encode(ping, text=self._text))
        self._after("ping", self._ping_every, self._ping)


def _ignore(*_: object) -> None:
    """Stand in for a callback that the owner does not need."""
