"""The transports in memory, which others' tests stand on."""

from __future__ import annotations

import asyncio

import pytest

from plait.transport.base import TransportClosed
from plait.transport.memory import pair


def watch(transport):
    seen = []
    transport.on_message = seen.append
    transport.on_close = lambda code, _: seen.append(code)
    return seen


async def settle():
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("delay", [0, 0.001])
async def test_whole_messages_in_order_both_ways(delay):
    near, far = pair(delay=delay)
    at_near, at_far = watch(near), watch(far)
    for number in range(50):
        near.send(b"n%d" % number)
        far.send(b"f%d" % number)
    assert at_far == []
    assert near.buffered > 100
    await near.drain()
    await far.drain()
    assert at_far == [b"n%d" % number for number in range(50)]
    assert at_near == [b"f%d" % number for number in range(50)]
    assert near.buffered == 0


async def test_close_comes_after_what_was_sent_and_once():
    near, far = pair()
    at_near, at_far = watch(near), watch(far)
    near.send(b"last")
    near.close(4002)
    near.close(1000)
    far.close(1001)
    with pytest.raises(TransportClosed):
        near.send(b"late")
    await settle()
    assert at_far[-1] in (4002, 1001)
    assert at_near[-1] == at_far[-1]
    assert len(at_near) == 1


async def test_sever_loses_what_is_on_its_way():
    near, far = pair()
    at_near, at_far = watch(near), watch(far)
    near.send(b"lost")
    far.send(b"lost too")
    near.sever()
    far.sever()
    await settle()
    assert at_near == at_far == [1006]
    with pytest.raises(TransportClosed):
        far.send(b"x")
    await near.drain()


async def test_breaks_after_so_many_have_arrived():
    near, far = pair(break_after=2)
    at_near, at_far = watch(near), watch(far)
    far.send(b"a")
    for number in range(5):
        near.send(b"%d" % number)
    await settle()
    assert at_far == [b"0", b"1", 1006]
    assert at_near == [b"a", 1006]


async def test_writable_when_all_has_arrived():
    near, far = pair()
    watch(far)
    told = asyncio.Event()
    near.on_writable = told.set
    near.send(b"x")
    await asyncio.wait_for(told.wait(), 1)
