"""Hello, resume, displacement, and the close codes of docs/protocol.md section 3."""

from __future__ import annotations

import asyncio

import pytest

from plait.hub import client as hub_client
from plait.hub import connection
from plait.hub.main import Hub
from plait.transport import websocket
from plait.wire.errors import Forbidden, Unauthorized

from .conftest import LAMP, App, Device, Raw, describe, within

READING = {"messageType": "notification", "operation": "observeproperty", "name": "level"}


@pytest.fixture
async def lamp(hub, raw):
    token = hub.token(LAMP)

    async def open_lamp():
        return await raw(token)

    return open_lamp


async def describe_raw(client, seq=1):
    client.send(
        {"messageType": "request", "operation": "describething", "messageID": "d", "seq": seq}
        | {"value": describe()}
    )
    await client.next(correlationID="d")


async def test_a_welcome_says_all(hub, raw):
    client = await raw(hub.user_token())
    welcome = await client.hello()
    assert welcome["protocol"] == 1
    assert (welcome["resumed"], welcome["ack"], welcome["window"]) == (False, 0, 60.0)
    assert welcome["session"].startswith("s-")


async def test_who_does_not_say_hello_is_shut_out(hub, raw, monkeypatch):
    monkeypatch.setattr(connection, "HELLO_WITHIN_S", 0.05)
    client = await raw(hub.user_token())
    assert await client.close_code() == 4000


@pytest.mark.parametrize(
    ("hello", "field"),
    [
        ({"protocol": 0}, "/input/protocol"),
        ({"protocol": "1"}, "/input/protocol"),
        ({"session": 3}, "/input/session"),
        ({"ack": "all"}, "/input/ack"),
    ],
)
async def test_a_bad_hello_is_told_and_may_be_said_again(hub, raw, hello, field):
    client = await raw(hub.user_token())
    message = {"messageType": "request", "operation": "hello", "messageID": "h", "input": hello}
    client.send(message)
    assert (await client.next(correlationID="h"))["error"]["field"] == field
    assert (await client.hello())["resumed"] is False


async def test_something_else_first_is_refused(hub, raw):
    client = await raw(hub.user_token())
    client.send({"messageType": "request", "operation": "observethings", "messageID": "1", "seq": 1})
    assert (await client.next(operation="error"))["error"]["field"] == "/operation"
    assert await client.close_code() == 4000


async def test_a_second_hello_is_refused(hub, raw):
    client = await raw(hub.user_token())
    await client.hello()
    client.send({"messageType": "request", "operation": "hello", "messageID": "2", "input": {}})
    assert await client.close_code() == 4000


async def test_a_ping_is_answered_beside_the_session(hub, raw):
    client = await raw(hub.user_token())
    await client.hello()
    client.send({"messageType": "request", "operation": "ping", "messageID": "p"})
    answer = await client.next(correlationID="p")
    assert answer["operation"] == "ping"
    assert "timestamp" in answer
    assert "seq" not in answer
    client.send({"messageType": "request", "operation": "observethings", "messageID": "1", "seq": 1})
    assert (await client.next(correlationID="1"))["seq"] == 1


async def test_a_gap_is_refused_and_filled_after(lamp):
    client = await lamp()
    session = (await client.hello())["session"]
    await describe_raw(client)
    client.send(READING | {"value": 3, "seq": 3})
    assert await client.close_code() == 4002
    client = await lamp()
    assert await client.hello(session=session, ack=1) | {"time": ""} == {
        "protocol": 1,
        "session": session,
        "resumed": True,
        "ack": 1,
        "window": 60.0,
        "time": "",
    }
    client.send(READING | {"value": 2, "seq": 2})
    client.send(READING | {"value": 3, "seq": 3})
    await client.next(operation="ack", ack=3)


async def test_what_was_not_acknowledged_comes_again_once(hub, device, raw):
    token = hub.user_token()
    client = await raw(token)
    session = (await client.hello())["session"]
    client.send(
        {"messageType": "request", "operation": "subscribeallevents", "messageID": "s", "seq": 1}
        | {"thingID": LAMP}
    )
    await client.next(correlationID="s")
    device.client.notify("subscribeevent", name="overheated", data=1)
    assert (await client.next(operation="subscribeevent"))["seq"] == 2
    client.transport.abort()
    await client.closed
    device.client.notify("subscribeevent", name="overheated", data=2)
    await device.kept()
    client = await raw(token)
    welcome = await client.hello(session=session, ack=1)
    assert welcome["resumed"]
    assert welcome["ack"] == 1
    first = await client.next(operation="subscribeevent")
    second = await client.next(operation="subscribeevent")
    assert [(first["seq"], first["data"]), (second["seq"], second["data"])] == [(2, 1), (3, 2)]
    # And the subscription has outlived the break.
    device.client.notify("subscribeevent", name="overheated", data=3)
    assert (await client.next(operation="subscribeevent"))["seq"] == 4


