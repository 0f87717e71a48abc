"""Replies: handed on at once, and coroutines that run on them without a task."""

from __future__ import annotations

import pytest

from plait.hub.reply import Reply, start


def test_the_first_result_counts():
    reply = Reply()
    seen = []
    reply.then(lambda done: seen.append(done.result()))
    reply.set(1)
    reply.set(2)
    reply.fail(ValueError())
    reply.then(lambda done: seen.append(done.result()))
    assert seen == [1, 1]


def test_an_error_is_raised_where_it_is_asked_for():
    reply = Reply()
    reply.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        reply.result()


def test_a_coroutine_runs_as_far_as_it_gets_and_on_when_its_reply_comes():
    first, second, steps = Reply(), Reply(), []

    async def work():
        steps.append("began")
        steps.append(await first)
        try:
            await second
        except ValueError as error:
            steps.append(str(error))
        return "end"

    reply = start(work())
    assert steps == ["began"]
    first.set("first")
    assert steps == ["began", "first"]
    assert not reply.done
    second.fail(ValueError("second"))
    assert steps == ["began", "first", "second"]
    assert reply.result() == "end"


def test_what_a_coroutine_raises_is_its_reply():
    async def work():
        raise KeyError("x")

    with pytest.raises(KeyError):
        start(work()).result()


def test_a_thousand_replies_that_are_there_already_need_no_stack():
    async def work():
        total = 0
        for number in range(10_000):
            ready = Reply()
            ready.set(number)
            total += await ready
        return total

    assert start(work()).result() == sum(range(10_000))


async def test_a_task_can_wait_for_one():
    reply = Reply()
    future = reply.future()
    reply.set(3)
    assert await future == 3
    failed = Reply()
    failed.fail(OSError("no disk"))
    with pytest.raises(OSError, match="no disk"):
        await failed.future()


async def test_a_future_that_nobody_waits_for_any_more_is_left_alone():
    reply = Reply()
    reply.future().cancel()
    reply.set(3)
    assert reply.result() == 3
