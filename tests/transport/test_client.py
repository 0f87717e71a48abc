"""A client's session over connections that break, against a hub in memory."""

from __future__ import annotations

import asyncio

import pytest

from plait.transport.client import Client
from plait.transport.reconnect import Backoff
from plait.wire import messages
from plait.wire.errors import Busy, InvalidMessage, Offline, SessionLost, Timeout, Unauthorized

TEMPERATURE = messages.OBSERVE_PROPERTY


class Owner:
    """What a thing or an app is to its client."""

    def __init__(self, hub, **options):
        self.messages = []
        self.states = []
        self.client = Client(
            "http://memory",
            on_message=self.messages.append,
            on_state=self.states.append,
            dial=hub.dial,
            **options,
        )


async def within(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions on plain attributes, which tell nobody of a change
            await asyncio.sleep(0.005)


@pytest.fixture
async def owner(hub):
    owner = Owner(hub)
    await owner.client.start()
    yield owner
    await owner.client.close()


def values(hub):
    return [message.value for message in hub.received]


async def test_request_is_answered(hub, owner):
    hub.answer = lambda asked: messages.response(asked, value=21.5)
    answer = await owner.client.request("readproperty", thing_id="urn:x", name="t")
    assert answer.value == 21.5
    assert owner.states == ["connecting", "connected"]


async def test_problem_becomes_the_typed_error(hub, owner):
    hub.answer = lambda asked: messages.response(asked, error=Offline("the lamp sleeps").problem())
    with pytest.raises(Offline, match="the lamp sleeps"):
        await owner.client.request("readproperty", thing_id="urn:x", name="t")


async def test_no_answer_is_a_timeout(hub, owner):
    hub.answer = lambda _: None
    with pytest.raises(Timeout):
        await owner.client.request("invokeaction", name="open", timeout=0.05)


async def test_command_travels_with_its_deadline(hub, owner):
    before = messages.now()
    await owner.client.request("invokeaction", name="open", timeout=7)
    left = (hub.received[-1].deadline - before).total_seconds()
    assert 6.9 < left < 8


async def test_nothing_is_lost_or_doubled_over_a_break(hub, owner):
    for value in range(100):
        owner.client.notify(TEMPERATURE, name="t", value=value)
        if value in (30, 60):
            await asyncio.sleep(0)
            hub.sever()
    await hub.until(lambda: len(hub.received) == 100)
    assert values(hub) == list(range(100))
    assert "resumed" in owner.states


async def test_what_was_said_while_away_goes_out_on_return(hub, owner):
    hub.refusal = ConnectionRefusedError()
    hub.sever()
    await within(lambda: "lost" in owner.states)
    owner.client.notify(TEMPERATURE, name="t", value=1)
    hub.refusal = None
    await hub.until(lambda: values(hub) == [1])


async def test_hub_killed_describes_first_then_sends_the_rest(hub):
    described = []

    def describe():
        described.append(messages.request(messages.DESCRIBE_THING, value={"id": "urn:x"}))
        return described[-1:]

    owner = Owner(hub, on_session=describe)
    await owner.client.start()
    for value in range(50):
        owner.client.notify(TEMPERATURE, name="t", value=value)
    await hub.until(lambda: len(hub.received) == 51)
    hub.kill()
    for value in range(50, 100):
        owner.client.notify(TEMPERATURE, name="t", value=value)
    await hub.until(lambda: len(hub.received) == 102)
    assert [m.operation for m in hub.received if m.operation == messages.DESCRIBE_THING] == [
        "describething"
    ] * 2
    assert hub.received[51].operation == messages.DESCRIBE_THING
    assert [m.value for m in hub.received if m.operation == TEMPERATURE] == list(range(100))
    assert owner.states.count("connected") == 2
    assert owner.client.session.id == hub.session.id
    await owner.client.close()


async def test_request_that_the_old_session_took_is_told_lost(hub, owner):
    hub.answer = lambda _: None
    asking = asyncio.ensure_future(owner.client.request("invokeaction", name="open"))
    await hub.until(lambda: len(hub.received) == 1)
    await within(lambda: not owner.client.session.buffered)
    hub.kill()
    with pytest.raises(SessionLost):
        await asking


async def test_a_lost_session_is_told_with_what_is_not_known(hub):
    lost = []
    owner = Owner(hub, on_lost=lost.append)
    await owner.client.start()
    assert lost == []  # the first session takes the place of none
    hub.answer = lambda _: None
    asking = asyncio.ensure_future(owner.client.request("invokeaction", name="open"))
    await within(lambda: len(hub.received) == 1 and not owner.client.session.buffered)
    hub.kill()
    with pytest.raises(SessionLost):
        await asking
    ((unknown,),) = lost
    assert (unknown.operation, unknown.name) == ("invokeaction", "open")
    assert unknown.message_id == hub.received[0].message_id
    await owner.client.close()


async def test_a_session_that_goes_on_is_not_told_as_lost(hub):
    lost = []
    owner = Owner(hub, on_lost=lost.append)
    await owner.client.start()
    hub.sever()
    await within(lambda: owner.states[-1] == "resumed")
    assert lost == []
    await owner.client.close()


async def test_request_that_nobody_took_is_sent_again(hub, owner):
    hub.refusal = ConnectionRefusedError()
    hub.kill()
    await within(lambda: "lost" in owner.states)
    asking = asyncio.ensure_future(owner.client.request("invokeaction", name="open"))
    await asyncio.sleep(0)
    hub.refusal = None
    assert (await asking).output == {}
    assert len(hub.received) == 1


async def test_messages_come_once_in_order_and_are_acknowledged(hub, owner):
    for value in range(200):
        hub.send(messages.notification(TEMPERATURE, name="t", value=value))
        if value in (50, 150):
            await within(lambda: len(owner.messages) > 20)
            hub.sever()
            breaks = 1 + (value == 150)
            await within(lambda breaks=breaks: owner.states.count("resumed") == breaks)
    await within(lambda: len(owner.messages) == 200)
    assert [message.value for message in owner.messages] == list(range(200))
    await within(lambda: hub.session.buffered == 0)


async def test_ack_comes_within_its_time_without_other_traffic(hub, owner):
    hub.send(messages.notification(TEMPERATURE, name="t", value=1))
    started = asyncio.get_running_loop().time()
    await within(lambda: hub.session.buffered == 0)
    assert asyncio.get_running_loop().time() - started < 1


async def test_handler_that_raises_answers_its_request(hub):
    def refuse(message):
        raise Offline("not now")

    client = Client("http://memory", on_message=refuse, dial=hub.dial)
    await client.start()
    hub.send(messages.request("invokeaction", name="blink"))
    await hub.until(lambda: len(hub.received) == 1)
    assert hub.received[0].error.type == "urn:plait:problem:offline"
    await client.close()


async def test_async_handlers_run_side_by_side(hub):
    both = asyncio.Barrier(2)

    async def handle(message):
        await both.wait()
        client.respond(message, output=message.name)

    client = Client("http://memory", on_message=handle, dial=hub.dial)
    await client.start()
    hub.send(messages.request("invokeaction", name="a"))
    hub.send(messages.request("invokeaction", name="b"))
    await hub.until(lambda: len(hub.received) == 2)
    assert {message.output for message in hub.received} == {"a", "b"}
    await client.close()


async def test_wrong_credential_ends_it(hub):
    hub.refusal = Unauthorized("no such token")
    owner = Owner(hub)
    with pytest.raises(Unauthorized, match="no such token"):
        await owner.client.start()
    assert owner.states == ["connecting", "closed"]


@pytest.mark.parametrize(("code", "error"), [(1008, Unauthorized), (4001, SessionLost)])
async def test_close_codes_that_end_it(hub, owner, code, error):
    hub.transport.close(code, "go away")
    with pytest.raises(error, match="go away"):
        await owner.client.closed()
    with pytest.raises(error):
        owner.client.notify(TEMPERATURE, value=1)


async def test_no_hub_is_a_timeout_that_says_why(hub):
    hub.refusal = ConnectionRefusedError("nobody listens")
    owner = Owner(hub)
    with pytest.raises(Timeout, match="nobody listens"):
        await owner.client.start(timeout=0.3)


async def test_close_flushes_first(hub, owner):
    owner.client.notify(TEMPERATURE, name="t", value=1)
    await owner.client.close()
    assert values(hub) == [1]
    assert owner.states[-1] == "closed"


async def test_who_waits_for_the_end_is_told(hub, owner):
    waiting = asyncio.ensure_future(owner.client.closed())
    await asyncio.sleep(0)
    await owner.client.close()
    await waiting
    assert owner.states == ["connecting", "connected", "closed"]
    assert not owner.client.connected


async def test_handler_may_close_its_own_client(hub):
    async def handle(_):
        await client.close()

    client = Client("http://memory", on_message=handle, dial=hub.dial)
    await client.start()
    hub.send(messages.notification(TEMPERATURE, value=1))
    await asyncio.wait_for(client.closed(), 5)
    await within(lambda: hub.transport.closed)


async def test_round_trip_is_measured(owner):
    await within(lambda: owner.client.rtt is not None)
    assert 0 <= owner.client.rtt < 1


async def test_garbage_from_the_hub_disturbs_nothing(hub, owner):
    hub.transport.send(b"\xff not json")
    hub.transport.send(b'{"messageType":"request","operation":7,"messageID":"m1","seq":1}')
    await hub.until(lambda: len(hub.received) == 1)
    assert hub.received[0].correlation_id == "m1"
    assert hub.received[0].error.field == "/operation"
    hub.session.sent = 1  # the hub counts what it sent by hand
    hub.session.acked = 1
    hub.send(messages.notification(TEMPERATURE, value=2))
    await within(lambda: owner.messages)
    assert owner.messages[0].value == 2
    assert owner.states == ["connecting", "connected"]


async def test_gap_closes_and_resumes(hub, owner):
    hub.send(messages.notification(TEMPERATURE, value=1))
    hub.transport.send(b'{"messageType":"notification","operation":"x","seq":9}')
    await within(lambda: "resumed" in owner.states)
    assert hub.hellos == 2


@pytest.mark.parametrize("break_after", [4, 7])
async def test_connections_that_live_for_a_few_messages_only(hub, monkeypatch, break_after):
    """Each break loses what is under way; still everything arrives once and in order, both ways."""
    monkeypatch.setattr(Backoff, "CAP", 0.002)
    hub.break_after = break_after
    owner = Owner(hub)
    await owner.client.start()
    for value in range(60):
        owner.client.notify(TEMPERATURE, name="t", value=value)
        hub.send(messages.notification(messages.SUBSCRIBE_EVENT, name="e", data=value))
        await asyncio.sleep(0.001)
    await within(lambda: len(hub.received) == 60 and len(owner.messages) == 60, 20)
    assert values(hub) == list(range(60))
    assert [message.data for message in owner.messages] == list(range(60))
    assert hub.hellos > 10
    assert owner.states.count("connected") == 1
    hub.break_after = None
    await owner.client.close()


async def test_close_while_it_is_dialling(hub):
    """Closing never waits for a hub that does not answer."""
    reached = asyncio.Event()

    async def dial(on_open):
        reached.set()
        await asyncio.Event().wait()

    states = []
    client = Client("http://memory", on_message=lambda _: None, on_state=states.append, dial=dial)
    starting = asyncio.ensure_future(client.start())
    await reached.wait()
    await asyncio.wait_for(client.close(), 1)
    with pytest.raises(SessionLost):
        await starting
    assert states == ["connecting", "closed"]


async def test_hub_that_refuses_the_hello_ends_it(hub):
    refusal = InvalidMessage("this hub speaks protocol 7", field="/input/protocol")
    hub.greet = lambda asked: messages.response(asked, error=refusal.problem())
    owner = Owner(hub)
    with pytest.raises(InvalidMessage, match="protocol 7"):
        await owner.client.start()


async def test_what_comes_before_the_welcome_is_let_pass(hub):
    def greet(asked):
        hub.greet = None
        hub._greet(hub.transport, asked)
        return messages.notification(messages.ERROR)

    def early(asked):
        hub.transport.send(b'{"messageType":"notification","operation":"x","seq":4}')
        return greet(asked)

    hub.greet = early
    owner = Owner(hub)
    await owner.client.start(5)
    await within(lambda: owner.messages)
    assert [message.operation for message in owner.messages] == [messages.ERROR]  # the one that came after
    await owner.client.close()


async def test_hub_that_is_busy_is_asked_again(hub, monkeypatch):
    monkeypatch.setattr(Backoff, "CAP", 0.01)
    answers = [lambda asked: messages.response(asked, error=Busy().problem()), None]
    owner = Owner(hub)
    hub.greet = answers[0]
    starting = asyncio.ensure_future(owner.client.start())
    await within(lambda: hub.hellos > 2)
    hub.greet = None
    await starting
    await owner.client.close()


async def test_too_much_waiting_is_busy(hub, owner):
    hub.refusal = ConnectionRefusedError()
    hub.sever()
    for _ in range(8):
        owner.client.notify(TEMPERATURE, name="t", value="x" * 1_000_000)
    with pytest.raises(Busy):
        owner.client.notify(TEMPERATURE, name="t", value="x" * 1_000_000)
    hub.refusal = None
    assert await owner.client.flush(10)
    assert len(hub.received) == 8


async def test_flush_says_whether_it_came_through(hub, owner):
    assert await owner.client.flush(0)
    hub.refusal = ConnectionRefusedError()
    hub.sever()
    owner.client.notify(TEMPERATURE, name="t", value=1)
    assert not await owner.client.flush(0.05)
    hub.refusal = None
    assert await owner.client.flush(10)


async def test_errors_about_errors_are_not_sent(hub, owner):
    hub.transport.send(b'{"messageType":"notification","operation":"error","error":5}')
    hub.send(messages.notification(TEMPERATURE, value=1))
    await within(lambda: owner.messages)
    assert not [message for message in hub.beside if message.operation == messages.ERROR]
    hub.transport.send(b'{"messageType":"notification","operation":"observeproperty","name":5}')
    await within(lambda: [message for message in hub.beside if message.operation == messages.ERROR])


async def test_hub_may_ping(hub, owner):
    hub.transport.send(b'{"messageType":"request","operation":"ping","messageID":"p1"}')
    await within(lambda: [message for message in hub.beside if message.correlation_id == "p1"])
