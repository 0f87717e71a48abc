"""Which path takes what, and when: what may be lost goes directly, even while the hub carries the rest."""

from __future__ import annotations

import asyncio

import pytest

from plait.link.link import Link


class Way:
    """A path to the other end that takes so long, and remembers what it carried."""

    def __init__(self, to, name, lanes, seconds):
        self.to, self.name, self.lanes, self.seconds = to, name, lanes, seconds
        self.carried = []
        self.swallows = False

    def room(self, lane):
        return lane in self.lanes or "any" in self.lanes

    def send(self, lane, packet):
        self.carried.append((lane, len(packet)))
        if not self.swallows:
            asyncio.get_running_loop().call_later(self.seconds[lane], self.to.receive, self.name, packet)


@pytest.fixture
async def ends():
    """Two ends, between which the direct path is quick for what may be lost, and slow for the rest."""
    a, b = Link("l"), Link("l")
    ways = []
    for here, there in ((a, b), (b, a)):
        hub = Way(there, "hub", ("any",), {"any": 0.02})
        direct = Way(there, "direct", ("fast", "sure"), {"fast": 0.001, "sure": 0.2})
        here.opened("hub", hub)
        here.opened("direct", direct)
        ways.append((hub, direct))
    async with asyncio.timeout(10):
        # Both have answered, and the hub is the better one.
        while not all(end.stats()["direct"]["rtt"] and end.path.name == "hub" for end in (a, b)):  # noqa: ASYNC110 - several events
            await asyncio.sleep(0.01)
    yield a, b, *ways[0]
    a.close()
    b.close()


async def test_values_go_directly_and_messages_over_the_hub(ends):
    a, b, hub, direct = ends
    pose, steps = a.values("pose"), a.channel("steps")
    theirs, came = b.values("pose"), b.channel("steps")
    hub.carried.clear()
    direct.carried.clear()
    pose.set("arm", b"1" * 1000)
    await steps.send(b"2" * 2000)
    assert await asyncio.wait_for(came.receive(), 5) == b"2" * 2000
    assert theirs.latest["arm"] == b"1" * 1000
    assert [lane for lane, size in direct.carried if size > 1000] == ["fast"]
    assert sum(size for _, size in hub.carried) < 3000
    assert a.path.name == b.path.name == "hub"


async def test_values_go_over_the_hub_where_the_direct_path_swallows_them(ends):
    a, b, _, direct = ends
    theirs, pose = b.values("pose"), a.values("pose")
    direct.swallows = True
    async with asyncio.timeout(10):
        number = 0
        while theirs.latest.get("arm") is None:
            number += 1
            pose.set("arm", str(number))
            await asyncio.sleep(0.05)
    assert a.path.name == "hub"


async def test_what_is_new_does_not_wait_for_what_is_to_be_sent_again():
    here, there = Link("l"), Link("l")
    way = Way(there, "hub", ("any",), {"any": 0.4})
    there.opened("hub", Way(here, "hub", ("any",), {"any": 0.4}))
    here.opened("hub", way)
    pose, steps = here.values("pose"), here.channel("steps")
    async with asyncio.timeout(5):
        while here.stats()["hub"]["rtt"] is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    pose.set("arm", b"1" * 1000)  # to be sent again after 1.5 round trips
    await asyncio.sleep(0.02)
    way.carried.clear()
    pose.set("arm", b"2" * 1500)
    await steps.send(b"3" * 3000)
    await asyncio.sleep(0.1)
    assert sum(size for _, size in way.carried) > 4500
    here.close()
    there.close()
