"""One WebSocket: says hello, then takes messages to the session and on to the rooms.

opened ──hello──▶ (store asked how far an unknown session got) ──▶ welcomed ──▶ closed
   └─ 10 s without hello: 4000
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import UNSET

from plait.hub.clients import REVOKED
from plait.hub.contracts import NotKept
from plait.transport.base import TransportClosed
from plait.wire.codec import decode, encode, envelope
from plait.wire.errors import InvalidMessage, MessageTooLarge, UnsupportedVersion
from plait.wire.greeting import read_hello, welcome, welcome_message
from plait.wire.messages import (
    ERROR,
    HELLO,
    PING,
    SESSION_OPERATIONS,
    notification,
    now,
    response,
)
from plait.wire.session import SequenceGap

if TYPE_CHECKING:
    from plait.hub.client import LiveClient
    from plait.hub.clients import LiveClients
    from plait.hub.contracts import Principal
    from plait.hub.dispatch import Dispatch
    from plait.hub.outbox import Traffic
    from plait.hub.reply import Reply
    from plait.transport.base import Transport
    from plait.wire.errors import PlaitError
    from plait.wire.messages import Hello, Message

HELLO_WITHIN_S: Final = 10.0
GOODBYE: Final = 1000
"""The close code (RFC 6455, section 7.4.1) of a client that does not mean to come back to its session."""

_MOST_EARLY: Final = 256 << 10
"""Bytes that a client may send between its hello and our answer, and 1 message for each KiB of it."""
_MOST_UNSETTLED: Final = 150_000
"""Messages of a client that wait for the store: more than fit into the 8 MiB that it may have on the way."""
_MOST_LOGGED: Final = 10
"""Bad messages of one connection that get a line in the log."""

_log = structlog.get_logger("plait.hub")


class Connection:
    """One connection of a client that the door has let in.

    Args:
        transport: just opened.
        principal: whose credential came with the upgrade.
        clients: the live sessions.
        dispatch: where messages go.
        traffic: counts.
    """

    __slots__ = (
        *("_bad", "_client", "_clients", "_dispatch", "_early", "_hello_timer", "_over"),
        *("_principal", "_resuming", "_text", "_traffic", "_transport"),
    )

    def __init__(
        self,
        transport: Transport,
        principal: Principal,
        clients: LiveClients,
        dispatch: Dispatch,
        traffic: Traffic,
    ) -> None:
        self._transport = transport
        self._text = transport.text
        self._principal = principal
        self._clients = clients
        self._dispatch = dispatch
        self._traffic = traffic
        self._client: LiveClient | None = None
        self._resuming = False
        self._over = False
        self._early: list[bytes] = []
        self._bad = 0
        self._hello_timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            HELLO_WITHIN_S, transport.close, 4000, f"no hello within {HELLO_WITHIN_S:.0f} s"
        )
        transport.on_message = self._message
        transport.on_close = self._closed

    # Messages

    def _message(self, data: bytes) -> None:
        self._traffic.messages_in += 1
        if self._resuming:
            self._early.append(data)
            if sum(map(len, self._early)) > _MOST_EARLY or len(self._early) > _MOST_EARLY >> 10:
                self._early.clear()
                self._transport.close(4000, "wait for the answer to hello")
            return
        try:
            message = decode(data, text=self._text)
        except (InvalidMessage, MessageTooLarge) as error:
            self._unreadable(data, error)
            return
        client = self._client
        if client is None:
            self._greet(message)
            return
        self._take(client, message)

    def _take(self, client: LiveClient, message: Message) -> None:
        try:
            fresh = client.session.receive(message)
        except SequenceGap as gap:
            self._transport.close(4002, str(gap))
            return
        except InvalidMessage as error:
            self._refuse(message, error)
            return
        if message.ack is not UNSET:
            client.outbox.flush()
        if not fresh:
            return
        if client.session.received - client.session.ack > _MOST_UNSETTLED:
            self._clients.lose(client, 4003, "too much that is not settled yet")
            return
        if message.operation in SESSION_OPERATIONS:
            self._beside(client, message)
        elif message.message_type == "response":
            client.answered(message)
            client.settled(message)
        else:
            self._dispatch.take(client, message)

    def _beside(self, client: LiveClient, message: Message) -> None:
        if message.operation == HELLO:
            self._transport.close(4000, "a second hello")
        elif message.operation == PING and message.message_type == "request":
            client.outbox.beside(response(message, timestamp=now()))
        elif message.operation == ERROR:
            self._note("client reports an error", None if message.error is UNSET else message.error.detail)

    def _unreadable(self, data: bytes, error: PlaitError) -> None:
        """Answer what cannot be read; what can be read of it keeps the numbering whole."""
        read = envelope(data, text=self._text)
        client = self._client
        if client is None:
            self._refuse(read, error)
            return
        try:
            numbered = read.seq is not UNSET and read.operation not in SESSION_OPERATIONS
            if numbered and not client.session.receive(read):
                return
        except SequenceGap as gap:
            self._transport.close(4002, str(gap))
            return
        except InvalidMessage:
            pass  # the number itself is at fault, and the problem says so
        self._refuse(read, error)
        client.settled(read)

    def _refuse(self, message: Message, error: PlaitError) -> None:
        self._traffic.messages_bad += 1
        self._note("bad message", f"{error.code}: {error.detail}")
        if self._client is not None:
            self._client.complain(message, error)
            return
        problem = notification(ERROR, correlation_id=message.message_id, error=error.problem())
        self._send(problem)

    # Hello

    def _greet(self, message: Message) -> None:
        try:
            hello = read_hello(message)
        except (InvalidMessage, UnsupportedVersion) as error:
            if message.operation == HELLO and message.message_id is not UNSET:
                self._send(response(message, error=error.problem()))
            else:
                self._refuse(message, error)
                self._transport.close(4000, "no hello")
            return
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None
        if self._principal.credential in self._clients.revoked:
            self._transport.close(REVOKED, "its credential was taken back")
            return
        if hello.session is None:
            self._open(message, hello, None)
            return
        client = self._clients.find(hello.session, self._principal)
        if client is not None and client.session.resumable(hello.ack):
            self._open(message, hello, client)
            return
        if client is not None:
            self._clients.lose(client, 4001, "could not be resumed")
        self._resuming = True
        marked = self._clients.marked(hello.session, str(self._principal))
        marked.then(lambda reply: self._renew(message, hello, reply))

    def _renew(self, message: Message, hello: Hello, marked: Reply[int]) -> None:
        """Begin anew with a client whose session is not live; the store knows how far it was committed."""
        if self._over:
            return
        try:
            committed = marked.result()
        except NotKept as error:
            self._transport.close(1011, f"the store failed: {error}")
            return
        self._resuming = False
        self._open(message, hello, None, committed=committed)
        early, self._early = self._early, []
        for data in early:
            self._message(data)

    def _open(self, message: Message, hello: Hello, known: LiveClient | None, *, committed: int = 0) -> None:
        """Go on with a live session, or begin one."""
        client = known or self._clients.begin(self._principal)
        opened = welcome(
            hello,
            None if known is None else known.session,
            committed=committed,
            window=self._clients.window,
            time=now(),
            begin=lambda: client.session,
        )
        self._client = client
        client.journals = hello.journal
        # All of it before the session is joined: nothing new may come before the welcome, nor between it
        # and what is sent again.
        self._send(welcome_message(message, opened))
        for missed in opened.again:
            self._send(missed)
        self._clients.join(client, self._transport, self._principal.credential)
        client.outbox.flush()
        self._say_connected(hello, resumed=opened.welcome.resumed)

    # The connection itself

    def _send(self, message: Message) -> None:
        try:
            self._transport.send(encode(message, text=self._text))
        except TransportClosed:
            return

    def _closed(self, code: int, reason: str) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None
        self._over = True
        client = self._client
        if client is None:
            return
        self._clients.part(client, self._transport, goodbye=code == GOODBYE)
        _log.info("disconnected", client=str(self._principal), session=client.id, code=code, reason=reason)

    def _say_connected(self, hello: Hello, *, resumed: bool) -> None:
        assert self._client is not None  # noqa: S101 - just set
        _log.info(
            "connected",
            client=str(self._principal),
            session=self._client.id,
            peer=self._transport.peer,
            software=hello.software[:80],
            resumed=resumed,
        )

    def _note(self, text: str, detail: Any) -> None:
        self._bad += 1
        if self._bad <= _MOST_LOGGED:
            _log.warning(text, client=str(self._principal), detail=str(detail)[:200])
