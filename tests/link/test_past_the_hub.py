"""What passes the hub by on a direct link, what comes twice and counts once, and access taken back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from plait.app import connect
from plait.hub.store.credentials import open_credentials
from plait.testing import HubProcess, connected, running_hub, served
from plait.wire.errors import Forbidden, LinkLost, Offline, PlaitError, Timeout, Unauthorized

from .ends import VALVE, WITHIN, Valve, on


class Heard:
    """What a watch yields."""

    def __init__(self, proxy, *names):
        self.changes = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._listen(proxy, names))

    async def _listen(self, proxy, names):
        async for change in proxy.watch(*names):
            self.changes.append((change.name, change.value))
            self._news.set()

    async def until(self, *last):
        async with asyncio.timeout(WITHIN):
            while self.changes[-1:] != [last]:
                self._news.clear()
                await self._news.wait()
        return self.changes

    async def end(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def once_it_is_back(ask):
    """Ask again for as long as the device has not found back to the hub."""
    async with asyncio.timeout(WITHIN):
        while True:
            with suppress(Offline):
                return await ask()
            await asyncio.sleep(0.05)


async def test_the_thing_is_asked_and_heard_while_the_hub_is_dead(tmp_path):
    valve = Valve()
    async with HubProcess(tmp_path) as hub, served(valve, hub=hub), connected(hub) as home:
        proxy = home.thing("Valve")
        heard = Heard(proxy, "pulsed", "level")
        async with proxy.link() as link:
            await on(link, "direct")
            valve.pulsed.emit(0)
            await heard.until("pulsed", 0)
            await hub.kill()
            assert await proxy.invoke("set_level", level=3) == 3
            assert await proxy.invoke("measure") == 3
            for number in range(1, 4):
                valve.pulsed.emit(number)
            await heard.until("pulsed", 3)
            with pytest.raises(Timeout):
                await proxy.invoke("turn", timeout=0.3)
            assert valve.turned == 0, "its journal is in the hub"
            await hub.start()
            assert await once_it_is_back(lambda: proxy.invoke("turn")) == 1
            valve.pulsed.emit(4)
            changes = await heard.until("pulsed", 4)
        await heard.end()
    assert [value for name, value in changes if name == "pulsed"] == [0, 1, 2, 3, 4]
    assert [value for name, value in changes if name == "level"] == [0, 3]


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path, window=0.2) as hub:
        yield hub


@pytest.fixture
async def valve(hub):
    valve = Valve()
    async with served(valve, hub=hub):
        yield valve


async def test_what_comes_both_ways_counts_once_and_in_order(hub, valve):
    async with connected(hub) as home:
        proxy = home.thing("Valve")
        heard = Heard(proxy)
        await heard.until("level", 0)
        for number in range(300):
            if number == 100:
                opener = proxy.link()
                link = await opener.__aenter__()
            if number == 150:
                await on(link, "direct")
            if number == 250:
                await opener.__aexit__(None, None, None)
            valve.level = number
            valve.pulsed.emit(number)
            await asyncio.sleep(0.002)
        changes = await heard.until("pulsed", 299)
        await heard.end()
    assert [value for name, value in changes if name == "pulsed"] == list(range(300))
    first, *levels = [value for name, value in changes if name == "level"]
    assert first == 0
    assert levels == sorted(set(levels)), "none twice, and none after a newer one"
    assert levels[-1] == 299
    assert len(levels) > 290


async def test_an_action_that_may_not_pass_the_hub_by_is_refused_by_the_device(hub, valve):
    async with connected(hub) as home:
        proxy = home.thing("Valve")
        async with proxy.link() as link:
            await on(link, "direct")
            with pytest.raises(Forbidden, match="goes through the hub"):
                await home.way(VALVE).ask("invokeaction", 5, name="turn")
            assert await proxy.invoke("turn") == 1
            assert link.peer == VALVE
            assert valve.links[0].peer == "user:owner"


async def test_a_credential_that_is_taken_back_ends_the_link_at_both_ends(hub, valve):
    async with connect(hub.url, token=hub.user_token()) as home, home.thing("Valve").link() as link:
        await on(link, "direct")
        hub.store.credentials.revoke("user:owner")
        await asyncio.wait_for(valve.links[0].closed.wait(), WITHIN)
        assert isinstance(valve.links[0].error, LinkLost)
        assert "taken back" in str(valve.links[0].error)
        await asyncio.wait_for(link.closed.wait(), WITHIN)
        with pytest.raises(Unauthorized):
            raise home.client.error
        assert not link.is_open("direct")


async def test_an_app_that_ignores_it_is_cut_by_the_device(hub, valve, monkeypatch):
    async with connect(hub.url, token=hub.user_token()) as home:
        opener = home.thing("Valve").link()
        link = await opener.__aenter__()
        await on(link, "direct")
        monkeypatch.setattr("plait.link.opener.LinkOpener.take", lambda *_: None)
        monkeypatch.setattr("plait.link.opener.LinkOpener.moved", lambda *_: None)
        hub.store.credentials.revoke("user:owner")
        async with asyncio.timeout(WITHIN):
            while link.is_open("direct"):  # noqa: ASYNC110 - the state of a path
                await asyncio.sleep(0.02)
        assert not link.closed.is_set(), "it does not know"
        link.close()
        await opener._direct.close()


async def test_it_is_taken_back_though_the_app_has_its_session_lost(hub, valve):
    """The app went on directly without the hub; whoever is still there hears it."""
    async with connect(hub.url, token=hub.user_token()) as home:
        opener = home.thing("Valve").link()
        link = await opener.__aenter__()
        await on(link, "direct")
        home.client.pause()
        room = next(room for room in hub.clients.rooms if type(room).__name__ == "Links")
        async with asyncio.timeout(WITHIN):
            while room._routes[link.id].opener is not None:  # noqa: ASYNC110 - the hub tells nobody
                await asyncio.sleep(0.02)
        assert link.is_open("direct")
        assert not valve.links[0].closed.is_set()
        hub.store.credentials.revoke("user:owner")
        await asyncio.wait_for(valve.links[0].closed.wait(), WITHIN)
        assert "taken back" in str(valve.links[0].error)
        link.close()
        await opener._direct.close()


async def test_it_is_taken_back_while_the_hub_is_away(tmp_path):
    valve = Valve()
    async with HubProcess(tmp_path) as hub, served(valve, hub=hub), connected(hub) as home:
        opener = home.thing("Valve").link()
        link = await opener.__aenter__()
        await on(link, "direct")
        await hub.kill()
        with open_credentials(tmp_path) as credentials:
            credentials.revoke("user:owner")
        home.client.pause()
        assert await home.thing("Valve").read("level") == 0
        await hub.start()
        await asyncio.wait_for(valve.links[0].closed.wait(), WITHIN)
        assert "taken back" in str(valve.links[0].error)
        link.close()
        await opener._direct.close()
        with pytest.raises(PlaitError):
            link.check()
