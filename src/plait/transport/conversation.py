"""One connection of a client's session: hello and welcome, then messages both ways, until the transport ends.

It keeps the numbers, the acknowledgements and the pings in order, and hands every message on once; what the
messages mean is above (`client.py`), and what comes after the end is too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from plait.transport.base import TransportClosed
from plait.wire import messages
from plait.wire.codec import decode, encode, envelope
from plait.wire.errors import InvalidMessage, PlaitError
from plait.wire.greeting import hello, take_welcome
from plait.wire.session import SequenceGap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plait.transport.base import Transport
    from plait.wire.greeting import Opened
    from plait.wire.messages import Message
    from plait.wire.session import Session

ACK_WITHIN: Final = 0.1
"""Seconds after which what is settled is acknowledged, if no message has carried it before."""

ACK_EVERY: Final = 32
"""Messages after which it is acknowledged at once."""

GREET_WITHIN: Final = 10.0
"""Seconds within which the hub must welcome us."""

PING_EVERY: Final = 10.0
"""Seconds between measurements of the round trip."""

# Close codes of `docs/protocol.md`, section 3
NO_WELCOME, GAP = 4000, 4002

_LOG: Final = logging.getLogger("plait.client")


class Conversation:
    """What a client says and hears over one transport.

    Attributes:
        open: the welcome has come; messages flow.
        rtt: the last measured round trip, in seconds; None before the first.
        refusal: why the hub did not welcome us, where it said so.
        ended: the transport's close code and reason, once it is closed.
    """

    def __init__(
        self,
        transport: Transport,
        session: Session,
        *,
        software: str,
        journal: bool,
        measures: bool = True,
        first: Callable[[], Iterable[Message]],
        on_open: Callable[[Opened], None],
        on_message: Callable[[Message], None],
        on_invalid: Callable[[Message, PlaitError], None],
        on_progress: Callable[[], None],
    ) -> None:
        """Say hello.

        Args:
            transport: open, and nothing was received yet.
            session: what it is to take up.
            software: our name and version.
            journal: whether we answer an action that is asked again, after a restart too, as the first time.
            measures: ping, to know the round trip.
            first: called where the session begins anew; what must go before all else.
            on_open: called with the welcome, when all that was to be sent again is sent.
            on_message: called with each new message, but for the session's own; settled when that returns.
            on_invalid: called with what could be read of a message that is none, and what is wrong with it.
            on_progress: called when the hub may have acknowledged something.
        """
        self.open = False
        self.rtt: float | None = None
        self.refusal: PlaitError | None = None
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._transport = transport
        self._text = transport.text
        self._session = session
        self._measures = measures
        self._first = first
        self._on_open = on_open
        self._on_message = on_message
        self._on_invalid = on_invalid
        self._on_progress = on_progress
        self._ack_timer: asyncio.TimerHandle | None = None
        self._ping_sent = 0.0
        transport.on_message = self._take
        transport.on_close = self._end
        self._hello = hello(session, software, journal=journal)
        self.put(self._hello)
        self._timer = self._loop.call_later(GREET_WITHIN, self.close, NO_WELCOME, "no welcome")

    def send(self, data: bytes) -> None:
        """Send what the session has numbered; if the transport has just ended, the session still has it."""
        with contextlib.suppress(TransportClosed):
            self._transport.send(data)

    def put(self, message: Message) -> None:
        """Send a message as it is."""
        self.send(encode(message, text=self._text))

    def acknowledge(self) -> None:
        """Tell the hub what is settled, if that is due."""
        if (ack := self._session.acknowledgement()) is not None:
            self.put(ack)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the transport; `ended` tells when it is."""
        self._transport.close(code, reason)

    def check_address(self) -> None:
        """Break the transport at once where this machine has lost its address."""
        self._transport.check_address()

    def _end(self, code: int, reason: str) -> None:
        self.open = False
        self._timer.cancel()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        self.ended.set_result((code, reason))

    def _welcomed(self, answer: Message) -> None:
        try:
            opened = take_welcome(self._session, self._hello, answer, first=self._first)
        except PlaitError as error:
            self.refusal = error
            self.close(reason=error.detail)
            return
        self.open = True
        for message in opened.again:
            self.put(message)
        self._on_open(opened)
        self._on_progress()
        self._timer.cancel()
        if self._measures:
            self._ping()

    def _take(self, data: bytes) -> None:
        try:
            message = decode(data, text=self._text)
        except PlaitError as error:
            _LOG.warning("the hub sent what is not a message: %s", error)
            self._drop(envelope(data, text=self._text), error)
            return
        if not self.open:
            if message.correlation_id == self._hello.message_id:
                self._welcomed(message)
            # Else it belongs to a time before the welcome: whatever is worth it comes again after.
        elif self._is_new(message):
            self._sort(message)
            self._settle(message)

    def _is_new(self, message: Message) -> bool:
        try:
            return self._session.receive(message)
        except SequenceGap as gap:
            self.close(GAP, str(gap))
        except InvalidMessage as error:
            self._on_invalid(message, error)
        finally:
            self._on_progress()
        return False

    def _drop(self, read: Message, error: PlaitError) -> None:
        """Answer what is not a message; where it has a number, that counts as received."""
        if self.open and (read.seq is UNSET or self._is_new(read)):
            self._on_invalid(read, error)
            self._settle(read)

    def _sort(self, message: Message) -> None:
        if message.operation == messages.ACK:
            return
        if message.operation != messages.PING:
            self._on_message(message)
        elif message.message_type == "request":
            self.put(messages.response(message, timestamp=messages.now()))
        else:
            self.rtt = self._loop.time() - self._ping_sent

    def _settle(self, message: Message) -> None:
        if message.seq is UNSET:
            return
        self._session.settled(message.seq)
        if message.seq % ACK_EVERY == 0:
            self.acknowledge()
        elif self._ack_timer is None:
            self._ack_timer = self._loop.call_later(ACK_WITHIN, self._acknowledge_late)

    def _acknowledge_late(self) -> None:
        self._ack_timer = None
        self.acknowledge()

    def _ping(self) -> None:
        """Measure the round trip now, and again after a while."""
        self._ping_sent = self._loop.time()
        self.put(messages.request(messages.PING))
        self._timer = self._loop.call_later(PING_EVERY, self._ping)
