"""What the parts of the hub promise each other.

Rooms know this file and `plait.wire`, never each other and never the parts behind these names; `hub/main`
alone puts them together. A part can be exchanged (NATS for the bus, PostgreSQL for the store) where it keeps
its contract.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from plait.wire.errors import OutcomeUnknown
from plait.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.hub.reply import Reply
    from plait.wire.codec import Encoded
    from plait.wire.errors import Offline, PlaitError
    from plait.wire.messages import MessageType, Presence, PropertyState

Kind = Literal["thing", "user", "service"]
Verb = Literal["read", "control", "watch", "talk", "manage"]
"""What a principal may do with a thing.

See it and its values; set and run it; see its picture; speak through it; administer it.
"""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is at the other end, as its credential says.

    Attributes:
        kind: a device, a person, or a program that acts for itself.
        id: a thing's id, or a user's or service's name.
        credential: the public id of the credential that it came with; of no account in who it is.
    """

    kind: Kind
    id: str
    credential: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class Access(Protocol):
    """The one place that says who may do what."""

    def may(self, principal: Principal, thing: str, verb: Verb) -> bool:
        """Return whether this principal may do this with this thing."""

    def check(self, principal: Principal, thing: str, verb: Verb) -> None:
        """Raise `Forbidden`, or `UnknownThing` where the principal may not even know of the thing."""


# Bus
# ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Notice:
    """One notification on its way to many.

    Attributes:
        encoded: encoded once; each session numbers its own.
        key: where it is given, a newer notice of the same key may replace this one while the receiver is
            slow.
    """

    encoded: Encoded
    key: tuple[str, str] | None = None


class Bus(Protocol):
    """Publish and subscribe between the rooms and whoever watches."""

    def publish(self, topic: str, notice: Notice) -> None:
        """Hand a notice to every subscriber of the topic; one that raises disturbs no other."""

    def subscribe(self, topic: str, receive: Callable[[Notice], None]) -> Callable[[], None]:
        """Hand every later notice of the topic to `receive`; returns what ends that."""


def values_topic(thing: str) -> str:
    """Return the topic of a thing's property values."""
    return f"values/{thing}"


def events_topic(thing: str) -> str:
    """Return the topic of a thing's events."""
    return f"events/{thing}"


THINGS_TOPIC = "things"
"""Descriptions, and presence, of all things."""

# Connections
# ----------------------------------------------------------------------------------------------------


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


# Things
# ---------------------------------------------------------------------------------------------------------


class Affordance(Protocol):
    """A property, action or event of a thing's description, with its schemas compiled."""

    @property
    def readonly(self) -> bool:
        """Whether a property cannot be written."""

    def check(self, value: Any, member: str) -> None:
        """Raise `InvalidValue`, whose field is a JSON pointer that starts with this member of the message."""


@dataclass(slots=True)
class ThingRecord:
    """A thing as the hub knows it.

    Attributes:
        id: the `id` of its description.
        description: its Thing Description 1.1, as plain data.
        properties, actions, events: its affordances by name.
        presence: whether it is connected.
        values: the last committed value of each property.
    """

    id: str
    description: dict[str, Any]
    properties: Mapping[str, Affordance]
    actions: Mapping[str, Affordance]
    events: Mapping[str, Affordance]
    presence: Presence
    values: dict[str, PropertyState] = field(default_factory=dict)


class Things(Protocol):
    """The things that have described themselves."""

    def get(self, thing: str) -> ThingRecord:
        """Return a thing. Raises `UnknownThing`."""

    def all(self) -> Sequence[ThingRecord]:
        """Return every thing, in the order in which they were registered."""


# Things that use each other
# ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pairing:
    """The owner's word that one thing may use another, without the hub too.

    Attributes:
        id: new with each word.
        caller, thing: the one that uses, and the one that is used.
        verbs: what the caller may do: `read`, `control`.
        names: the properties, actions and events that it is limited to; None for all.
        until: microseconds since 1970, UTC; None for as long as it is not taken back.
        lease: seconds for which each permission holds; the hub gives new ones while it is there.
    """

    id: str
    caller: str
    thing: str
    verbs: tuple[Literal["read", "control"], ...]
    names: tuple[str, ...] | None
    until: int | None
    lease: int


class PairingStore(Protocol):
    """Where pairings are kept."""

    def seed(self) -> bytes:
        """Return the hub's private key for permissions: 32 bytes, the same for life."""

    def all(self) -> Sequence[Pairing]:
        """Return every pairing."""

    def keep(self, pairing: Pairing) -> None:
        """Keep one, in place of an earlier one of the same two."""

    def drop(self, pairing: Pairing) -> None:
        """Forget one."""


class Permissions(Protocol):
    """Says which thing may use which."""

    def permission(self, caller: str, thing: str) -> tuple[str, str]:
        """Return the pairing's id and the signed permission.

        Raises `Forbidden`, and `Busy` where the two have not said yet who they are.
        """

    def revoked(self, pairing: str) -> str:
        """Return why a pairing holds no more; empty where it does."""


