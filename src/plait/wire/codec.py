"""Bytes to messages and back: JSON (RFC 8259) in text frames, MessagePack in binary ones.

Both forms hold the same JSON data model, so that the hub can hand on in one what it received in the other:
timestamps are RFC 3339 strings, keys are strings, numbers are finite. MessagePack values outside of it (byte
strings, extensions, NaN) are refused on the way in.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from plait.wire.errors import InvalidMessage, MessageTooLarge
from plait.wire.messages import MAX_MESSAGE, Message

T = TypeVar("T")

_JSON_ENCODER: Final = msgspec.json.Encoder()
_JSON_DECODER: Final = msgspec.json.Decoder(Message)
_MSGPACK_ENCODER: Final = msgspec.msgpack.Encoder()
_MSGPACK_DECODER: Final = msgspec.msgpack.Decoder(Message)

_FREE_MEMBERS: Final = ("value", "input", "output", "data")
"""The members whose type is "any JSON"."""

_INT64: Final = range(-(1 << 63), 1 << 64)
"""The integers that MessagePack can carry."""


def encode(message: Message, *, text: bool) -> bytes:
    """Return the message as JSON (`text`) or MessagePack.

    Raises:
        MessageTooLarge: it is over `MAX_MESSAGE` bytes.
        InvalidMessage: it holds something that is not JSON, or a timestamp without UTC offset.
    """
    _check_offsets(message)
    try:
        data = _JSON_ENCODER.encode(message) if text else _to_msgpack(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"Cannot be encoded: {error}") from error
    _check_size(len(data))
    return data


def decode(data: bytes, *, text: bool) -> Message:
    """Return the message that the bytes of one frame hold.

    Raises:
        MessageTooLarge: they are over `MAX_MESSAGE`.
        InvalidMessage: they are no message; `field` points to the member at fault, where there is one.
    """
    _check_size(len(data))
    try:
        message = (_JSON_DECODER if text else _MSGPACK_DECODER).decode(data)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (ValueError, RecursionError) as error:  # malformed, not UTF-8, or nested beyond reason
        raise InvalidMessage(str(error)) from error
    _check_offsets(message)
    if not text:
        _check_json(message)
    return message


def convert(value: Any, type: type[T], *, field: str) -> T:  # noqa: A002 - msgspec's own name for it
    """Return a message's free member as the type it must have, for example `input` as a `Hello`.

    Raises:
        InvalidMessage: it is not of that type; `field`, the member's JSON pointer, leads the error's.
    """
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        raise _invalid(error, prefix=field) from error


class _Envelope(msgspec.Struct):
    """What `envelope` looks for, of any type."""

    message_type: Any = msgspec.field(default=UNSET, name="messageType")
    operation: Any = UNSET
    message_id: Any = msgspec.field(default=UNSET, name="messageID")
    correlation_id: Any = msgspec.field(default=UNSET, name="correlationID")
    thing_id: Any = msgspec.field(default=UNSET, name="thingID")
    seq: Any = UNSET
    ack: Any = UNSET


def envelope(data: bytes, *, text: bool) -> Message:
    """Return what can still be read of bytes that `decode` refused.

    A bad member must neither break the numbering nor lose its answer: `seq`, `ack`, `messageID`,
    `correlationID`, `thingID` and `operation` (else empty) are set where they are sound. One that tells no
    type is a notification.
    """
    try:
        read = (msgspec.json if text else msgspec.msgpack).decode(data, type=_Envelope)
    except (ValueError, RecursionError):
        read = _Envelope()

    def sound(value: Any, kind: type) -> Any:
        return value if type(value) is kind else UNSET

    return Message(
        message_type=read.message_type if read.message_type in ("request", "response") else "notification",
        operation=read.operation if isinstance(read.operation, str) else "",
        message_id=sound(read.message_id, str),
        correlation_id=sound(read.correlation_id, str),
        thing_id=sound(read.thing_id, str),
        seq=sound(read.seq, int),
        ack=sound(read.ack, int),
    )


class Encoded:
    """A message on its way to many receivers: encoded once per format, numbered for each by `stamped`.

    Attributes:
        message: the message itself, without `seq` and `ack`; it must not change any more.
        size: in bytes, in the format that was asked for first; 0 before that.
    """

    __slots__ = ("_json", "_msgpack", "message", "size")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.size = 0
        self._json: bytes | None = None
        self._msgpack: bytes | None = None

    def body(self, *, text: bool) -> bytes:
        """Return the bytes without numbers; errors as `encode`."""
        body = self._json if text else self._msgpack
        if body is None:
            body = encode(self.message, text=text)
            if text:
                self._json = body
            else:
                self._msgpack = body
            self.size = self.size or len(body)
        return body

    def stamped(self, seq: int, ack: int | None, *, text: bool) -> bytes:
        """Return the bytes with `seq`, and `ack` where there is one, put in front of the other members."""
        body = self.body(text=text)
        if text:
            if ack is None:
                return b'{"seq":%d,' % seq + body[1:]
            return b'{"seq":%d,"ack":%d,' % (seq, ack) + body[1:]
        numbers = {"seq": seq} if ack is None else {"seq": seq, "ack": ack}
        count = (body[0] & 0x0F) + len(numbers)  # a fixmap: a message has at most 14 other members
        head = bytes((0x80 | count,)) if count < 16 else b"\xde\x00\x10"
        return head + _MSGPACK_ENCODER.encode(numbers)[1:] + body[1:]


def _to_msgpack(message: Message) -> bytes:
    # By way of plain data, since msgspec would write timestamps as MessagePack's extension type.
    plain = msgspec.to_builtins(message, str_keys=True)
    try:
        return _MSGPACK_ENCODER.encode(plain)
    except (
        OverflowError
    ):  # JSON has larger integers; RFC 8259, section 6: expect no more than a double's precision
        return _MSGPACK_ENCODER.encode(_narrowed(plain))


def _narrowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _narrowed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_narrowed(item) for item in value]
    return value if not isinstance(value, int) or value in _INT64 else float(value)


def _check_size(size: int) -> None:
    if size > MAX_MESSAGE:
        raise MessageTooLarge(f"{size} bytes; the limit is {MAX_MESSAGE}")


def _check_offsets(message: Message) -> None:
    if message.timestamp is not UNSET and message.timestamp.tzinfo is None:
        raise InvalidMessage("A timestamp needs a UTC offset", field="/timestamp")
    if message.deadline is not UNSET and message.deadline.tzinfo is None:
        raise InvalidMessage("A timestamp needs a UTC offset", field="/deadline")


def _check_json(message: Message) -> None:
    for name in _FREE_MEMBERS:
        value = getattr(message, name)
        if value is not UNSET:
            try:
                fault = _not_json(value)
            except RecursionError as error:
                raise InvalidMessage("Nested too deeply", field=f"/{name}") from error
            if fault is not None:
                raise InvalidMessage("Not a JSON value", field=f"/{name}{fault}")


def _not_json(value: Any) -> str | None:
    """Return the JSON pointer of the first thing inside that JSON does not know; None when all is well."""
    if value is None or isinstance(value, bool | int | str):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if (fault := _not_json(item)) is not None:
                return f"/{index}{fault}"
        return None
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return ""
            if (fault := _not_json(item)) is not None:
                return f"/{key.replace('~', '~0').replace('/', '~1')}{fault}"
        return None
    return ""


_AT: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_MISSING: Final = re.compile(r"^Object missing required field `([^`]+)`")


def _invalid(error: msgspec.ValidationError, prefix: str = "") -> InvalidMessage:
    """Turn msgspec's "… - at `$.error.title`" into the JSON pointer /error/title (RFC 6901)."""
    detail = str(error)
    pointer = ""
    if at := _AT.search(detail):
        detail = detail[: at.start()]
        pointer = at[1].replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
    if missing := _MISSING.match(detail):
        pointer += f"/{missing[1]}"
    return InvalidMessage(detail, field=prefix + pointer or None)
