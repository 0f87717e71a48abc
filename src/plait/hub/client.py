"""A live session of a thing or an app: it outlives its connections for a while."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import UNSET

from plait.hub.contracts import Mark, SessionEnded
from plait.hub.outbox import Outbox
from plait.hub.reply import Reply
from plait.wire.codec import Encoded
from plait.wire.errors import (
    InvalidMessage,
    MessageTooLarge,
    Timeout,
    from_problem,
)
from plait.wire.messages import ERROR, SESSION_OPERATIONS, Message, notification, now
from plait.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from plait.hub.contracts import Bus, Notice, Principal
    from plait.hub.outbox import Traffic
    from plait.transport.base import Transport
    from plait.wire.errors import (
        PlaitError,
    )

ACK_AFTER_S: Final = 0.1
ACK_EVERY: Final = 32
"""An acknowledgement is told within this time, or with this many messages, whichever is first."""

SWEEP_S: Final = 0.1
"""How much later than its deadline a request may be given up."""

_MOST_REQUESTS: Final = 1000
"""Requests of one client that are being worked on at a time."""

_BOOT: Final = secrets.token_hex(4) + "-"
_NUMBERS: Final = itertools.count(1)
"""Together the ids of the hub's own requests: unique over its restarts, and cheaper than random ones."""

_log = structlog.get_logger("plait.hub")