# Store
# ----------------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
PATIENCE = timedelta(seconds=10)
"""How long an app's command without deadline may take."""


def microseconds(time: datetime) -> int:
    """Return a time as the store counts: microseconds since 1970, UTC, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """Return a time of the store as others count."""
    return _EPOCH + time * _MICROSECOND


class NotKept(Exception):
    """A write could not be committed. What asked for it is not acknowledged."""


Done = Callable[["BaseException | None"], None]
"""Called on the event loop when the write is committed, or with why it was not."""


@dataclass(slots=True)
class Reading:
    """A property's value at a time.

    Attributes:
        thing, name: whose.
        time: microseconds since 1970, UTC.
        value: JSON.
        known: it was here before: set by the store, to be read once it is committed.
    """

    thing: str
    name: str
    time: int
    value: bytes
    known: bool = False


@dataclass(slots=True)
class Happening:
    """An event that a thing told of; `data` is JSON, `time` and `known` as in `Reading`."""

    thing: str
    name: str
    time: int
    data: bytes
    known: bool = False


@dataclass(slots=True)
class Entry:
    """An action in the journal.

    Attributes:
        sender, message: who asked, and under which message id: the idempotency key.
        thing, name, input: what was asked; `input` is JSON, or nothing.
        deadline: microseconds since 1970, UTC.
        state: `pending` (may be at the device), `done` or `failed`.
        output: JSON of the output, or of the problem where it failed.
    """

    sender: str
    message: str
    thing: str
    name: str
    input: bytes | None
    deadline: int
    state: Literal["pending", "done", "failed"] = "pending"
    output: bytes | None = None


class Store(Protocol):
    """What outlives the process. Every write is committed with fsync before its `Done` is called."""

    def add_reading(self, reading: Reading, mark: Mark | None, done: Done) -> None:
        """Keep a reading, and take it as the property's last value.

        Of two of one property and time the later counts; where its value is the same, its `known` is set.
        """

    def add_event(self, event: Happening, mark: Mark | None, done: Done) -> None:
        """Keep an event. The same event twice is one; the second's `known` is set."""

    def marked(self, session: str, principal: str) -> Reply[int]:
        """Return how far a session was committed, once all that waits now is; 0 where it is not known."""

    def describe(self, thing: str, description: bytes, mark: Mark | None) -> Reply[None]:
        """Keep a thing's description. It fails with `NotKept`, as all of these do."""

    def open_action(self, entry: Entry, mark: Mark | None) -> Reply[bool]:
        """Journal an action before it is dispatched; False where its sender and message are there already."""

    def pending_actions(self) -> Sequence[Entry]:
        """Return the actions that an earlier hub journaled and did not see ended. Asked once, at start."""

    def close_action(self, entry: Entry) -> Reply[None]:
        """Journal how an action ended."""

    def action(self, sender: str, message: str) -> Reply[Entry | None]:
        """Return a journaled action."""

    def history(
        self, thing: str, name: str, start: int, end: int, limit: int
    ) -> Reply[list[tuple[int, bytes]]]:
        """Return the newest `limit` readings of `start <= time < end`, oldest first, as (time, JSON)."""

    def statistics(
        self, thing: str, name: str, start: int, end: int, width: int
    ) -> Reply[list[tuple[int, float, float, float, int]]]:
        """Return `start <= time < end` of a number in buckets of `width` microseconds, oldest first.

        Each is (its first microsecond, mean, minimum, maximum, how many readings); empty ones are left out.
        """


# Rooms
# ----------------------------------------------------------------------------------------------------------

Answer = Message | None
Later = Coroutine["Reply[Any]", None, Answer]
"""A coroutine that `reply.start` runs: it awaits `Reply`s, and nothing else."""

Handler = Callable[[Any, Message], Answer | Later]
"""Takes a `Caller` (a `Client` where the operation needs a session) and a message.

Returns the response, or something that gives it later. Raises `PlaitError` for a problem.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a room's table.

    Attributes:
        type: what kind of message it is.
        name: the operation.
        handle: what answers it.
        durable: the handler itself says `settled`, once its message is committed; otherwise the message is
            settled when the handler returns.
        session: it needs a live session: an HTTP request cannot ask for it.
        things: it is for devices only.
    """

    type: MessageType
    name: str
    handle: Handler
    durable: bool = False
    session: bool = False
    things: bool = False


class Room(Protocol):
    """A part of what the hub does. `hub/main` holds the table of rooms."""

    @property
    def operations(self) -> Sequence[Operation]:
        """What it answers."""

    def arrived(self, client: Client) -> None:
        """A session got a connection."""

    def left(self, client: Client) -> None:
        """A session lost its connection; it may come back."""

    def ended(self, client: Client) -> None:
        """A session is over."""


class Quiet:
    """The room that does not mind who comes and goes: a base for rooms."""

    def arrived(self, client: Client) -> None:
        """Nothing to do."""

    def left(self, client: Client) -> None:
        """Nothing to do."""

    def ended(self, client: Client) -> None:
        """Nothing to do."""