async def test_a_reading_sent_twice_is_one(hub, lamp, app):
    client = await lamp()
    session = (await client.hello())["session"]
    await describe_raw(client)
    await app.ask("observeallproperties")
    for _ in range(2):
        client.send(READING | {"value": 2, "seq": 2})
    client.transport.abort()
    await client.closed
    client = await lamp()
    await client.hello(session=session, ack=1)
    client.send(READING | {"value": 2, "seq": 2})
    client.send(READING | {"value": 3, "seq": 3})
    await client.next(ack=3)
    await within(lambda: app.values("level"))
    history = await app.ask("readhistory", name="level", input={"from": "2020-01-01T00:00:00Z"})
    assert [value for _, value in history.value] == [2, 3]


async def test_a_second_connection_of_a_session_displaces_the_first(hub, raw):
    token = hub.user_token()
    first = await raw(token)
    session = (await first.hello())["session"]
    second = await raw(token)
    assert (await second.hello(session=session))["resumed"]
    assert await first.close_code() == 4001
    second.send({"messageType": "request", "operation": "observethings", "messageID": "1", "seq": 1})
    assert (await second.next(correlationID="1"))["value"] == []


async def test_a_second_connection_of_a_thing_displaces_the_first(hub, device, app):
    again = Device(hub)
    await again.start()
    await within(lambda: device.states[-1] == "closed")
    assert (await app.ask("readproperty", name="on")).value == 1
    assert [asked.operation for asked in again.asked] == ["readproperty"]
    await again.client.close()


async def test_a_session_is_its_principals_alone(hub, lamp, raw):
    client = await raw(hub.user_token())
    session = (await client.hello())["session"]
    thief = await lamp()
    welcome = await thief.hello(session=session)
    assert not welcome["resumed"]
    assert welcome["session"] != session
    assert not client.closed.done()


async def test_a_session_is_forgotten_after_its_window(settings):
    settings.window = 0.05
    async with Hub(settings) as hub:
        token = hub.user_token()
        client = await _raw(hub, token)
        session = (await client.hello())["session"]
        client.transport.abort()
        await client.closed
        await within(lambda: not list(hub.clients))
        client = await _raw(hub, token)
        welcome = await client.hello(session=session)
        assert (welcome["resumed"], welcome["window"]) == (False, 0.05)
        client.transport.close()
        await client.closed
        await within(lambda: not list(hub.clients))  # it said goodbye


async def test_acknowledgements_come_soon_and_with_many(hub, lamp, monkeypatch):
    client = await lamp()
    await client.hello()
    await describe_raw(client)
    loop = asyncio.get_running_loop()
    client.send(READING | {"value": 1, "seq": 2})
    sent = loop.time()
    await client.next(ack=2)
    assert loop.time() - sent < hub_client.ACK_AFTER_S + 0.15
    monkeypatch.setattr(hub_client, "ACK_AFTER_S", 60)
    for seq in range(3, 3 + 2 * hub_client.ACK_EVERY):
        client.send(READING | {"value": seq % 100, "seq": seq})
    await client.next(ack=2 + 2 * hub_client.ACK_EVERY)


async def test_commits_survive_the_hub_and_are_not_doubled(settings):
    async with Hub(settings) as hub:
        token = hub.token(LAMP)
        device = Device(hub)
        await device.start()
        for value in range(10):
            device.report("level", value)
        await device.kept()
        session, sent = device.client.session.id, device.client.session.sent
        await device.client.close()
    async with Hub(settings) as hub:
        client = await _raw(hub, token)
        welcome = await client.hello(session=session, ack=0)
        assert (welcome["resumed"], welcome["ack"]) == (False, sent)
        client.transport.close()
        await client.closed
        app = App(hub)
        await app.client.start(5)
        history = await app.ask("readhistory", name="level", input={"from": "2020-01-01T00:00:00Z"})
        assert [value for _, value in history.value] == list(range(10))
        assert (await app.ask("readallproperties")).value["level"]["value"] == 9
        state = (await app.client.request("observethings")).value[0]
        assert state["presence"]["state"] == "offline"
        assert state["description"]["id"] == LAMP
        await app.client.close()


async def _raw(hub, token):
    client = Raw()
    await websocket.connect(websocket.endpoint(hub.url), token=token, on_open=client.open)
    return client


async def test_credentials_are_needed(hub):
    url = websocket.endpoint(hub.url)
    for options in ({}, {"token": "plait_wrong"}, {"cookie": "plait_session=wrong"}):
        with pytest.raises(Unauthorized):
            await websocket.connect(url, **options)


async def test_another_origin_is_refused(hub):
    code = hub.login_link().partition("#login=")[2]
    secret, _ = hub.store.credentials.log_in(code)

    async def upgrade(origin):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: plait.v1.json\r\nCookie: plait_session={secret}\r\n"
            f"Origin: {origin}\r\n\r\n".encode()
        )
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return int(status.split()[1])

    assert await upgrade(f"http://127.0.0.1:{hub.port}") == 101
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null", f"http://127.0.0.1:{hub.port}.evil"):
        assert await upgrade(origin) == 403


async def test_a_forbidden_origin_is_a_typed_error(hub):
    with pytest.raises(Forbidden):
        hub._auth.check_origin("http://evil.example", f"127.0.0.1:{hub.port}")
