"""Bytes to messages and back; what is examples lives in vectors/, this is what must hold for all."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.wire import codec, messages
from plait.wire.codec import Encoded
from plait.wire.errors import InvalidMessage, MessageTooLarge
from plait.wire.messages import MAX_MESSAGE, Hello, notification

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXT = pytest.mark.parametrize("text", [True, False], ids=["json", "msgpack"])

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.builds(
    messages.Message,
    message_type=st.sampled_from(["request", "response", "notification"]),
    operation=st.text(),
    message_id=st.text(),
    name=st.text(),
    value=JSON,
    data=JSON,
    timestamp=st.datetimes(timezones=st.just(UTC)),
)

# (message, its JSON text, its MessagePack bytes)
WIRE = [
    (
        notification("ack", ack=3),
        b'{"messageType":"notification","operation":"ack","ack":3}',
        b"\x83\xabmessageType\xacnotification\xa9operation\xa3ack\xa3ack\x03",
    ),
    (
        notification("observeproperty", name="t", value=None, timestamp=NOON),
        (
            b'{"messageType":"notification","operation":"observeproperty","name":"t","value":null,'
            b'"timestamp":"2026-01-01T12:00:00Z"}'
        ),
        (
            b"\x85\xabmessageType\xacnotification\xa9operation\xafobserveproperty\xa4name\xa1t\xa5value\xc0"
            b"\xa9timestamp\xb42026-01-01T12:00:00Z"
        ),
    ),
]


@pytest.mark.parametrize(("message", "json_text", "msgpack"), WIRE)
def test_wire_bytes(message, json_text, msgpack):
    assert codec.encode(message, text=True) == json_text
    assert codec.encode(message, text=False) == msgpack


@TEXT
@given(message=MESSAGES)
def test_what_is_encoded_is_decoded(message, text):
    assert codec.decode(codec.encode(message, text=text), text=text) == message


@given(message=MESSAGES)
def test_what_came_as_json_can_go_on_as_msgpack_and_back(message):
    once = codec.decode(codec.encode(message, text=True), text=True)
    again = codec.decode(codec.encode(once, text=False), text=False)
    assert again == message


@given(message=MESSAGES, seq=st.integers(1, 2**53), ack=st.none() | st.integers(0, 2**53))
@TEXT
def test_stamping_is_encoding_with_numbers(message, seq, ack, text):
    numbers = {"seq": seq} if ack is None else {"seq": seq, "ack": ack}
    stamped = Encoded(message).stamped(seq, ack, text=text)
    assert codec.decode(stamped, text=text) == msgspec.structs.replace(message, **numbers)


def test_stamping_a_message_with_every_member():
    """Sixteen members no longer fit MessagePack's short map."""
    full = messages.Message(
        message_type="response",
        operation="x",
        message_id="m",
        correlation_id="c",
        thing_id="urn:x",
        name="n",
        value=1,
        input=2,
        output=3,
        data=4,
        timestamp=NOON,
        deadline=NOON,
        call="c",
        error=InvalidMessage().problem(),
    )
    stamped = Encoded(full).stamped(7, 8, text=False)
    assert codec.decode(stamped, text=False) == msgspec.structs.replace(full, seq=7, ack=8)


def test_encoded_once_per_format():
    encoded = Encoded(notification("observeproperty", name="t", value=1))
    assert encoded.size == 0
    assert encoded.body(text=False) is encoded.body(text=False)
    size = encoded.size
    assert encoded.body(text=True) is encoded.body(text=True)
    assert encoded.size == size


@TEXT
@given(data=st.binary(max_size=200))
@settings(max_examples=300)
def test_garbage_is_refused_and_nothing_else(data, text):
    try:
        codec.decode(data, text=text)
    except InvalidMessage:
        codec.envelope(data, text=text)


@TEXT
def test_size_limit_is_exact(text):
    room = MAX_MESSAGE - len(codec.encode(notification("x", value="a" * 70_000), text=text)) + 70_000
    data = codec.encode(notification("x", value="a" * room), text=text)
    assert len(data) == MAX_MESSAGE
    assert codec.decode(data, text=text).operation == "x"
    with pytest.raises(MessageTooLarge):
        codec.encode(notification("x", value="a" * (room + 1)), text=text)
    with pytest.raises(MessageTooLarge):
        codec.decode(data + b" ", text=text)


def test_envelope_of_a_message_that_is_too_large():
    big = b'{"messageType":"request","operation":"x","value":"%b","messageID":"m","seq":7}' % (b"a" * 2**20)
    read = codec.envelope(big, text=True)
    assert (read.message_type, read.operation, read.message_id, read.seq) == ("request", "x", "m", 7)


@TEXT
def test_nesting_beyond_reason_is_refused(text):
    deep = b"[" * 100_000 + b"]" * 100_000 if text else b"\x91" * 100_000 + b"\xc0"
    head = codec.encode(notification("x", value=0), text=text)
    data = head[:-2] + deep + b"}" if text else head[:-1] + deep
    with pytest.raises(InvalidMessage):
        codec.decode(data, text=text)
    assert codec.envelope(data, text=text).message_type == "notification"


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, "\ud800", {"a": {1, object()}}])
@TEXT
def test_what_is_not_json_cannot_be_sent(value, text):
    with pytest.raises(InvalidMessage):
        codec.encode(notification("x", value=value), text=text)


@pytest.mark.parametrize("name", ["timestamp", "deadline"])
@TEXT
def test_time_without_offset_cannot_be_sent(name, text):
    with pytest.raises(InvalidMessage) as refused:
        codec.encode(notification("x", **{name: NOON.replace(tzinfo=None)}), text=text)
    assert refused.value.field == f"/{name}"


def test_integers_beyond_msgpack_travel_as_floats():
    data = codec.encode(notification("x", value={"a": [2**80, 1, True]}), text=False)
    assert codec.decode(data, text=False).value == {"a": [float(2**80), 1, True]}


def test_unknown_members_are_ignored():
    data = json.dumps({"messageType": "notification", "operation": "ack", "ack": 1, "x-new": {"a": 1}})
    assert codec.decode(data.encode(), text=True) == notification("ack", ack=1)


@pytest.mark.parametrize(
    ("value", "field"),
    [({"session": 5}, "/input/session"), ({"ack": "1"}, "/input/ack"), ([], "/input"), (None, "/input")],
)
def test_convert_says_where(value, field):
    with pytest.raises(InvalidMessage) as refused:
        codec.convert(value, Hello, field="/input")
    assert refused.value.field == field


def test_convert_of_an_absent_member():
    with pytest.raises(InvalidMessage):
        codec.convert(msgspec.UNSET, Hello, field="/input")
