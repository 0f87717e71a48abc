"""What comes while a link is asked for, in any order in which it may come; the hub is made to answer late."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest

from plait.app import connect
from plait.hub.reply import Reply
from plait.hub.rooms.links import Links
from plait.testing import Cable, running_hub, served
from plait.thing import Thing
from plait.wire.errors import LinkLost

from .ends import WITHIN, said, trip

ECHO = "urn:dev:echo"


class Echo(Thing):
    """Says hello, and sends back what comes."""

    async def on_link(self, link):
        echo = link.channel("echo")
        await echo.send("hello")
        async for message in echo:
            await echo.send(message)


class Brief(Thing):
    """Says one word and ends the link."""

    async def on_link(self, link):
        await link.channel("echo").send("goodbye")


def reply_of(work):
    """What the hub's own coroutines await."""
    reply = Reply()
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or reply.set(done.result()))
    return reply


class LateHub:
    """A hub that can be made to answer who opens a link late.

    Attributes:
        before: what must happen once before the thing is asked.
        between: what must happen once between the thing's answer and the hub's; told the route.
    """

    def __init__(self, monkeypatch):
        self.before = self.between = None
        self._said = b""
        self._news = asyncio.Event()
        ask, packet = Links._ask, Links._packet

        async def late(room, opener, message, route, given):
            if (before := self.before) is not None:
                self.before = None
                await reply_of(before())
            answer = await ask(room, opener, message, route, given)
            if (between := self.between) is not None:
                self.between = None
                await reply_of(between(route))
            return answer

        def hear(room, client, message):
            packet(room, client, message)
            self._said += base64.b64decode(message.data)
            self._news.set()

        monkeypatch.setattr(Links, "_ask", late)
        monkeypatch.setattr(Links, "_packet", hear)

    async def heard(self, word):
        """Wait until it has handed on a packet with this in it."""
        async with asyncio.timeout(WITHIN):
            while word not in self._said:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def late(monkeypatch):
    return LateHub(monkeypatch)


@pytest.fixture
async def hub(late, tmp_path):
    async with running_hub(tmp_path) as hub:
        yield hub


@asynccontextmanager
async def linked_thing(hub, thing, *, by=None):
    """A thing, and an app's sight of it; the app comes by this address."""
    async with (
        served(thing, hub=hub),
        connect(by or hub.url, token=hub.user_token()) as home,
    ):
        yield home, await home.wait_for(ECHO, timeout=WITHIN)


async def test_what_the_thing_says_before_the_answer_is_the_links(hub, late):
    late.between = lambda _: late.heard(b"hello")
    async with linked_thing(hub, Echo(ECHO)) as (_, echo), echo.link(direct=False) as link:
        channel = link.channel("echo")
        assert await said(channel) == "hello"
        await trip(channel, "x")


async def test_the_end_may_come_before_the_answer(hub, late, monkeypatch):
    """The thing has said all it had to say; whether the answer comes before or after is the hub's affair."""

    async def ended(route):
        await late.heard(b"goodbye")
        async with asyncio.timeout(WITHIN):
            while route.id in room._routes:  # noqa: ASYNC110 - the hub tells nobody
                await asyncio.sleep(0.01)

    monkeypatch.setattr("plait.link.link.Link.settled", _at_once)  # nobody reads before the answer
    room = next(room for room in hub.clients.rooms if isinstance(room, Links))
    late.between = ended
    async with linked_thing(hub, Brief(ECHO)) as (_, echo), echo.link(direct=False) as link:
        assert link.closed.is_set()
        with pytest.raises(LinkLost):
            link.channel("echo")


async def _at_once(*_):
    return True


async def test_an_answer_is_worth_nothing_once_the_route_is_gone(hub, late):
    async def broken(route):
        hub.clients.lose(route.thing, 4003, "for the test")  # the opener is told, and then has its answer

    late.between = broken
    async with linked_thing(hub, Echo(ECHO)) as (_, echo), echo.link(direct=False) as link:
        channel = link.channel("echo")
        assert await said(channel) == "hello"
        late.between = broken
        hub.clients.lose(hub.clients.thing(ECHO), 4003, "for the test")  # asked again, and again in vain
        await trip(channel, "x")
        assert late.between is None


async def test_a_session_that_goes_on_while_a_link_is_asked_for_carries_nothing_yet(hub, late):
    async def resumed():
        home.on_state = lambda state: back.set() if state == "resumed" else None
        cable.cut()
        await asyncio.wait_for(back.wait(), WITHIN)
        for number in range(20):
            channel.send_nowait(str(number))
        await asyncio.sleep(0.1)  # where they went out now, the hub would know no route for them

    back = asyncio.Event()
    async with (
        Cable(hub.port) as cable,
        linked_thing(hub, Echo(ECHO), by=cable.url) as (home, echo),
        echo.link(direct=False) as link,
    ):
        channel = link.channel("echo")
        assert await said(channel) == "hello"
        late.before = resumed
        hub.clients.lose(hub.clients.thing(ECHO), 4003, "for the test")
        assert [await said(channel) for _ in range(20)] == [str(number) for number in range(20)]


async def test_who_gives_up_asking_leaves_nothing_behind(hub, late):
    async def slow(_):
        asked.set()
        await never.wait()

    asked, never, thing = asyncio.Event(), asyncio.Event(), Echo(ECHO)
    late.between = slow
    async with linked_thing(hub, thing) as (home, echo):
        asking = asyncio.ensure_future(echo.link(direct=False).__aenter__())
        await asyncio.wait_for(asked.wait(), WITHIN)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("on_link "))
        asking.cancel()
        await asyncio.wait([task], timeout=WITHIN)
        assert task.done(), "the thing's end is over too"
        assert home.links == {}
        never.set()
