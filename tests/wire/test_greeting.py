"""Hello and welcome, both halves; their scripts are in vectors/session.json."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from plait.wire import greeting, messages
from plait.wire.errors import InvalidMessage, Unauthorized, UnsupportedVersion
from plait.wire.messages import Hello, Welcome, notification
from plait.wire.session import Session

NOW = messages.now()


def welcome(said, known=None, committed=0):
    return greeting.welcome(said, known, committed=committed, window=60.0, time=NOW)


def note(value):
    return notification("observeproperty", name="t", value=value)


def test_both_halves_meet():
    client = Session()
    client.send(note(1))
    asked = greeting.hello(client, "test/1")
    said = greeting.read_hello(asked)
    assert said == Hello(software="test/1")
    opened = welcome(said)
    taken = greeting.take_welcome(client, asked, greeting.welcome_message(asked, opened))
    assert taken.welcome == opened.welcome
    assert client.id == opened.session.id
    assert [m.seq for m in taken.again] == [1]


def test_known_session_goes_on_at_the_hub():
    hub = Session("s-1")
    hub.send(note(1))
    hub.send(note(2))
    opened = welcome(Hello(session="s-1", ack=1), hub)
    assert opened.session is hub
    assert opened.welcome.resumed
    assert [m.value for m in opened.again] == [2]


@pytest.mark.parametrize("ack", [-1, 0, 3])
def test_ack_that_does_not_fit_begins_anew(ack):
    """The client has lost its memory, or is another one: the session cannot go on."""
    hub = Session("s-1")
    hub.send(note(1))
    hub.send(note(2))
    hub.receive(notification("ack", ack=1))
    hub.receive(msgspec.structs.replace(note(1), seq=1))
    hub.settled(1)
    opened = welcome(Hello(session="s-1", ack=ack), hub)
    assert not opened.welcome.resumed
    assert opened.session.id not in ("", "s-1")
    assert opened.welcome.ack == 1


def test_forgotten_session_is_told_how_far_it_was_committed():
    opened = welcome(Hello(session="s-1", ack=5), None, committed=41)
    assert (opened.welcome.resumed, opened.welcome.ack, opened.again) == (False, 41, [])


@pytest.mark.parametrize(
    "message",
    [
        notification("hello", input={"protocol": 1}),
        messages.request("readproperty"),
        messages.request("hello"),
        messages.request("hello", input=5),
        messages.request("hello", input={"protocol": 1, "ack": "x"}),
        messages.Message(message_type="request", operation="hello", input={"protocol": 1}),
    ],
    ids=str,
)
def test_what_is_not_a_hello(message):
    with pytest.raises(InvalidMessage):
        greeting.read_hello(message)


def test_newer_client_is_spoken_to_in_our_version():
    assert (
        welcome(greeting.read_hello(messages.request("hello", input={"protocol": 9}))).welcome.protocol == 1
    )


def test_who_says_no_version_speaks_the_first(monkeypatch):
    monkeypatch.setattr(greeting, "PROTOCOL", 3)
    said = greeting.read_hello(messages.request("hello", input={}))
    assert said.protocol == 1
    assert welcome(said).welcome.protocol == 1
    assert greeting.hello(Session(), "test/1").input["protocol"] == 3


def test_client_that_is_too_old_is_told_both_versions(monkeypatch):
    monkeypatch.setattr(greeting, "PROTOCOL", 3)
    monkeypatch.setattr(greeting, "OLDEST_PROTOCOL", 2)
    with pytest.raises(UnsupportedVersion, match="This hub speaks protocol 2 to 3, the client at most 1"):
        greeting.read_hello(messages.request("hello", input={"protocol": 1}))


def answers(asked):
    good = Welcome(protocol=1, session="s-1", resumed=False, ack=0, window=60.0, time=NOW)
    output = msgspec.to_builtins(good)
    yield "another's", messages.response(messages.request("hello"), output=output), InvalidMessage
    yield "no hello", messages.response(messages.request("ping"), output=output), InvalidMessage
    yield "no output", messages.response(asked), InvalidMessage
    yield "not a welcome", messages.response(asked, output={"session": 1}), InvalidMessage
    yield "newer", messages.response(asked, output={**output, "protocol": 2}), UnsupportedVersion
    yield "clock", messages.response(asked, output={**output, "time": "2026-01-01T00:00:00"}), InvalidMessage
    yield "refused", messages.response(asked, error=Unauthorized("no").problem()), Unauthorized


@pytest.mark.parametrize("case", range(7))
def test_what_is_not_a_welcome(case):
    session = Session()
    session.send(note(1))
    asked = greeting.hello(session, "")
    _, answer, error = list(answers(asked))[case]
    with pytest.raises(error):
        greeting.take_welcome(session, asked, answer)
    assert session.id == ""
    assert [m.seq for m in session.unacknowledged()] == [1]
    assert session.unacknowledged()[0].ack is UNSET
