"""Things on a real hub."""

import asyncio
import logging
from datetime import timedelta
from typing import Annotated, Any

import pytest
from msgspec import Meta

from plait.app import Change
from plait.testing import connected, running_hub, served
from plait.thing import Thing, action, event, prop, serve
from plait.thing.call import Call
from plait.thing.state import state_of
from plait.wire.errors import (
    ActionFailed,
    Busy,
    Forbidden,
    InvalidDescription,
    InvalidValue,
    Offline,
    ReadOnly,
    SessionLost,
    Unauthorized,
    UnknownAffordance,
    UnknownOperation,
)
from plait.wire.messages import now


class Lamp(Thing):
    """A lamp."""

    on: bool = prop(False)
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(100)
    temperature: float = prop(readonly=True)
    overheated = event(float)

    def __init__(self, thing_id: str = "urn:dev:lamp") -> None:
        super().__init__(thing_id)
        self.calls: list[Call] = []
        self.ended = asyncio.Event()
        self.left = asyncio.Event()

    async def set_on(self, value: bool) -> bool:
        if self.brightness == 0:
            raise RuntimeError("no power")
        return value

    @action
    async def blink(self, times: int = 1) -> int:
        for _ in range(2 * times):
            self.on = not self.on
        return times

    @action
    def fuse(self) -> None:
        raise OSError("the fuse is gone")

    async def on_call(self, call: Call) -> None:
        self.calls.append(call)
        call.on_bye = lambda _: self.left.set()
        try:
            async for offer in call.offers():
                if offer.sdp == "raise":
                    raise ValueError("no such picture")
                if offer.sdp == "hang up":
                    return
                call.send_candidate(None)
                offer.answer(f"answer to {offer.sdp}")
        finally:
            self.ended.set()


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def lamp(hub):
    lamp = Lamp()
    async with served(lamp, hub=hub):
        yield lamp


@pytest.fixture
async def home(hub, lamp):
    async with connected(hub) as home:
        yield home


async def until(changes, name: str, value: Any) -> Change:
    async with asyncio.timeout(10):
        async for change in changes:
            if change.name == name and change.value == value:
                return change
    raise AssertionError


async def test_the_hub_has_its_description_and_first_values(home, lamp):
    proxy = home.thing("urn:dev:lamp")
    assert proxy.description["properties"]["brightness"]["maximum"] == 100
    assert proxy.description["base"] == home.hub
    values = {name: state.value for name, state in (await proxy.readings()).items()}
    assert values == {"on": False, "brightness": 100}


async def test_a_reading_arrives_with_the_time_of_its_assignment(home, lamp):
    proxy = home.thing("urn:dev:lamp")
    changes = proxy.watch()
    await until(changes, "on", False)
    lamp.temperature = 21.5
    change = await until(changes, "temperature", 21.5)
    assert change.timestamp == state_of(lamp).reading("temperature").timestamp
    lamp.overheated.emit(81.5)
    assert (await until(changes, "overheated", 81.5)).kind == "event"
    await changes.aclose()


async def test_every_reading_is_kept_in_order(home, lamp):
    start = now()
    for number in range(300):
        lamp.temperature = number
    proxy = home.thing("urn:dev:lamp")
    changes = proxy.watch("temperature")
    await until(changes, "temperature", 299)
    await changes.aclose()
    history = await proxy.history("temperature", start)
    assert [value for _, value in history] == list(range(300))
    buckets = await proxy.statistics("temperature", start, history[-1][0], buckets=1)
    assert [(bucket.minimum, bucket.maximum, bucket.count) for bucket in buckets] == [(0, 298, 299)]


async def test_a_thread_reports_too(home, lamp):
    changes = home.thing("urn:dev:lamp").watch("temperature")
    waiting = asyncio.create_task(until(changes, "temperature", 3.0))
    await asyncio.get_running_loop().run_in_executor(None, setattr, lamp, "temperature", 3.0)
    await waiting
    await changes.aclose()


