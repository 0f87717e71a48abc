"""The examples under vectors/, which the TypeScript tests read too."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from plait.wire import codec, messages
from plait.wire.errors import InvalidMessage, PlaitError, SessionLost
from plait.wire.greeting import hello, take_welcome
from plait.wire.messages import Message
from plait.wire.session import SequenceGap, Session

VECTORS = Path(__file__).parents[2] / "vectors"
MESSAGES = json.loads((VECTORS / "messages.json").read_text("utf-8"))
SCRIPTS = json.loads((VECTORS / "session.json").read_text("utf-8"))["scripts"]


def named(rows):
    return [pytest.param(row, id=row["name"]) for row in rows]


def plain(message):
    return json.loads(codec.encode(message, text=True))


def message(data):
    return msgspec.convert(data, Message)


@pytest.mark.parametrize("row", named(MESSAGES["messages"]))
def test_message(row):
    from_json = codec.decode(row["json"].encode(), text=True)
    from_msgpack = codec.decode(bytes.fromhex(row["msgpack"]), text=False)
    assert from_json == from_msgpack == message(row["message"])
    assert codec.encode(from_json, text=True).decode() == row["json"]
    assert codec.encode(from_json, text=False).hex() == row["msgpack"]
    assert plain(from_json) == row["message"]


@pytest.mark.parametrize("row", named(MESSAGES["invalid"]))
def test_invalid(row):
    text = "msgpack" not in row
    data = row["json"].encode() if "json" in row else bytes.fromhex(row.get("jsonHex") or row["msgpack"])
    with pytest.raises(PlaitError) as refused:
        codec.decode(data, text=text)
    assert (refused.value.code, refused.value.field) == (row["error"], row["field"])
    read = json.loads(msgspec.json.encode(codec.envelope(data, text=text)))
    if not read["operation"]:
        del read["operation"]
    assert read == row["envelope"]


def received(session, step):
    try:
        return "new" if session.receive(message(step["message"])) else "seen"
    except SequenceGap:
        return "gap"
    except InvalidMessage as error:
        return "invalid" if error.field == "/seq" else error.field


def sent(session, step):
    try:
        return plain(session.send(message(step["message"])))
    except SessionLost as error:
        return {"error": error.code}


def state(session, step):
    known = {
        "session": session.id,
        "sent": session.sent,
        "acked": session.acked,
        "received": session.received,
        "ack": session.ack,
        "ackDue": session.ack_due(),
        "unacknowledged": [kept.seq for kept in session.unacknowledged()],
    }
    return {name: known[name] for name in step["expect"]}


def play(session, step):
    """Do one step; return what came of it."""
    match step["do"]:
        case "send":
            return sent(session, step)
        case "receive":
            return received(session, step)
        case "settle":
            return session.settled(step["seq"])
        case "acknowledgement":
            ack = session.acknowledgement()
            return None if ack is None else plain(ack)
        case "resume":
            return [plain(again) for again in session.resume(step["ack"])]
        case "renumber":
            first = [message(item) for item in step["first"]]
            return [plain(again) for again in session.renumber(step["session"], step["ack"], first=first)]
        case "hello":
            said = hello(session, "test").input
            return {"session": said.get("session"), "ack": said.get("ack", 0)}
        case "welcome":
            asked = hello(session, "test")
            answer = messages.response(asked, output=step["output"])
            first = [message(item) for item in step["first"]]
            return [plain(again) for again in take_welcome(session, asked, answer, first=lambda: first).again]
        case "state":
            return state(session, step)
    raise AssertionError(step)


@pytest.mark.parametrize("script", named(SCRIPTS))
def test_session(script):
    session = Session(limit=script["limit"]) if "limit" in script else Session()
    for number, step in enumerate(script["steps"]):
        assert play(session, step) == step.get("expect"), f"step {number}: {step}"
