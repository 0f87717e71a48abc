"""What the hub does for things and apps, over real sockets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from plait.wire import messages
from plait.wire.errors import (
    Expired,
    Forbidden,
    InvalidMessage,
    Offline,
    OutcomeUnknown,
    ReadOnly,
    Timeout,
    UnknownOperation,
)

from .conftest import LAMP, App, Device, describe, within


async def test_an_app_sees_things_come_and_go(hub, app):
    assert (await app.client.request("observethings")).value == []
    device = Device(hub)
    await device.start()
    await within(lambda: app.told["observethings"])
    state = app.told["observethings"][0]
    assert state.thing_id == LAMP
    assert state.value["presence"]["state"] == "online"
    assert state.value["description"] == describe()
    await device.client.close()
    await within(lambda: app.told["observethings"][-1].value["presence"]["state"] == "offline")
    state = (await app.client.request("observethings")).value[0]
    assert state["presence"]["state"] == "offline"


async def test_a_reading_is_kept_told_and_read_again(device, app):
    assert (await app.ask("observeallproperties")).value == {}
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    device.report("temperature", 21.5, timestamp=when)
    await device.kept()
    await within(lambda: app.told["observeproperty"])
    told = app.told["observeproperty"][0]
    assert (told.thing_id, told.name, told.value, told.timestamp) == (LAMP, "temperature", 21.5, when)
    last = (await app.ask("readallproperties")).value
    assert last == {"temperature": {"value": 21.5, "timestamp": "2026-01-02T03:04:05.678901Z"}}
    history = await app.ask("readhistory", name="temperature", input={"from": "2026-01-01T00:00:00Z"})
    assert history.value == [["2026-01-02T03:04:05.678901Z", 21.5]]
    await app.ask("unobserveallproperties")
    device.report("temperature", 22.5)
    await device.kept()
    await app.ask("readallproperties")
    assert app.values("temperature") == [21.5]


async def test_history_gives_the_newest_oldest_first(device, app):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute in range(10):
        device.report("temperature", minute, timestamp=start + timedelta(minutes=minute))
    await device.kept()
    window = {"from": "2026-01-01T00:02:00+00:00", "to": "2026-01-01T00:08:00Z", "limit": 3}
    points = (await app.ask("readhistory", name="temperature", input=window)).value
    assert [value for _, value in points] == [5, 6, 7]


async def test_statistics_sum_up_a_number(device, app):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute in (*range(4), 9):
        device.report("temperature", minute * 1.5, timestamp=start + timedelta(minutes=minute))
    await device.kept()
    stretch = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:10:00Z", "buckets": 5}
    buckets = (await app.ask("readstatistics", name="temperature", input=stretch)).value
    assert buckets == [
        ["2026-01-01T00:00:00Z", 0.75, 0.0, 1.5, 2],
        ["2026-01-01T00:02:00Z", 3.75, 3.0, 4.5, 2],
        ["2026-01-01T00:08:00Z", 13.5, 13.5, 13.5, 1],
    ]


@pytest.mark.parametrize(
    ("name", "stretch", "field"),
    [
        ("on", {"from": "2026-01-01T00:00:00Z"}, "/name"),
        ("temperature", {}, "/input"),
        ("temperature", {"from": "2026-01-01T00:00:00Z", "buckets": 0}, "/input/buckets"),
        ("temperature", {"from": "2026-01-01T00:00:00Z", "buckets": 5001}, "/input/buckets"),
        ("temperature", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "/input/to"),
    ],
)
async def test_statistics_refuse_what_cannot_be_summed_up(device, app, name, stretch, field):
    with pytest.raises(InvalidMessage) as caught:
        await app.ask("readstatistics", name=name, input=stretch)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({}, "/input"),
        ({"from": "yesterday"}, "/input"),
        ({"from": "2026-01-01T00:00:00"}, "/input/from"),
        ({"from": "2026-01-01T00:00:00Z", "limit": 0}, "/input/limit"),
    ],
)
async def test_history_refuses_a_window_that_is_none(device, app, window, field):
    with pytest.raises(InvalidMessage) as caught:
        await app.ask("readhistory", name="temperature", input=window)
    assert caught.value.field == field


async def test_reads_and_writes_reach_the_device(device, app):
    device.answers["level"] = 42
    assert (await app.ask("readproperty", name="level")).value == 42
    answer = await app.ask("writeproperty", name="level", value=7)
    assert answer.value == 7
    assert answer.timestamp is not messages.UNSET
    assert [asked.operation for asked in device.asked] == ["readproperty", "writeproperty"]


async def test_a_thing_that_is_away_answers_with_its_last_value(device, app):
    device.report("level", 5)
    await device.client.close()
    await within(lambda: not app.client.session.buffered)
    assert (await app.ask("readproperty", name="level")).value == 5
    for asking in (
        app.ask("readproperty", name="on"),
        app.ask("writeproperty", name="on", value=True),
        app.ask("invokeaction", name="blink"),
        app.ask("opencall"),
    ):
        with pytest.raises(Offline):
            await asking


async def test_what_cannot_be_written_is_not(device, app):
    with pytest.raises(ReadOnly):
        await app.ask("writeproperty", name="temperature", value=3)
    assert device.asked == []


async def test_a_command_past_its_deadline_is_not_run(device, app):
    past = messages.now() - timedelta(seconds=1)
    for asking in (
        app.ask("writeproperty", name="on", value=True, deadline=past),
        app.ask("invokeaction", name="blink", deadline=past),
    ):
        with pytest.raises(Expired) as caught:
            await asking
        assert caught.value.field == "/deadline"
    assert device.asked == []


async def test_a_device_that_never_answers_is_a_timeout(device, app):
    with pytest.raises(Timeout):
        await app.client.request(
            "invokeaction", thing_id=LAMP, name="sleep", deadline=messages.now() + timedelta(seconds=0.1)
        )
    # Its answer still closes the journal, and the same id gets it.
    asked = device.asked[-1]
    device.client.respond(asked, output="late")
    await device.kept()


async def test_an_action_asked_twice_is_done_once(hub, device, raw):
    client = await raw(hub.user_token())
    await client.hello()
    action = {
        "messageType": "request",
        "operation": "invokeaction",
        "messageID": "a1",
        "thingID": LAMP,
        "name": "blink",
        "input": {"times": 2},
    }
    client.send(action | {"seq": 1})
    first = await client.next(correlationID="a1")
    client.send(action | {"seq": 2})
    second = await client.next(correlationID="a1")
    assert first["output"] == second["output"] == {"blinked": {"times": 2}}
    assert len(device.asked) == 1
    client.send(action | {"seq": 3, "input": {"times": 3}})
    third = await client.next(correlationID="a1")
    assert third["error"]["field"] == "/messageID"
    assert len(device.asked) == 1


async def test_two_that_ask_at_once_share_one_run(hub, device, raw):
    client = await raw(hub.user_token())
    await client.hello()
    for seq in (1, 2):
        client.send(
            {"messageType": "request", "operation": "invokeaction", "messageID": "same", "seq": seq}
            | {"thingID": LAMP, "name": "sleep"}
        )
    await within(lambda: device.asked)
    await asyncio.sleep(0.05)
    assert len(device.asked) == 1
    device.client.respond(device.asked[0], output="up")
    assert (await client.next(correlationID="same"))["output"] == "up"
    assert (await client.next(correlationID="same"))["output"] == "up"


async def test_an_action_whose_device_begins_anew_has_an_unknown_outcome(hub, device, app):
    asking = asyncio.create_task(app.ask("invokeaction", name="sleep"))
    await within(lambda: device.asked)
    again = Device(hub)
    await again.start()
    with pytest.raises(OutcomeUnknown):
        await asking
    await again.client.close()


async def test_events_are_never_merged(device, app):
    await app.ask("subscribeallevents")
    for degrees in range(50):
        device.client.notify("subscribeevent", name="overheated", data=degrees)
    await device.kept()
    await within(lambda: len(app.told["subscribeevent"]) == 50)
    assert [event.data for event in app.told["subscribeevent"]] == list(range(50))
    await app.ask("unsubscribeallevents")
    device.client.notify("subscribeevent", name="overheated", data=99)
    await device.kept()
    await app.ask("readallproperties")
    assert len(app.told["subscribeevent"]) == 50


async def test_a_thing_reaches_itself_alone(hub, device):
    other = Device(hub, thing="urn:dev:other")
    await other.start()
    with pytest.raises(Forbidden) as caught:
        await other.client.request("readallproperties", thing_id=LAMP)
    assert caught.value.field == "/thingID"
    for operation, members in (
        ("writeproperty", {"name": "on", "value": True}),
        ("invokeaction", {"name": "blink"}),
        ("subscribeallevents", {}),
        ("observeallproperties", {}),
        ("readhistory", {"name": "on", "input": {"from": "2026-01-01T00:00:00Z"}}),
        ("opencall", {}),
    ):
        with pytest.raises(Forbidden):
            await other.client.request(operation, thing_id=LAMP, **members)
    seen = (await other.client.request("observethings")).value
    assert [state["description"]["id"] for state in seen] == ["urn:dev:other"]
    assert (await other.client.request("readallproperties")).value == {}
    assert device.asked == []
    await other.client.close()


async def test_an_app_cannot_speak_for_a_thing(device, app):
    with pytest.raises(UnknownOperation):
        await app.client.request("describething", value=describe())
    app.client.notify("observeproperty", thing_id=LAMP, name="on", value=True)
    await within(lambda: app.told["error"])
    assert app.told["error"][0].error.type.endswith("unknown-operation")
    assert (await app.ask("readallproperties")).value == {}


async def test_the_page_may_read_in_the_other_format(hub, device):
    app = App(hub, brief=True)
    await app.client.start(5)
    await app.ask("observeallproperties")
    device.report("text", "grün")
    await within(lambda: app.values("text") == ["grün"])
    assert (await app.ask("invokeaction", name="blink", input={"times": 1})).output == {
        "blinked": {"times": 1}
    }
    await app.client.close()
