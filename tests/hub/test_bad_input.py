"""When things go wrong at the other end: a problem that names the field, and nothing else disturbed."""

from __future__ import annotations

import json

import pytest

from plait.wire.messages import MAX_MESSAGE

from .conftest import LAMP, describe, within

READ = {
    "messageType": "request",
    "operation": "readproperty",
    "messageID": "r",
    "thingID": LAMP,
    "name": "on",
}


@pytest.fixture
async def talker(hub, device, raw):
    """An app that has said hello, beside a device that works."""
    client = await raw(hub.user_token())
    await client.hello()
    return client


async def undisturbed(talker, device, app, *, seq):
    """Whoever sent it can go on, and so can everyone else."""
    talker.send(READ | {"seq": seq, "messageID": "after"})
    assert (await talker.next(correlationID="after"))["value"] == 1
    assert (await app.ask("readproperty", name="on")).value == 1
    assert device.states == ["connecting", "connected"]
    assert app.states == ["connecting", "connected"]


@pytest.mark.parametrize("garbage", [b"{", b"", b"\x00\xff\xfe", b"[1,2]", b"nul", b"[" * 100_000, b'"\xc3"'])
async def test_malformed_json(talker, device, app, garbage):
    talker.send(garbage)
    problem = (await talker.next(operation="error"))["error"]
    assert problem["type"] == "urn:plait:problem:invalid-message"
    assert problem["status"] == 400
    await undisturbed(talker, device, app, seq=1)


async def test_binary_garbage_ends_its_own_connection_alone(hub, talker, device, app):
    talker.transport._ws.send(2, b"\x81\xa1\xff")  # a binary frame on a connection of text
    assert await talker.close_code() == 1003
    assert (await app.ask("readproperty", name="on")).value == 1


async def test_a_message_of_one_mebibyte_and_one(talker, device, app):
    large = READ | {"seq": 1, "value": ""}
    large["value"] = "x" * (MAX_MESSAGE + 1 - len(json.dumps(large)))
    talker.send(large)
    problem = (await talker.next(correlationID="r"))["error"]
    assert problem["type"] == "urn:plait:problem:message-too-large"
    await undisturbed(talker, device, app, seq=2)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"thingID": "urn:dev:none"}, "unknown-thing", "/thingID"),
        ({"thingID": 3}, "invalid-message", "/thingID"),
        ({"name": "none"}, "unknown-affordance", "/name"),
        ({"name": ["on"]}, "invalid-message", "/name"),
        ({"operation": "fly"}, "unknown-operation", "/operation"),
        ({"operation": 7}, "invalid-message", "/operation"),
        ({"deadline": "soon"}, "invalid-message", "/deadline"),
        ({"deadline": "2026-01-01T00:00:00"}, "invalid-message", "/deadline"),
        ({"operation": "writeproperty", "name": "level"}, "invalid-message", "/value"),
        ({"operation": "writeproperty", "name": "level", "value": 101}, "invalid-value", "/value"),
        ({"operation": "writeproperty", "name": "level", "value": "9"}, "invalid-value", "/value"),
        ({"operation": "invokeaction", "name": "none"}, "unknown-affordance", "/name"),
        (
            {"operation": "invokeaction", "name": "blink", "input": {"times": 0}},
            "invalid-value",
            "/input/times",
        ),
        ({"operation": "opencall", "thingID": "urn:dev:none"}, "unknown-thing", "/thingID"),
    ],
)
async def test_a_bad_member_is_named(talker, device, app, *, changes, code, field):
    talker.send(READ | {"seq": 1} | changes)
    problem = (await talker.next(correlationID="r"))["error"]
    assert (problem["type"], problem["field"]) == (f"urn:plait:problem:{code}", field)
    await undisturbed(talker, device, app, seq=2)


async def test_an_action_that_raises(talker, device, app):
    talker.send(READ | {"seq": 1, "operation": "invokeaction", "name": "explode"})
    problem = (await talker.next(correlationID="r"))["error"]
    assert problem["type"] == "urn:plait:problem:action-failed"
    assert problem["detail"] == "ZeroDivisionError: it blew up"
    await undisturbed(talker, device, app, seq=2)


@pytest.mark.parametrize("seq", [None, 0, -1, "1", 1.5])
async def test_a_number_that_is_none(talker, device, app, seq):
    talker.send(READ | ({} if seq is None else {"seq": seq}))
    problem = (await talker.next(correlationID="r"))["error"]
    assert (problem["type"], problem["field"]) == ("urn:plait:problem:invalid-message", "/seq")
    await undisturbed(talker, device, app, seq=1)


@pytest.fixture
async def lamp(hub, device, raw):
    """A device that says what the test wants, beside another one that works."""
    client = await raw(hub.token("urn:dev:other"))
    await client.hello()
    return client


def described(description, seq=1):
    return {
        "messageType": "request",
        "operation": "describething",
        "messageID": f"d{seq}",
        "value": description,
        "seq": seq,
    }