class LiveClient:
    """Implements `contracts.Client`.

    Args:
        session_id: the session's id.
        principal: whose it is.
        bus: where `watch` listens.
        lost: called with why when the session has to end now.
        traffic: counts what is sent.

    Attributes:
        working: requests of its own that are being worked on.
        asleep: until when it sleeps, by its own word.
        authority: by which name and port it called this hub last, as it says.
        credential: the id of the credential that its last connection came with.
        revoked: whether that was taken back.
        journals: whether it answers an action that is asked again as it did the first time.
    """

    __slots__ = (
        *("_ack_timer", "_asks", "_bus", "_lost", "_sweeper", "_topics", "_untold"),
        *("asleep", "authority", "credential", "expiry", "journals", "outbox", "principal", "revoked"),
        *("session", "text", "transport", "working"),
    )

    def __init__(
        self,
        session_id: str,
        principal: Principal,
        bus: Bus,
        lost: Callable[[LiveClient, int, str], None],
        traffic: Traffic,
    ) -> None:
        self.principal = principal
        self.credential = principal.credential
        self.revoked = False
        self.journals = False
        self.session = Session(session_id)
        self.outbox = Outbox(self.session, self._overflow, traffic)
        self.transport: Transport | None = None
        self.text = True
        self.authority = ""
        self.expiry: asyncio.TimerHandle | None = None
        self.asleep: datetime | None = None
        self._bus = bus
        self._lost = lost
        self._asks: dict[str, tuple[Reply[Message], datetime]] = {}
        self._topics: dict[str, Callable[[], None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self.working = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._untold = 0

    @property
    def id(self) -> str:
        """The session's id."""
        return self.session.id

    @property
    def connected(self) -> bool:
        """Whether a connection carries it now."""
        return self.transport is not None

    # Connections

    def attach(self, transport: Transport) -> None:
        """Go on over this connection."""
        self.transport = transport
        self.text = transport.text
        self.authority = transport.authority
        self.outbox.attach(transport)
        transport.on_writable = self.outbox.flush

    def sleep(self, until: datetime) -> None:
        """Take note that it goes away until then."""
        self.asleep = until

    def detach(self) -> None:
        """Go on without a connection."""
        self.transport = None
        self.outbox.attach(None)

    def end(self) -> None:
        """Give up everything: what was asked is not known, what was watched is watched no more."""
        self.detach()
        for timer in (self.expiry, self._ack_timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        for end in self._topics.values():
            end()
        self._topics.clear()
        asks, self._asks = self._asks, {}
        for reply, _ in asks.values():
            reply.fail(SessionEnded(journals=self.journals))

    def _overflow(self) -> None:
        self._lost(self, 4003, "too much unacknowledged")

    # What is received

    def mark(self, message: Message) -> Mark | None:
        """Return what is to be committed together with this message."""
        return Mark(self.session.id, str(self.principal), message.seq) if message.seq is not UNSET else None

    def settled(self, message: Message) -> None:
        """Say that this message is kept for good; its acknowledgement follows soon."""
        if message.seq is UNSET:
            return
        self.session.settled(message.seq)
        self._untold += 1
        if self._untold >= ACK_EVERY:
            self._acknowledge()
        elif self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(ACK_AFTER_S, self._acknowledge_late)

    def unkept(self, message: Message, error: BaseException) -> None:
        """Say that a message could not be committed: its session is over, and it comes again in the next."""
        del message
        self._lost(self, 1011, f"not kept: {error}")

    def _acknowledge_late(self) -> None:
        self._ack_timer = None
        self._acknowledge()

    def _acknowledge(self) -> None:
        self._untold = 0
        if self.transport is not None and (ack := self.session.acknowledgement()) is not None:
            self.outbox.beside(ack)

    # What is sent

    def tell(self, notice: Notice) -> None:
        """Send a notification. A client that does not read loses its session; nobody else notices."""
        self.outbox.offer(notice)

    def respond(self, message: Message) -> None:
        """Send a response; one that cannot be sent is answered by why."""
        try:
            if message.operation in SESSION_OPERATIONS:
                self.outbox.beside(message)
            else:
                self.outbox.post(Encoded(message))
        except (MessageTooLarge, InvalidMessage) as error:
            for member in ("value", "output", "data"):
                setattr(message, member, UNSET)
            message.error = error.problem()
            self.outbox.post(Encoded(message))

    def complain(self, message: Message, error: PlaitError) -> None:
        """Tell of a problem: in the response where one is due, otherwise in an `error` notification."""
        shared: dict[str, Any] = {"correlation_id": message.message_id, "thing_id": message.thing_id}
        shared |= {"name": message.name, "error": error.problem()}
        if message.message_id is not UNSET and message.message_type != "response":
            self.respond(Message(message_type="response", operation=message.operation, **shared))
        else:
            self.outbox.beside(notification(ERROR, **shared))

    def question(self, operation: str, /, key: str = "", **members: Any) -> Encoded:
        """Return a request, encoded. See `contracts.Client`."""
        key = key or f"{_BOOT}{next(_NUMBERS)}"
        question = Encoded(Message(message_type="request", operation=operation, message_id=key, **members))
        question.body(text=self.text)
        return question

    def ask(self, question: Encoded, until: datetime) -> Reply[Message]:
        """Send a request; the reply is its response. See `contracts.Client`."""
        self.outbox.command(question)
        reply: Reply[Message] = Reply()
        self._asks[str(question.message.message_id)] = (reply, until)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return reply

    def _sweep(self) -> None:
        """Give up what is overdue. One timer for all of them: most are answered long before it comes."""
        self._sweeper = None
        stamp = now()
        for key, (reply, deadline) in list(self._asks.items()):
            if deadline <= stamp:
                del self._asks[key]
                reply.fail(Timeout("the thing did not answer in time"))
        if self._asks and self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def answered(self, message: Message) -> None:
        """Take a response; one that nobody waits for any more is dropped."""
        asked = self._asks.pop(message.correlation_id, None) if message.correlation_id is not UNSET else None
        if asked is None:
            return
        if message.error is not UNSET:
            asked[0].fail(from_problem(message.error))
        else:
            asked[0].set(message)

    # What is watched, and worked on

    def watch(self, topic: str) -> None:
        """Tell this client every notice of a topic, for as long as its session lives."""
        if topic not in self._topics:
            self._topics[topic] = self._bus.subscribe(topic, self.outbox.offer)

    def unwatch(self, topic: str) -> None:
        """End that."""
        end = self._topics.pop(topic, None)
        if end is not None:
            end()

    @property
    def crowded(self) -> bool:
        """Whether so many of its requests are worked on that it gets no more for now."""
        return self.working >= _MOST_REQUESTS
