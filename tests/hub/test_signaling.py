"""Calls: the hub hands signals on, and reads none of them."""

from __future__ import annotations

import pytest

from plait.hub.settings import Settings
from plait.wire import messages
from plait.wire.errors import InvalidMessage

from .conftest import LAMP, App, Device, within

SERVERS = [{"urls": ["stun:192.0.2.1:3478"]}]


@pytest.fixture
def settings(tmp_path):
    return Settings(port=0, data=tmp_path / "data", ice_servers=SERVERS, turn=False)


@pytest.fixture
async def call(device, app):
    opened = (await app.ask("opencall")).output
    assert opened["iceServers"] == SERVERS
    return opened["call"]


def signals(side):
    asked = side.asked if isinstance(side, Device) else side.told["signal"]
    return [message.data for message in asked if message.operation == "signal"]


async def test_offer_and_answer(device, app, call):
    offer = {"type": "offer", "sdp": "v=0 offer", "unheard": {"of": [1]}}
    answer = await app.ask("signal", call=call, data=offer)
    assert answer.output == {"type": "answer", "sdp": "v=0"}
    assert signals(device) == [offer | {"iceServers": SERVERS}]
    await app.ask("signal", call=call, data=offer)
    assert signals(device)[1] == offer
    assert device.asked[0].call == call


async def test_candidates_go_both_ways_in_order(device, app, call):
    candidates = [{"type": "candidate", "candidate": f"candidate:{n}", "sdpMid": "0"} for n in range(20)]
    for candidate in candidates:
        app.client.notify(messages.SIGNAL, thing_id=LAMP, call=call, data=candidate)
        device.client.notify(messages.SIGNAL, thing_id=LAMP, call=call, data=candidate)
    await within(lambda: len(signals(device)) == len(signals(app)) == 20)
    assert signals(device) == signals(app) == candidates


async def test_the_thing_may_offer_too(device, app, call):
    async def answer(message):
        app.client.respond(message, output={"type": "answer", "sdp": "v=0 app"})

    app.client._on_message = answer
    told = await device.client.request(
        "signal", thing_id=LAMP, call=call, data={"type": "offer", "sdp": "v=0 thing"}
    )
    assert told.output["sdp"] == "v=0 app"


async def test_bye_ends_a_call(device, app, call):
    app.client.notify(
        messages.SIGNAL, thing_id=LAMP, call=call, data={"type": "bye", "reason": "seen enough"}
    )
    await within(lambda: signals(device) == [{"type": "bye", "reason": "seen enough"}])
    with pytest.raises(InvalidMessage) as caught:
        await app.ask("signal", call=call, data={"type": "offer", "sdp": ""})
    assert caught.value.field == "/call"


async def test_the_other_end_hears_bye_when_an_app_is_gone(device, app, call):
    await app.client.close()
    await within(lambda: signals(device))
    assert signals(device)[0]["type"] == "bye"


async def test_the_other_end_hears_bye_when_a_thing_is_gone(device, app, call):
    await device.client.close()
    await within(lambda: signals(app))
    assert signals(app)[0]["type"] == "bye"


async def test_nobody_gets_into_anothers_call(hub, device, app, call):
    other = App(hub)
    await other.client.start(5)
    with pytest.raises(InvalidMessage) as caught:
        await other.ask("signal", call=call, data={"type": "offer", "sdp": "v=0"})
    assert caught.value.field == "/call"
    other.client.notify(messages.SIGNAL, thing_id=LAMP, call=call, data={"type": "bye"})
    await within(lambda: other.told["error"])
    assert signals(device) == signals(app) == []
    await other.client.close()


async def test_a_call_that_the_hub_does_not_know_any_more_is_taken_up(device, app, call):
    """As after a restart of the hub: the viewer names the call that it had."""
    opened = (await app.ask("opencall", call="from-before")).output
    assert opened["call"] == "from-before"
    app.client.notify(messages.SIGNAL, thing_id=LAMP, call="from-before", data={"type": "here"})
    await within(lambda: signals(device) == [{"type": "here"}])
    with pytest.raises(InvalidMessage, match="1 to 64 characters"):
        await app.ask("opencall", call="x" * 65)


async def test_a_call_taken_up_by_a_new_session_is_not_ended_by_the_old_ones(hub, device, app, call):
    again = App(hub, token=app.token)
    await again.client.start(5)
    assert (await again.ask("opencall", call=call)).output["call"] == call
    await app.client.close()
    again.client.notify(messages.SIGNAL, thing_id=LAMP, call=call, data={"type": "here"})
    await within(lambda: signals(device) == [{"type": "here"}])
    await again.client.close()


async def test_a_hub_that_stops_ends_no_calls(hub, device, app, call):
    hub.clients.close()
    await within(lambda: "lost" in device.states and "lost" in app.states)
    assert signals(device) == signals(app) == []
