"""The wire: messages, their bytes, sessions. No I/O, no clock; `docs/protocol.md` is the specification."""

from plait.wire.codec import Encoded, convert, decode, encode, envelope
from plait.wire.errors import PlaitError, Problem, from_problem
from plait.wire.messages import (
    MAX_MESSAGE,
    PROTOCOL,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    Hello,
    Message,
    Presence,
    PropertyState,
    ThingState,
    Welcome,
    notification,
    request,
    response,
)
from plait.wire.session import SequenceGap, Session

__all__ = [
    "MAX_MESSAGE",
    "PROTOCOL",
    "SUBPROTOCOL_JSON",
    "SUBPROTOCOL_MSGPACK",
    "Encoded",
    "Hello",
    "Message",
    "PlaitError",
    "Presence",
    "Problem",
    "PropertyState",
    "SequenceGap",
    "Session",
    "ThingState",
    "Welcome",
    "convert",
    "decode",
    "encode",
    "envelope",
    "from_problem",
    "notification",
    "request",
    "response",
]
