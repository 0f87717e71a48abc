"""A session: numbers, acknowledgements and what to send again. It outlives the connections that carry it.

No clock, no sockets: the owner sends what `send` returns, gives what arrives to `receive`, and after a break
sends what `resume` (or, where the other side has forgotten us, `renumber`) returns. Both ends use this one
class; `docs/protocol.md`, section 3, is the rule.

    send ──▶ kept (seq 1, 2, 3 …) ──▶ ack ≤ n from the other side ──▶ forgotten
    receive ──▶ seen once, in order ──▶ settled (kept for good) ──▶ our ack
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from plait.wire.codec import Encoded
from plait.wire.errors import InvalidMessage, SessionLost
from plait.wire.messages import ACK, END_LINK, LINK, SESSION_OPERATIONS, SIGNAL, notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from plait.wire.messages import Message

_OF_A_SESSION: Final = frozenset({SIGNAL, LINK, END_LINK})
"""What means the session alone in which it was sent."""

LIMIT: Final = 8 << 20
"""How much may wait for an acknowledgement, in encoded bytes."""


class SequenceGap(Exception):
    """A message was lost on the way: close the connection with 4002; the resume that follows brings it again.

    Attributes:
        expected: the `seq` that was due.
        got: the one that came.
    """

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"expected message {expected}, got {got}")
        self.expected = expected
        self.got = got


class Session:
    """One end of a session.

    Attributes:
        id: the hub's name for it; empty until the first `Welcome`.
        ack: every message of the other side up to this `seq` is settled: what we tell it.
        received: the highest `seq` that came.
        sent: the highest `seq` given out.
        acked: the highest of our own that the other side has acknowledged.
        buffered: encoded bytes that wait for an acknowledgement.
        dropped: what the last session held when it was lost, and what meant that session alone: answers that
            the other side may not have heard, signals.
        forgotten: called with each message of ours that the other side has acknowledged; it must not send.
    """

    __slots__ = (
        *("_kept", "_limit", "_settled", "_told", "ack", "acked"),
        *("buffered", "dropped", "forgotten", "id", "received", "sent"),
    )

    def __init__(self, id: str = "", *, limit: int = LIMIT) -> None:  # noqa: A002 - the protocol's name for it
        self.id = id
        self.forgotten: Callable[[Encoded], None] | None = None
        self.dropped: list[Message] = []
        self._limit = limit
        self._restart()

    def _restart(self) -> None:
        self.ack = self.received = self.sent = self.acked = self.buffered = 0
        self._told = 0
        # All of acked + 1 … sent, so that a message's place tells its number.
        self._kept: deque[Encoded] = deque()
        self._settled: set[int] = set()  # out of order: above `ack`, with a hole below

    # Sending

    def send(self, message: Message) -> Message:
        """Number a message and keep it until it is acknowledged; return it as it is to be sent.

        An `ack` that is due rides along. The operations beside the session (`hello`, `ack`, `ping`, `error`)
        get no number and are not kept.

        Raises:
            SessionLost: more than the limit would wait for an acknowledgement. Nothing has changed: the
                caller may give up the message, or the session.
            MessageTooLarge, InvalidMessage: it cannot be encoded. Nothing has changed.
        """
        if message.operation in SESSION_OPERATIONS:
            return self._with_ack(message)
        return self._with_ack(msgspec.structs.replace(message, seq=self._keep(Encoded(message))))

    def send_encoded(self, encoded: Encoded, *, text: bool) -> bytes:
        """Do as `send` for a message that goes to many: only its numbers are encoded anew.

        It must not be one of the operations beside the session.
        """
        seq = self._keep(encoded, text=text)
        ack = self.ack if self.ack_due() else None
        self._told = self.ack
        return encoded.stamped(seq, ack, text=text)

    def _keep(self, encoded: Encoded, *, text: bool = True) -> int:
        encoded.body(text=text)  # now, so that what cannot be encoded takes no number
        if self.buffered + encoded.size > self._limit:
            raise SessionLost(f"More than {self._limit} bytes wait for an acknowledgement")
        return self._append(encoded)

    def _append(self, encoded: Encoded) -> int:
        self._kept.append(encoded)
        self.buffered += encoded.size
        self.sent += 1
        return self.sent

    def _with_ack(self, message: Message) -> Message:
        if not self.ack_due():
            return message
        self._told = self.ack
        return msgspec.structs.replace(message, ack=self.ack)

    def unacknowledged(self) -> Sequence[Message]:
        """Return what waits for an acknowledgement, in order, with its numbers: what a resume sends again."""
        first = self.acked + 1
        return [
            msgspec.structs.replace(encoded.message, seq=seq) for seq, encoded in enumerate(self._kept, first)
        ]

    # Receiving

    def receive(self, message: Message) -> bool:
        """Take a message's numbers; return whether it is new. What is not new is to be dropped.

        Raises:
            SequenceGap: one before it is missing.
            InvalidMessage: it lacks its number. It counts as not received.
        """
        if message.ack is not UNSET:
            self._acknowledged(min(message.ack, self.sent))
        if message.operation in SESSION_OPERATIONS:
            return True
        if message.seq is UNSET or message.seq < 1:
            raise InvalidMessage("Every message of a session carries its number", field="/seq")
        if message.seq <= self.received:
            return False
        if message.seq != self.received + 1:
            raise SequenceGap(self.received + 1, message.seq)
        self.received = message.seq
        return True

    def settled(self, seq: int) -> None:
        """Note that a received message is kept for good. They may settle in any order; `ack` has no holes."""
        if not self.ack < seq <= self.received:
            return
        if seq > self.ack + 1:
            self._settled.add(seq)
            return
        self.ack = seq
        while self.ack + 1 in self._settled:
            self.ack += 1
            self._settled.discard(self.ack)

    def ack_due(self) -> bool:
        """Return whether something settled that the other side was not told of."""
        return self.ack > self._told

    def acknowledgement(self) -> Message | None:
        """Return an `ack` to send by itself, or None where nothing is due."""
        return self._with_ack(notification(ACK)) if self.ack_due() else None

    def _acknowledged(self, ack: int) -> None:
        while self.acked < ack:
            encoded = self._kept.popleft()
            self.buffered -= encoded.size
            self.acked += 1
            if self.forgotten is not None:
                self.forgotten(encoded)

    # Breaks

    def resumable(self, ack: int) -> bool:
        """Return whether all that the other side lacks, which kept ours up to `ack`, is still here."""
        return self.acked <= ack <= self.sent

    def resume(self, ack: int) -> list[Message]:
        """Go on after a break: drop what `ack` covers, return the rest, to be sent again as it is."""
        self._acknowledged(min(ack, self.sent))
        return list(self.unacknowledged())

    def renumber(self, id: str, ack: int, *, first: Iterable[Message] = ()) -> list[Message]:  # noqa: A002 - as above
        """Begin anew as session `id`, both numberings at 1; return all that is to be sent, in order.

        Args:
            id: the new session.
            ack: in the old numbers: what it covers is dropped. Of the rest, responses and signals are
                dropped too, since they meant the old session alone.
            first: messages that must go before everything else, such as a thing's description.
        """
        self._acknowledged(min(ack, self.sent))
        again = [encoded for encoded in self._kept if not _means_the_session(encoded.message)]
        self.dropped = [encoded.message for encoded in self._kept if _means_the_session(encoded.message)]
        self._restart()
        self.id = id
        for message in first:
            encoded = Encoded(message)
            encoded.body(text=True)
            self._append(encoded)
        for encoded in again:
            self._append(encoded)
        return list(self.unacknowledged())


def _means_the_session(message: Message) -> bool:
    return message.message_type == "response" or message.operation in _OF_A_SESSION
