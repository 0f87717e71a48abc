"""A hub without rooms, for tests of clients: it can break and be killed, in memory or over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET

from plait.transport.base import TransportClosed
from plait.transport.memory import MemoryTransport, pair
from plait.transport.websocket import WebSocketTransport
from plait.wire import messages
from plait.wire.codec import decode, encode
from plait.wire.greeting import read_hello, welcome, welcome_message
from plait.wire.session import SequenceGap

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.transport.base import Transport
    from plait.wire.messages import Message
    from plait.wire.session import Session


class MemoryHub:
    """The far end of one client, by the protocol, without rooms: it records, answers and keeps the session.

    `Client("ws://memory", dial=hub.dial, ...)` dials it. What it received is committed at once, and survives
    `kill` as a real hub's store does; the session does not.

    Attributes:
        received: every message of the session, once each.
        answer: makes the response to a request; None leaves it unanswered.
        beside: what came outside of the numbering.
        greet: makes the answer to a hello, instead of a welcome.
        hellos: how often a client said hello.
        transport: the hub's end of the connection at hand.
        refusal: raised at the next dials instead of opening a transport.
        break_after: connections break when so many messages of either end have arrived.
    """

    def __init__(
        self, *, answer: Callable[[Message], Message | None] | None = None, text: bool = True
    ) -> None:
        self.received: list[Message] = []
        self.answer = answer or (lambda asked: messages.response(asked, output={}))
        self.beside: list[Message] = []
        self.greet: Callable[[Message], Message] | None = None
        self.hellos = 0
        self.transport: Transport | None = None
        self.refusal: Exception | None = None
        self.break_after: int | None = None
        self.session: Session | None = None
        self._text = text
        self._greeted: Transport | None = None
        self._committed: dict[str, int] = {}
        self._news = asyncio.Condition()

    async def dial(self, on_open: Callable[[Transport], None]) -> object:
        """Open a connection; give it to `Client` as `dial`."""
        if self.refusal is not None:
            raise self.refusal
        near, far = pair(text=self._text, break_after=self.break_after)
        self.attach(far)
        on_open(near)
        return near

    def attach(self, transport: Transport) -> None:
        """Serve a connection that came in otherwise, such as a WebSocket."""
        self.transport = transport
        self._greeted = None
        greeted = False

        def take(data: bytes) -> None:
            nonlocal greeted
            message = decode(data, text=transport.text)
            if greeted:
                self._take(transport, message)
            else:
                greeted = True
                self._greet(transport, message)

        transport.on_message = take

    def send(self, message: Message) -> None:
        """Send within the session; it is kept while there is no connection."""
        assert self.session is not None, "no client has said hello"
        numbered = self.session.send(message)
        self._put(self._greeted, numbered)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the hub received makes the condition true."""
        async with self._news:
            await self._news.wait_for(condition)

    def sever(self) -> None:
        """Break the connection; the session stays."""
        if isinstance(self.transport, MemoryTransport):
            self.transport.sever()
        elif isinstance(self.transport, WebSocketTransport):
            self.transport.abort()

    def kill(self) -> None:
        """Do as `kill -9` and a new start: connection and session are gone, what was committed is not."""
        self.sever()
        self.session = None

    def _greet(self, transport: Transport, message: Message) -> None:
        self.hellos += 1
        if self.greet is not None:
            self._put(transport, self.greet(message))
            return
        said = read_hello(message)
        committed = self._committed.get(said.session or "", 0)
        opened = welcome(said, self.session, committed=committed, window=60.0, time=messages.now())
        self.session = opened.session
        self._greeted = transport
        for again in (welcome_message(message, opened), *opened.again):
            self._put(transport, again)

    def _take(self, transport: Transport, message: Message) -> None:
        if self.session is None:
            return
        try:
            if not self.session.receive(message):
                return
        except SequenceGap as gap:
            transport.close(4002, str(gap))
            return
        if message.seq is not UNSET:
            self.received.append(message)
            self.session.settled(message.seq)
            self._committed[self.session.id] = self.session.ack
        else:
            self.beside.append(message)
        if message.operation == messages.PING and message.message_type == "request":
            self._put(transport, messages.response(message, timestamp=messages.now()))
        elif message.message_type == "request" and (response := self.answer(message)) is not None:
            self._put(transport, self.session.send(response))
        if (ack := self.session.acknowledgement()) is not None:
            self._put(transport, ack)
        self._tell = asyncio.ensure_future(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _put(self, transport: Transport | None, message: Message) -> None:
        if transport is not None:
            with contextlib.suppress(TransportClosed):
                transport.send(encode(message, text=transport.text))


@pytest.fixture
async def hub() -> MemoryHub:
    return MemoryHub()