OTHER = describe("urn:dev:other")


@pytest.mark.parametrize(
    ("description", "field"),
    [
        ("no object", "/value"),
        (None, "/value"),
        ({**OTHER, "@context": "https://schema.org"}, "/value/@context"),
        ({**OTHER, "id": "nouri"}, "/value/id"),
        ({**OTHER, "id": LAMP}, "/value/id"),
        ({**OTHER, "title": 3}, "/value/title"),
        ({**OTHER, "security": "nobody"}, "/value/security"),
        ({**OTHER, "securityDefinitions": {}}, "/value/securityDefinitions"),
        ({**OTHER, "properties": []}, "/value/properties"),
        ({**OTHER, "properties": {"p": {"type": "number"}}}, "/value/properties/p/forms"),
        ({**OTHER, "properties": {"p": {"forms": [{"href": 1}]}}}, "/value/properties/p/forms/0/href"),
        (
            {**OTHER, "properties": {"p": {"type": "nombre", "forms": [{"href": "/"}]}}},
            "/value/properties/p/type",
        ),
        (
            {**OTHER, "properties": {"p": {"minimum": "1", "forms": [{"href": "/"}]}}},
            "/value/properties/p/minimum",
        ),
        (
            {
                **OTHER,
                "actions": {"a/b": {"input": {"$ref": "file:///etc/passwd"}, "forms": [{"href": "/"}]}},
            },
            "/value/actions/a~1b/input/$ref",
        ),
        (
            {**OTHER, "actions": {"a": {"input": {"pattern": "("}, "forms": [{"href": "/"}]}}},
            "/value/actions/a/input/pattern",
        ),
        ({**OTHER, "events": {"e": {"data": 1, "forms": [{"href": "/"}]}}}, "/value/events/e/data"),
        ({**OTHER, "forms": [{"href": "/"}]}, "/value/forms/0/op"),
        ({name: OTHER[name] for name in OTHER if name != "title"}, "/value/title"),
        ({**OTHER, "support": json.loads("[" * 90 + "]" * 90)}, "/value"),
    ],
)
async def test_a_description_that_is_none(lamp, device, app, description, field):
    lamp.send(described(description))
    problem = (await lamp.next(correlationID="d1"))["error"]
    assert (problem["type"], problem["field"]) == ("urn:plait:problem:invalid-description", field)
    assert (await app.ask("readproperty", name="on")).value == 1
    lamp.send(described(OTHER, seq=2))
    assert (await lamp.next(correlationID="d2"))["output"] == {}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"value": "warm"}, "invalid-value", "/value"),
        ({"name": "none"}, "unknown-affordance", "/name"),
        ({"value": {"deep": [1]}}, "invalid-value", "/value"),
        ({"timestamp": "now"}, "invalid-message", "/timestamp"),
        ({"operation": "subscribeevent", "name": "overheated", "data": "hot"}, "invalid-value", "/data"),
        ({"operation": "subscribeevent", "name": "none", "data": 3}, "unknown-affordance", "/name"),
    ],
)
async def test_a_reading_that_breaks_the_description(lamp, app, changes, code, field):
    lamp.send(described(OTHER))
    await lamp.next(correlationID="d1")
    reading = {"messageType": "notification", "operation": "observeproperty", "name": "level", "value": 3}
    lamp.send(reading | {"seq": 2} | changes)
    told = await lamp.next(operation="error")
    assert (told["error"]["type"], told["error"]["field"]) == (f"urn:plait:problem:{code}", field)
    lamp.send(reading | {"seq": 3})
    # It is acknowledged, so that the device does not send it again and again.
    assert (await lamp.next(ack=3))["operation"] == "ack"
    values = (await app.ask("readallproperties", thing="urn:dev:other")).value
    assert {name: state["value"] for name, state in values.items()} == {"level": 3}


async def test_a_reading_before_any_description(lamp):
    lamp.send(
        {
            "messageType": "notification",
            "operation": "observeproperty",
            "name": "level",
            "value": 3,
            "seq": 1,
        }
    )
    assert (await lamp.next(operation="error"))["error"]["type"] == "urn:plait:problem:unknown-thing"


async def test_a_flood_of_garbage_disturbs_nobody(hub, device, app, raw):
    client = await raw(hub.user_token())
    await client.hello()
    for _ in range(5000):
        client.send(b"{")
    assert (await app.ask("readproperty", name="on")).value == 1
    await within(lambda: client._came.qsize() >= 5000)


async def test_an_answer_too_large_to_send_is_a_problem(device, app, talker):
    device.report("text", "x" * 600_000)
    await device.kept()
    device.answers["text"] = "x" * (MAX_MESSAGE - 300)
    talker.send(READ | {"seq": 1, "name": "text"})
    answer = await talker.next(correlationID="r")
    assert "value" in answer or answer["error"]["type"].endswith("message-too-large")
    await undisturbed(talker, device, app, seq=2)
