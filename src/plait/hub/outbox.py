"""What goes to one session, bounded in bytes.

Commands, responses and events are never dropped: they are numbered at once and kept by the session until they
    are
acknowledged, and one that does not fit ends the session (or is refused as `Busy`, where someone waits for the
answer). Values may be replaced by newer ones: while the receiver is slow they wait here, unnumbered, one for
each property.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from plait.transport.base import TransportClosed
from plait.wire.codec import encode
from plait.wire.errors import Busy, InvalidMessage, MessageTooLarge, SessionLost
from plait.wire.session import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.hub.contracts import Notice
    from plait.transport.base import Transport
    from plait.wire.codec import Encoded
    from plait.wire.messages import Message
    from plait.wire.session import Session

SLOW: Final = 64 << 10
"""Bytes that the kernel has not taken, from which on values wait."""

UNREAD: Final = 256 << 10
"""Bytes that the program at the other end has not acknowledged, from which on values wait."""

COMMANDS: Final = 1 << 20
"""Unacknowledged bytes from which on a thing takes no further commands: it would get to them too late."""

STUCK: Final = LIMIT + (1 << 20)
"""Bytes that the kernel has not taken at which a client is given up, whatever they are."""

_log = structlog.get_logger("plait.hub")


@dataclass(slots=True)
class Traffic:
    """What has passed, over all connections."""

    messages_in: int = 0
    messages_out: int = 0
    messages_bad: int = 0


class Outbox:
    """Writes to whatever connection carries the session now, or keeps for the next one.

    Args:
        session: numbers and keeps.
        overflow: called when the session cannot be held any more.
        traffic: counts what is sent.

    Attributes:
        waiting: bytes of values that wait for the receiver.
    """

    __slots__ = ("_latest", "_overflow", "_session", "_text", "_traffic", "_transport", "waiting")

    def __init__(self, session: Session, overflow: Callable[[], None], traffic: Traffic) -> None:
        self._session = session
        self._overflow = overflow
        self._traffic = traffic
        self._transport: Transport | None = None
        self._text = True
        self._latest: dict[tuple[str, str], Encoded] = {}
        self.waiting = 0

    def attach(self, transport: Transport | None) -> None:
        """Write to this connection from now on, or to none."""
        self._transport = transport
        if transport is not None:
            self._text = transport.text

    def post(self, encoded: Encoded) -> None:
        """Send what must arrive.

        Raises:
            MessageTooLarge, InvalidMessage: it cannot be encoded.
        """
        try:
            data = self._session.send_encoded(encoded, text=self._text)
        except SessionLost:
            self._overflow()
            return
        self._write(data)

    def command(self, encoded: Encoded) -> None:
        """Send what somebody waits for. Raises `Busy` where too much waits already."""
        if self._session.buffered > COMMANDS:
            raise Busy("the thing has not yet taken its earlier commands")
        self.post(encoded)

    def offer(self, notice: Notice) -> None:
        """Send a notification; while the receiver is slow, only the newest of its key."""
        try:
            if notice.key is None or (not self._latest and self._roomy()):
                self.post(notice.encoded)
                return
            self._keep_latest(notice.key, notice.encoded)
        except (MessageTooLarge, InvalidMessage) as error:
            _log.warning("notification dropped", session=self._session.id, error=str(error))

    def beside(self, message: Message) -> None:
        """Send a message that has no number and is not kept: `hello`, `ack`, `ping`, `error`."""
        self._write(encode(message, text=self._text))
        # What is numbered is bounded by the session; this is not, and whoever makes us say it may not listen.
        if self._transport is not None and self._transport.buffered > STUCK:
            self._overflow()

    def flush(self) -> None:
        """Send values that waited, as far as there is room."""
        while self._latest and self._roomy():
            encoded = self._latest.pop(next(iter(self._latest)))
            self.waiting -= len(encoded.body(text=self._text))
            self.post(encoded)

    def _roomy(self) -> bool:
        transport = self._transport
        return transport is not None and self._session.buffered < UNREAD and transport.buffered < SLOW

    def _keep_latest(self, key: tuple[str, str], encoded: Encoded) -> None:
        older = self._latest.pop(key, None)
        if older is not None:
            self.waiting -= len(older.body(text=self._text))
        self._latest[key] = encoded
        self.waiting += len(encoded.body(text=self._text))
        if self.waiting > LIMIT:
            self._overflow()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            transport.send(data)
        except TransportClosed:
            return  # its on_close comes, and what was numbered is kept
        self._traffic.messages_out += 1
