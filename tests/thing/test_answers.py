import asyncio
import functools
import threading
from datetime import timedelta
from typing import Annotated, Any

import pytest
from msgspec import Meta

from plait.thing import Thing, action, prop
from plait.thing.answers import REMEMBERED, Answers
from plait.thing.state import state_of
from plait.wire.errors import InvalidValue
from plait.wire.messages import now, request


class Oven(Thing):
    target: Annotated[int, Meta(ge=0, le=250)] = prop(0)
    door: str = prop("closed")
    heat: float = prop(readonly=True)
    light: bool = prop(False)
    fan: int = prop(0)

    def __init__(self) -> None:
        super().__init__("urn:dev:oven")
        self.runs = 0
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.started = asyncio.Event()

    def set_target(self, value: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return min(value, 200)

    async def set_door(self, value: str) -> None:
        if value == "jammed":
            raise RuntimeError("the hinge is stuck")
        if value == "odd":
            raise InvalidValue("an oven has no such door", field="/value")
        self.door = value.upper()

    async def set_light(self, value: bool) -> None:
        self.asked = value  # and no more: what is asked is accepted

    async def set_fan(self, value: int) -> Any:
        return "fast" if value else None

    @action
    async def bake(self, minutes: int, *, kind: str = "bread") -> str:
        self.runs += 1
        await asyncio.sleep(0)
        return f"{kind} for {minutes}"

    @action
    def clean(self) -> int:
        self.runs += 1
        return self.runs

    @action
    def stall(self) -> None:
        self.entered.set()
        self.go_on.wait(10)

    @action
    async def wait(self) -> None:
        self.started.set()
        await asyncio.sleep(60)

    @action
    async def burn(self) -> None:
        raise ZeroDivisionError

    @action
    def lie(self) -> int:
        return "three"  # type: ignore[return-value]


@pytest.fixture
async def oven() -> Oven:
    return Oven()


async def ask(oven: Oven, operation: str, name: str, **members: Any) -> dict[str, Any]:
    answers, asked = Answers(oven), request(operation, name=name, **members)
    return answers.read(asked) if operation == "readproperty" else await answers.answer(asked)


async def test_a_read_gives_the_value_and_when_it_was_true(oven: Oven):
    oven.heat = 180
    answer = await ask(oven, "readproperty", "heat")
    assert answer == {"value": 180.0, "timestamp": state_of(oven).reading("heat").timestamp}


@pytest.mark.parametrize(
    ("name", "written", "confirmed"),
    [
        ("target", 240, 200),  # what the hook returned
        ("door", "open", "OPEN"),  # what the hook assigned
        ("light", True, True),  # the hook did neither
    ],
)
async def test_a_write_is_confirmed_with_what_it_came_to(oven: Oven, name: str, written: Any, confirmed: Any):
    answer = await ask(oven, "writeproperty", name, value=written)
    assert answer["value"] == confirmed
    assert getattr(oven, name) == confirmed
    assert answer["timestamp"] == state_of(oven).reading(name).timestamp


@pytest.mark.parametrize(
    ("operation", "name", "members", "code", "field"),
    [
        ("readproperty", "nose", {}, "unknown-affordance", "/name"),
        ("readproperty", "heat", {}, "action-failed", "/name"),
        ("writeproperty", "heat", {"value": 1.0}, "read-only", "/name"),
        ("writeproperty", "target", {"value": 251}, "invalid-value", "/value"),
        ("writeproperty", "target", {}, "invalid-value", "/value"),
        ("writeproperty", "door", {"value": "jammed"}, "action-failed", None),
        ("writeproperty", "door", {"value": "odd"}, "invalid-value", "/value"),
        ("writeproperty", "fan", {"value": 1}, "action-failed", None),
        ("invokeaction", "nose", {}, "unknown-affordance", "/name"),
        ("invokeaction", "bake", {}, "invalid-value", "/input"),
        ("invokeaction", "bake", {"input": {"minutes": "x"}}, "invalid-value", "/input/minutes"),
        ("invokeaction", "bake", {"input": {"minutes": 1, "salt": 1}}, "invalid-value", "/input"),
        ("invokeaction", "clean", {"input": 5}, "invalid-value", "/input"),
        ("invokeaction", "burn", {}, "action-failed", None),
        ("invokeaction", "lie", {}, "action-failed", None),
        ("observeproperty", "heat", {}, "unknown-operation", "/operation"),
    ],
)
async def test_what_is_wrong_is_a_problem(oven, operation, name, *, members, code, field):
    problem = (await ask(oven, operation, name, **members))["error"]
    assert problem.type == f"urn:plait:problem:{code}"
    assert problem.field == field


async def test_what_an_action_raises_is_told_in_its_own_words(oven: Oven):
    assert (await ask(oven, "writeproperty", "door", value="jammed"))["error"].detail == "the hinge is stuck"
    assert (await ask(oven, "invokeaction", "burn"))["error"].detail == "ZeroDivisionError"
    assert oven.door == "closed"


async def test_actions_run_and_give_their_output(oven: Oven):
    answer = await ask(oven, "invokeaction", "bake", input={"minutes": 5, "kind": "pie"})
    assert answer == {"output": "pie for 5"}
    assert await ask(oven, "invokeaction", "clean") == {"output": 2}


async def test_an_action_asked_twice_is_done_once(oven: Oven):
    answers = Answers(oven)
    asked = request("invokeaction", name="bake", input={"minutes": 5})
    both = await asyncio.gather(answers.answer(asked), answers.answer(asked))
    again = await answers.answer(asked)
    assert both[0] == both[1] == again == {"output": "bread for 5"}
    assert oven.runs == 1
    failed = request("invokeaction", name="burn")
    assert await answers.answer(failed) == await answers.answer(failed)


async def test_results_are_forgotten_in_the_end(oven: Oven):
    answers = Answers(oven)
    first = request("invokeaction", name="clean")
    await answers.answer(first)
    for _ in range(REMEMBERED):
        await answers.answer(request("invokeaction", name="clean"))
    before = oven.runs
    await answers.answer(first)
    assert oven.runs == before + 1
    assert len(answers._results) <= REMEMBERED + 1


async def test_too_late_is_not_run(oven: Oven):
    answer = await ask(oven, "invokeaction", "clean", deadline=now() - timedelta(seconds=1))
    assert answer["error"].type == "urn:plait:problem:expired"
    assert oven.runs == 0


async def test_an_async_action_is_stopped_at_its_deadline(oven: Oven):
    answer = await ask(oven, "invokeaction", "wait", deadline=now() + timedelta(seconds=0.1))
    assert oven.started.is_set()
    assert answer["error"].type == "urn:plait:problem:timeout"


async def test_a_thread_cannot_be_stopped_and_that_is_said(oven: Oven):
    answer = await ask(oven, "invokeaction", "stall", deadline=now() + timedelta(seconds=0.2))
    oven.go_on.set()
    assert oven.entered.is_set()
    assert answer["error"].type == "urn:plait:problem:outcome-unknown"


async def test_blocking_code_does_not_keep_others_waiting(oven: Oven):
    answers = Answers(oven)
    stalled = asyncio.create_task(answers.answer(request("invokeaction", name="stall")))
    assert await answers.answer(request("invokeaction", name="bake", input={"minutes": 1}))
    assert not stalled.done()
    oven.go_on.set()
    assert await stalled == {"output": None}


async def test_an_action_stops_with_the_service_that_runs_it(oven: Oven):
    answers = Answers(oven)
    asked = request("invokeaction", name="wait")
    served = asyncio.create_task(answers.answer(asked))
    await asyncio.wait_for(oven.started.wait(), 10)
    again = asyncio.create_task(answers.answer(asked))
    await asyncio.sleep(0)
    served.cancel()
    ended = await asyncio.gather(served, again, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError, asyncio.CancelledError]


async def test_a_repeat_that_is_given_up_leaves_the_action(oven: Oven):
    answers = Answers(oven)
    asked = request("invokeaction", name="stall")
    first = asyncio.create_task(answers.answer(asked))
    again = asyncio.create_task(answers.answer(asked))
    await asyncio.sleep(0)
    again.cancel()
    oven.go_on.set()
    assert await first == {"output": None}


async def test_writes_of_one_property_are_done_in_order():
    order: list[int] = []

    class Slow(Thing):
        level: int = prop(0)

        async def set_level(self, value: int) -> None:
            await asyncio.sleep(0.02 if value == 1 else 0)
            order.append(value)

    slow = Slow()
    answers = Answers(slow)
    await asyncio.gather(
        *(answers.answer(request("writeproperty", name="level", value=n)) for n in (1, 2, 3))
    )
    assert order == [1, 2, 3]
    assert slow.level == 3


async def test_a_decorator_may_hide_that_an_action_is_async():
    def logged(function):
        @functools.wraps(function)
        def call(*arguments, **members):
            return function(*arguments, **members)

        return call

    class Shy(Thing):
        @action
        @logged
        async def whisper(self, text: str) -> str:
            return text.lower()

    assert await Answers(Shy()).answer(request("invokeaction", name="whisper", input={"text": "A"})) == {
        "output": "a"
    }