async def test_a_write_is_confirmed_by_the_device_and_told_to_all(home, lamp):
    changes = home.thing("urn:dev:lamp").watch("on")
    await until(changes, "on", False)
    assert await home.thing("urn:dev:lamp").write("on", True) is True
    assert lamp.on is True
    await until(changes, "on", True)
    await changes.aclose()


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda p: p.write("brightness", 101), InvalidValue, "100"),
        (lambda p: p.write("temperature", 1.0), ReadOnly, "temperature"),
        (lambda p: p.write("nose", 1), UnknownAffordance, "nose"),
        (lambda p: p.read("nose"), UnknownAffordance, "nose"),
        (lambda p: p.invoke("fuse"), ActionFailed, "the fuse is gone"),
        (lambda p: p.invoke("blink", times="x"), InvalidValue, ""),
        (lambda p: p.invoke("nose"), UnknownAffordance, "nose"),
    ],
)
async def test_what_goes_wrong_is_a_typed_error(home, lamp, ask, error, text):
    with pytest.raises(error) as caught:
        await ask(home.thing("urn:dev:lamp"))
    assert text in caught.value.detail


async def test_a_hook_that_raises_leaves_the_value(home, lamp):
    proxy = home.thing("urn:dev:lamp")
    await proxy.write("brightness", 0)
    with pytest.raises(ActionFailed, match="no power"):
        await proxy.write("on", True)
    assert await proxy.read("on") is False


async def test_an_action_runs_and_answers(home, lamp):
    assert await home.thing("urn:dev:lamp").invoke("blink", times=4) == 4
    assert lamp.on is False


async def test_several_things_in_one_process(hub):
    things = [Lamp(f"urn:dev:lamp:{number}") for number in range(3)]
    async with served(*things, hub=hub), connected(hub) as home:
        assert len(await home.things()) == 3
        await home.thing("urn:dev:lamp:1").write("on", True)
    assert [thing.on for thing in things] == [False, True, False]


async def test_a_wrong_token_ends_it(hub):
    with pytest.raises(Unauthorized):
        await asyncio.wait_for(serve(Lamp(), hub=hub.url, token="nonsense"), 10)


async def test_a_token_of_another_thing_ends_it(hub):
    with pytest.raises((InvalidDescription, Forbidden)) as caught:
        await asyncio.wait_for(serve(Lamp(), hub=hub.url, token=hub.token("urn:dev:other")), 10)
    assert caught.value.field == "/value/id"


async def test_a_description_that_is_not_valid_ends_it(hub):
    class Odd(Lamp):
        def describe(self, **options: Any) -> dict[str, Any]:
            return super().describe(**options) | {"security": []}

    with pytest.raises(InvalidDescription) as caught:
        await asyncio.wait_for(serve(Odd(), hub=hub.url, token=hub.token("urn:dev:lamp")), 10)
    assert caught.value.field.startswith("/value")


async def test_a_description_that_cannot_be_made_ends_it(hub):
    class Broken(Lamp):
        def describe(self, **options: Any) -> dict[str, Any]:
            raise LookupError(f"no serial number for {sorted(options)}")

    with pytest.raises(LookupError, match="no serial number"):
        await asyncio.wait_for(serve(Broken(), hub=hub.url, token=hub.token("urn:dev:lamp")), 10)


async def test_a_second_process_displaces_the_first(hub):
    with pytest.raises(SessionLost):
        async with served(Lamp(), hub=hub), served(Lamp(), hub=hub):
            await asyncio.sleep(0)


async def test_a_main_that_raises_ends_it_and_says_so(hub):
    class Faulty(Lamp):
        go_on = asyncio.Event()

        async def main(self) -> None:
            await self.go_on.wait()
            self.temperature = 20
            raise ZeroDivisionError("sensor")

    token = hub.token("urn:dev:lamp")
    serving = serve(Faulty(), hub=hub.url, token=token, on_state=lambda *_: Faulty.go_on.set())
    with pytest.raises(ZeroDivisionError) as caught:
        await asyncio.wait_for(serving, 10)
    assert "Faulty.main() ended with this" in caught.value.__notes__[0]
    async with connected(hub) as home:
        proxy = home.thing("urn:dev:lamp")
        assert (await proxy.readings())["temperature"].value == 20
        with pytest.raises(Offline):
            await proxy.write("on", True)


