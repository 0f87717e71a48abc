"""The messages of the wire: the vocabulary of the W3C Web Thing Protocol draft, and our extension members.

One flat structure, since the draft's messages differ by `messageType` and `operation` together and share
nearly all members. `docs/protocol.md` is the specification; this file is its types.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from plait.wire.errors import Problem

PROTOCOL: Final = 1
"""The highest version that we speak, said in `hello`; the hub picks the highest that both know."""

OLDEST_PROTOCOL: Final = 1
"""The lowest version that we still speak."""

MAX_MESSAGE: Final = 1 << 20
"""Largest encoded message, in bytes."""

SUBPROTOCOL_JSON: Final = "plait.v1.json"
SUBPROTOCOL_MSGPACK: Final = "plait.v1.msgpack"

MessageType = Literal["request", "response", "notification"]

# Operations of the W3C draft (spelt as in TD 1.1, section 5.3.4.2).
READ_PROPERTY: Final = "readproperty"
READ_ALL_PROPERTIES: Final = "readallproperties"
WRITE_PROPERTY: Final = "writeproperty"
OBSERVE_PROPERTY: Final = "observeproperty"
OBSERVE_ALL_PROPERTIES: Final = "observeallproperties"
UNOBSERVE_ALL_PROPERTIES: Final = "unobserveallproperties"
INVOKE_ACTION: Final = "invokeaction"
SUBSCRIBE_EVENT: Final = "subscribeevent"
SUBSCRIBE_ALL_EVENTS: Final = "subscribeallevents"
UNSUBSCRIBE_ALL_EVENTS: Final = "unsubscribeallevents"

# Operations that the draft lacks.
HELLO: Final = "hello"
ACK: Final = "ack"
PING: Final = "ping"
DESCRIBE_THING: Final = "describething"
OBSERVE_THINGS: Final = "observethings"
SLEEP: Final = "sleep"
READ_HISTORY: Final = "readhistory"
READ_STATISTICS: Final = "readstatistics"
READ_PICTURE: Final = "readpicture"
OPEN_CALL: Final = "opencall"
ICE_SERVERS: Final = "iceservers"
SIGNAL: Final = "signal"
OPEN_LINK: Final = "openlink"
LINK: Final = "link"
END_LINK: Final = "endlink"
KEEP_LINKS: Final = "keeplinks"
PAIR: Final = "pair"
UNPAIR: Final = "unpair"
READ_PAIRINGS: Final = "readpairings"
READ_IDENTITY: Final = "readidentity"
GRANT: Final = "grant"
REVOKE: Final = "revoke"
ERROR: Final = "error"

SESSION_OPERATIONS: Final = frozenset({HELLO, ACK, PING, ERROR})
"""These run beside the session: they carry no `seq` and are never sent again."""


class Message(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One message, in either direction.

    Attributes:
        message_type: request, response or notification.
        operation: one of the constants above; a response repeats its request's.
        message_id: unique per message of its sender; for an action it is the idempotency key.
        correlation_id: in a response, the `message_id` of its request.
        thing_id: the thing meant (a URN or any URI; the `id` of its description).
        name: the property, action or event meant.
        value: a property's value, or what an operation on things gives back.
        input: an action's input.
        output: an action's output, or what an operation of ours gives back.
        data: an event's data, or a signal.
        timestamp: when the value was true, by the sender's clock; always with a UTC offset.
        deadline: after this time the command must not be run any more.
        call: the call that a signal belongs to.
        seq: place in the sender's session, from 1, without gaps.
        ack: every message of the other side up to this `seq` is kept for good.
        error: present instead of a result where the operation failed.
    """

    message_type: MessageType = msgspec.field(name="messageType")
    operation: str
    message_id: str | UnsetType = msgspec.field(default=UNSET, name="messageID")
    correlation_id: str | UnsetType = msgspec.field(default=UNSET, name="correlationID")
    thing_id: str | UnsetType = msgspec.field(default=UNSET, name="thingID")
    name: str | UnsetType = UNSET
    value: Any = UNSET
    input: Any = UNSET
    output: Any = UNSET
    data: Any = UNSET
    timestamp: datetime | UnsetType = UNSET
    deadline: datetime | UnsetType = UNSET
    call: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    ack: int | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class Hello(msgspec.Struct, omit_defaults=True, kw_only=True, rename="camel"):
    """What the side that dials in says first: the `input` of a `hello` request.

    Attributes:
        protocol: highest protocol version known; whoever says none speaks 1.
        software: name and version, for people and logs ("plait/0.1.0 python/3.11").
        session: the session to resume, if there was one.
        ack: with `session`, the last `seq` of the other side that was kept.
        journal: a thing that journals its actions: asked again under the same message id, even after it was
            restarted, it answers what it answered then, and does nothing twice.
    """

    protocol: int = 1
    software: str = ""
    session: str | None = None
    ack: int = 0
    journal: bool = False


class Welcome(msgspec.Struct, kw_only=True, rename="camel"):
    """What the hub answers: the `output` of the `hello` response.

    Attributes:
        protocol: the version that this connection speaks.
        session: this session's id.
        resumed: both sides continue; otherwise both numberings start again at 1.
        ack: the last `seq` of the dialling side that is kept. Where `resumed` is false it counts in the old
            session's numbers: the dialler drops what it covers and sends the rest again under new numbers.
        window: seconds for which the hub keeps this session after a break.
        time: the hub's clock.
    """

    protocol: int
    session: str
    resumed: bool
    ack: int
    window: float
    time: datetime


class Sleep(msgspec.Struct, kw_only=True):
    """What a thing says before it sleeps: the `input` of a `sleep` request.

    Attributes:
        until: when it means to wake, by the hub's clock.
    """

    until: datetime


class PropertyState(msgspec.Struct, omit_defaults=True):
    """A property's last known value and when it was true."""

    value: Any
    timestamp: datetime


class Presence(msgspec.Struct, omit_defaults=True):
    """Whether a thing is connected to the hub, and since when it is so.

    Attributes:
        state: `asleep` is away by intention: it comes back by itself.
        since: by the hub's clock.
        until: of a sleeping thing, when it means to wake.
    """

    state: Literal["online", "offline", "asleep"]
    since: datetime
    until: datetime | None = None


class ThingState(msgspec.Struct, omit_defaults=True):
    """A thing as the hub knows it: an item of the `observethings` response, and its notifications' `value`.

    Attributes:
        description: its Thing Description 1.1, as plain data.
        presence: whether it is connected.
        properties: last known values by name; empty in notifications, which tell of the other two.
    """

    description: dict[str, Any]
    presence: Presence
    properties: dict[str, PropertyState] = {}


_IDS: Final = Random()  # noqa: S311 - ids need be unique, not secret; seeded by the system, no call to it for each
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_IDS.seed)


def new_id() -> str:
    """Return a fresh message id: 128 random bits."""
    return f"{_IDS.getrandbits(128):032x}"


def now() -> datetime:
    """Return the time of this machine's clock, in UTC."""
    return datetime.now(UTC)


def request(operation: str, **members: Any) -> Message:
    """Return a request with a fresh id."""
    return Message(message_type="request", operation=operation, message_id=new_id(), **members)


def response(to: Message, **members: Any) -> Message:
    """Return the response to a request."""
    return Message(
        message_type="response",
        operation=to.operation,
        correlation_id=to.message_id,
        thing_id=to.thing_id,
        name=to.name,
        **members,
    )


def notification(operation: str, **members: Any) -> Message:
    """Return a notification: nobody answers it."""
    return Message(message_type="notification", operation=operation, **members)
