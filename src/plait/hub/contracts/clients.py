"""Live sessions, and whoever else sends a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from plait.wire.errors import OutcomeUnknown

if TYPE_CHECKING:
    from datetime import datetime

    from plait.hub.contracts.access import Principal
    from plait.hub.contracts.bus import Notice
    from plait.hub.reply import Reply
    from plait.wire.codec import Encoded
    from plait.wire.errors import Offline, PlaitError
    from plait.wire.messages import Message


@dataclass(frozen=True, slots=True)
class Mark:
    """How far into a session something reaches: written in the same transaction as what it covers.

    Attributes:
        session: the session's id.
        principal: whose session it is.
        seq: every message up to this one is settled once the transaction is committed.
    """

    session: str
    principal: str
    seq: int


class SessionEnded(OutcomeUnknown):
    """The session of whoever was asked ended before the answer.

    Attributes:
        journals: whether asking again is safe: see `Client.journals`.
    """

    def __init__(self, *, journals: bool) -> None:
        super().__init__("the thing's session ended before it answered")
        self.journals = journals


class Caller(Protocol):
    """Whoever sent a message: a live session, or a single HTTP request."""

    @property
    def principal(self) -> Principal:
        """Who it is."""

    @property
    def crowded(self) -> bool:
        """Whether so many of its requests are being worked on that it gets no more for now."""

    def mark(self, message: Message) -> Mark | None:
        """Return what is to be committed together with this message; nothing for an HTTP request."""

    def settled(self, message: Message) -> None:
        """Say that this message is kept for good, so that it may be acknowledged."""

    def unkept(self, message: Message, error: BaseException) -> None:
        """Say that this message could not be committed: it is never acknowledged, and its session is over."""


class Client(Caller, Protocol):
    """A live session: it outlives its connections, and can be told and asked things."""

    @property
    def id(self) -> str:
        """The session's id."""

    @property
    def connected(self) -> bool:
        """Whether a connection carries it now."""

    @property
    def authority(self) -> str:
        """The host and port by which its connection called this hub, as its Host header says."""

    def tell(self, notice: Notice) -> None:
        """Send a notification. A client that does not read loses its session; nobody else notices."""

    def question(self, operation: str, /, key: str = "", **members: Any) -> Encoded:
        """Return a request that is ready to be asked once, encoded.

        Args:
            operation: of docs/protocol.md, section 4.
            key: its message id, where it may have to be asked again; absent, a new one.
            members: the request's other members.

        Raises:
            MessageTooLarge, InvalidMessage: it cannot be encoded.
        """

    def ask(self, question: Encoded, until: datetime) -> Reply[Message]:
        """Send a question; the reply is its response.

        It fails with the problem in the response, with `Timeout` soon after that time, with `SessionEnded`
        where the session ended before. Raises `Busy` at once where too much waits already.

        Args:
            question: from `question`.
            until: the time after which the answer is of no use.
        """

    @property
    def journals(self) -> bool:
        """Whether it answers an action that is asked again, after a restart too, as it did the first time."""

    @property
    def credential(self) -> str:
        """The id of the credential that its last connection came with."""

    @property
    def revoked(self) -> bool:
        """Whether the credential that it came with was taken back: its session is over for that reason."""

    @property
    def asleep(self) -> datetime | None:
        """Until when it sleeps; None while it is awake, or away without a word."""

    def sleep(self, until: datetime) -> None:
        """Take note that it goes away until then: its session is kept as long."""

    def watch(self, topic: str) -> None:
        """Tell this client every notice of a topic, for as long as its session lives."""

    def unwatch(self, topic: str) -> None:
        """End that."""


class Clients(Protocol):
    """The live sessions."""

    def thing(self, thing: str) -> Client:
        """Return the connected session of a thing. Raises `Offline`."""

    def online(self, thing: str) -> bool:
        """Return whether a connection carries the thing's session now, and it is awake."""

    def asleep(self, thing: str) -> datetime | None:
        """Return until when a thing sleeps, if it does."""

    def absence(self, thing: str, deadline: datetime) -> Offline | None:
        """Return why a thing can be asked nothing before this time: it is away, or sleeps longer."""

    def here(self, thing: str, until: datetime, late: PlaitError) -> Reply[None]:
        """Return a reply that is there when the thing comes, or fails with `late` at that time."""


class CallServers(Protocol):
    """Which STUN and TURN servers the two ends of a call, or of a link, may use; `rooms/ice` is it."""

    def opened(self, call: str, thing: str, ends: tuple[Client, Client]) -> None:
        """Note who is in a call, or in it again."""

    def servers(self, call: str, end: Client) -> list[dict[str, Any]]:
        """Return W3C `RTCIceServer` objects for one end, with credentials of this call's."""

    def heard(self, call: str, end: Client, signal: Any) -> None:
        """Look at a signal of this end's for candidates: the other end's relays may send to them."""

    def over(self, call: str, *, back_within: float = 0.0) -> None:
        """Note that a call is over: its relays end, at once or unless it is opened again in these seconds."""


def call_key(call: str) -> str:
    """Return what `CallServers` knows a call by: apps may choose its id, and it must not be a link's."""
    return f"call/{call}"


def link_key(link: str) -> str:
    """Return what `CallServers` knows a link by."""
    return f"link/{link}"