async def test_a_main_that_returns_does_not(hub):
    class Brief(Lamp):
        async def main(self) -> None:
            self.temperature = 5

    async with served(Brief(), hub=hub), connected(hub) as home:
        assert await home.thing("urn:dev:lamp").read("temperature") == 5


async def test_a_reading_that_breaks_the_description_is_reported_and_disturbs_nothing(hub, caplog):
    class Liar(Lamp):
        def describe(self, **options: Any) -> dict[str, Any]:
            description = super().describe(**options)
            description["properties"]["temperature"]["maximum"] = 10
            return description

    liar = Liar()
    async with served(liar, hub=hub), connected(hub) as home:
        with caplog.at_level(logging.ERROR, "plait.thing"):
            liar.temperature = 50
            liar.temperature = 5
            changes = home.thing("urn:dev:lamp").watch("temperature")
            await until(changes, "temperature", 5.0)
            await changes.aclose()
    assert any("the hub says" in record.getMessage() for record in caplog.records)


async def test_a_thing_with_too_much_to_do_says_busy(hub):
    class Slow(Lamp):
        go_on = asyncio.Event()

        @action
        async def wait(self) -> None:
            await self.go_on.wait()

    slow = Slow()
    async with served(slow, hub=hub), connected(hub) as home:
        proxy = home.thing("urn:dev:lamp")
        waiting = [asyncio.create_task(proxy.invoke("wait", timeout=20)) for _ in range(80)]
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {type(task.exception()) for task in done} == {Busy}
        slow.go_on.set()
        await asyncio.gather(*pending, return_exceptions=True)
        assert sum(task.exception() is None for task in waiting) >= 60


# Calls: signals alone, without WebRTC


async def test_a_call_is_answered_and_ends_when_the_viewer_leaves(home, lamp):
    candidates: list[Any] = []
    async with home.thing("urn:dev:lamp").call() as call:
        call.on_candidate = candidates.append
        assert await call.offer("one") == "answer to one"
        assert await call.offer("two") == "answer to two"
        assert lamp.calls[0].id == call.id
        assert len(lamp.calls) == 1
        assert candidates == [None, None]
    await asyncio.wait_for(lamp.left.wait(), 10)
    await asyncio.wait_for(lamp.ended.wait(), 10)


async def test_a_handler_that_raises_refuses_the_offer_and_ends_the_call(home, lamp):
    gone = asyncio.Event()
    async with home.thing("urn:dev:lamp").call() as call:
        call.on_bye = lambda _: gone.set()
        with pytest.raises(ActionFailed, match="no such picture"):
            await call.offer("raise")
        await asyncio.wait_for(gone.wait(), 10)


async def test_a_handler_that_returns_says_bye(home, lamp):
    gone: asyncio.Queue[str] = asyncio.Queue()
    async with home.thing("urn:dev:lamp").call() as call:
        call.on_bye = gone.put_nowait
        with pytest.raises(ActionFailed, match="The call has ended"):
            await call.offer("hang up")
        await asyncio.wait_for(gone.get(), 10)


async def test_a_thing_without_calls_says_so(hub):
    class Plain(Thing):
        pass

    async with (
        served(Plain("urn:dev:plain"), hub=hub),
        connected(hub) as home,
        home.thing("urn:dev:plain").call() as call,
    ):
        with pytest.raises(UnknownOperation, match="Plain takes no calls"):
            await call.offer("hello")


async def test_a_deadline_travels(home, lamp):
    asked = now()
    reading = await home.thing("urn:dev:lamp").reading("on")
    assert reading.timestamp <= asked + timedelta(seconds=1)
