"""What the scripts in vectors/session.json and the model do not show of a session."""

from __future__ import annotations

import pytest

from plait.wire import codec
from plait.wire.codec import Encoded
from plait.wire.errors import InvalidMessage, MessageTooLarge, SessionLost
from plait.wire.messages import MAX_MESSAGE, notification
from plait.wire.session import LIMIT, SequenceGap, Session


def note(value):
    return notification("observeproperty", name="t", value=value)


def test_gap_says_what_was_due():
    with pytest.raises(SequenceGap) as gap:
        Session().receive(codec.decode(Encoded(note(1)).stamped(3, None, text=True), text=True))
    assert (gap.value.expected, gap.value.got) == (1, 3)


@pytest.mark.parametrize("value", [object(), "x" * MAX_MESSAGE])
def test_what_cannot_be_encoded_takes_no_number(value):
    session = Session()
    with pytest.raises((InvalidMessage, MessageTooLarge)):
        session.send(note(value))
    assert (session.sent, session.buffered) == (0, 0)
    assert session.send(note(1)).seq == 1


def test_limit_is_in_bytes():
    session = Session()
    big = note("x" * (MAX_MESSAGE - 100))
    size = len(codec.encode(big, text=True))
    for _ in range(LIMIT // size):
        session.send(big)
    assert LIMIT - size < session.buffered <= LIMIT
    with pytest.raises(SessionLost):
        session.send(big)
    session.receive(notification("ack", ack=1))
    session.send(big)


def test_one_message_to_many_keeps_one_copy():
    encoded = Encoded(note("x" * 1000))
    sessions = [Session() for _ in range(3)]
    sessions[1].send(note(0))
    frames = [session.send_encoded(encoded, text=True) for session in sessions]
    assert [codec.decode(frame, text=True).seq for frame in frames] == [1, 2, 1]
    assert sessions[0].unacknowledged()[0].value is encoded.message.value


def test_given_message_is_not_changed():
    message = note(1)
    Session().send(message)
    assert message == note(1)


def test_counted_the_same_however_it_travels():
    """What is kept was encoded for one connection, and may go out again over one of the other format."""
    session = Session()
    encoded = Encoded(note(1))
    session.send_encoded(encoded, text=False)
    encoded.body(text=True)
    session.receive(notification("ack", ack=1))
    assert session.buffered == 0
