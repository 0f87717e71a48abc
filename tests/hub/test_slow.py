"""A client that does not read, or not acknowledge, costs the hub a bounded amount and the others nothing."""

from __future__ import annotations

import asyncio

import pytest

from plait.hub.outbox import COMMANDS, SLOW, UNREAD
from plait.wire.errors import Busy
from plait.wire.session import LIMIT

from .conftest import LAMP, describe, within

ASK = {"messageType": "request", "messageID": "a", "thingID": LAMP, "seq": 1}


def of(hub, kind, *, but=()):
    return next(client for client in hub.clients if client.principal.kind == kind and client.id not in but)


@pytest.fixture
async def slow(hub, device, raw):
    """An app that has asked for everything and reads nothing."""
    client = await raw(hub.user_token())
    await client.hello()
    client.send(ASK | {"operation": "observeallproperties"})
    await client.next(correlationID="a")
    client.send(ASK | {"operation": "subscribeallevents", "messageID": "b", "seq": 2})
    await client.next(correlationID="b")
    client.transport._ws.underlying_transport.pause_reading()
    return client


def read_again(client):
    client.transport._ws.underlying_transport.resume_reading()


async def test_newest_value_wins_for_who_is_slow(hub, device, slow, app):
    there = of(hub, "user", but={app.client.session.id})
    await app.ask("observeallproperties")
    text = "x" * 50_000
    for number in range(200):
        device.report("text", f"{number} {text}")
        device.report("level", number % 100)
        if number % 20 == 0:
            await device.kept()
    await device.kept()
    await within(lambda: app.values("text")[-1].startswith("199 "))
    # The kernel's own buffers apart, the hub holds no more than its limits and one value of each property.
    assert there.session.buffered < UNREAD + 200_000
    assert there.transport.buffered < SLOW + 200_000
    assert there.outbox.waiting < 200_000
    read_again(slow)
    seen = []
    while not seen or not seen[-1].startswith("199 "):
        message = await slow.next(operation="observeproperty", name="text")
        seen.append(message["value"])
        slow.send({"messageType": "notification", "operation": "ack", "ack": message["seq"]})
    numbers = [int(value.split()[0]) for value in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 200


async def test_events_are_kept_until_the_limit_and_then_the_session_ends(hub, device, slow, app):
    await app.ask("subscribeallevents")
    there = of(hub, "user", but={app.client.session.id})
    device.td["events"]["note"] = {"data": {"type": "string"}, "forms": [{"href": "/ws"}]}
    await device.client.request("describething", value=device.td)
    sent = 0
    while there in list(hub.clients):
        device.client.notify("subscribeevent", name="note", data=f"{sent} " + "x" * 100_000)
        sent += 1
        if sent % 10 == 0:
            await device.kept()
        assert there.session.buffered <= LIMIT
        assert sent < 200
    assert sent > LIMIT // 110_000 - 5
    await within(lambda: len(app.told["subscribeevent"]) == sent)
    assert (await app.ask("readproperty", name="on")).value == 1
    read_again(slow)
    assert await slow.close_code() in (4003, 1006)


async def test_commands_to_a_thing_that_takes_none_are_refused(hub, raw, app):
    client = await raw(hub.token(LAMP))
    await client.hello()
    client.send(ASK | {"operation": "describething", "value": describe()})
    await client.next(correlationID="a")
    client.transport._ws.underlying_transport.pause_reading()
    text = "x" * 100_000
    writes = [
        asyncio.create_task(app.ask("writeproperty", name="text", value=text, timeout=2))
        for _ in range(COMMANDS // len(text) + 5)
    ]
    done, waiting = await asyncio.wait(writes, timeout=1)
    assert done
    assert {type(write.exception()) for write in done} == {Busy}
    assert COMMANDS // len(text) <= len(waiting) <= COMMANDS // len(text) + 2
    assert of(hub, "thing").session.buffered < COMMANDS + 2 * len(text)
    read_again(client)
    for write in waiting:
        write.cancel()


async def test_pings_without_reading_the_answers_end_the_session(hub, slow, app):
    there = of(hub, "user", but={app.client.session.id})
    ping = {"messageType": "request", "operation": "ping", "messageID": "x" * 900_000}
    for _ in range(40):
        if slow.closed.done() or there not in list(hub.clients):
            break
        slow.send(ping)
        await slow.transport.drain()
        await app.client.request("observethings")
    await within(lambda: there not in list(hub.clients))
    read_again(slow)
