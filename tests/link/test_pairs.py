"""Two things paired by the owner's word: through the hub, directly, and while the hub is dead."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from plait.app.pairing import pair, pairings, unpair
from plait.testing import HubProcess, connected, served
from plait.wire.errors import (
    Forbidden,
    InvalidMessage,
    InvalidValue,
    Offline,
    PermissionExpired,
    UnknownAffordance,
    UnknownOperation,
    UnknownThing,
)

from .ends import BUTTON, LAMP, WITHIN, Button, Lamp, on


@pytest.fixture
async def lamp(hub):
    lamp = Lamp()
    async with served(lamp, hub=hub):
        yield lamp


@pytest.fixture
async def button(hub):
    button = Button()
    async with served(button, hub=hub):
        yield button


@pytest.fixture
async def home(hub, lamp, button):
    async with connected(hub) as home:
        yield home


async def test_a_button_uses_a_lamp(home, lamp, button):
    made = await pair(home, BUTTON, LAMP)
    assert made.waiting == []
    peer = button.peer("lamp")
    assert await peer.invoke("toggle") is True
    assert lamp.on is True
    assert peer.id == LAMP
    assert await peer.write("level", 20) == 20
    assert (await peer.readings())["level"].value == 20
    assert (await peer.reading("on")).value is True
    assert (await peer.description())["title"] == "Lamp"
    link = await peer.linked()
    echo = link.channel("echo")
    await echo.send("mine")
    assert await asyncio.wait_for(echo.receive(), WITHIN) == "mine"
    assert [far.peer for far in lamp.links] == [BUTTON]
    await on(link, "direct")
    async with asyncio.timeout(WITHIN):  # the hub hears of what was done, and keeps it
        while (await home.thing("Lamp").readings())["level"].value != 20:  # noqa: ASYNC110 - it tells on asking
            await asyncio.sleep(0.05)


async def test_what_the_lamp_tells_comes_to_the_button(home, lamp, button):
    await pair(home, BUTTON, LAMP)
    peer = button.peer(LAMP)
    heard = []

    async def listen():
        async for change in peer.watch("on", "switched"):
            heard.append((change.name, change.value))
            if len(heard) == 5:
                return

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(WITHIN):
        while not heard:  # noqa: ASYNC110 - the first value says that it listens
            await asyncio.sleep(0.01)
    await peer.invoke("toggle")
    await peer.invoke("toggle")
    await asyncio.wait_for(listening, WITHIN)
    assert heard == [("on", False), ("on", True), ("switched", True), ("on", False), ("switched", False)]


async def test_presses_reach_the_lamp_while_the_hub_is_dead(tmp_path):
    lamp, button = Lamp(), Button()
    async with HubProcess(tmp_path) as hub, served(lamp, button, hub=hub), connected(hub) as home:
        await pair(home, BUTTON, LAMP)
        peer = button.peer("lamp")
        await on(await peer.linked(timeout=WITHIN), "direct")
        for press in range(60):
            await peer.invoke("toggle")
            if press == 20:
                await hub.kill()
            await asyncio.sleep(0.005)
        assert lamp.presses == 60
        await hub.start()
        async with asyncio.timeout(WITHIN):  # the hub is told what happened meanwhile, and the link is there
            while not (await peer.linked()).is_open("hub"):  # noqa: ASYNC110 - the state of a path
                await asyncio.sleep(0.05)
            while (await home.thing("Lamp").readings())["on"].value is not lamp.on:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        await unpair(home, BUTTON, LAMP)
        with pytest.raises(Forbidden, match="taken back"):
            await peer.invoke("toggle")
        assert lamp.presses == 60


async def test_a_permission_ends_though_the_hub_is_dead(tmp_path):
    lamp, button = Lamp(), Button()
    async with HubProcess(tmp_path) as hub, served(lamp, button, hub=hub), connected(hub) as home:
        await pair(home, BUTTON, LAMP, lease=timedelta(seconds=4))
        peer = button.peer("lamp")
        link = await peer.linked(timeout=WITHIN)
        await on(link, "direct")
        await hub.kill()
        assert await peer.invoke("toggle") is True
        await asyncio.wait_for(link.closed.wait(), WITHIN)
        assert isinstance(link.error, PermissionExpired)
        with pytest.raises(PermissionExpired, match=f"of {BUTTON} for {LAMP} expired at"):
            await peer.invoke("toggle")
        await asyncio.wait_for(
            lamp.links[0].closed.wait(), WITHIN
        )  # the lamp's end is closed by its own clock
        assert lamp.presses == 1


async def test_a_permission_is_renewed_while_the_hub_is_there(home, lamp, button):
    await pair(home, BUTTON, LAMP, lease=timedelta(seconds=2))
    peer = button.peer("lamp")
    link = await peer.linked(timeout=WITHIN)
    first = peer._peers.line("lamp").grant
    async with asyncio.timeout(WITHIN):
        while peer._peers.line("lamp").grant.expires < first.expires + 2:  # noqa: ASYNC110 - told to the thing alone
            await asyncio.sleep(0.05)
    assert await peer.linked() is link, "it is the same link"
    assert await peer.invoke("toggle") is True


async def test_taken_back_it_ends_at_once_for_both(home, lamp, button):
    await pair(home, BUTTON, LAMP)
    peer = button.peer("lamp")
    link = await peer.linked(timeout=WITHIN)
    await on(link, "direct")
    far = lamp.links[0]
    await unpair(home, BUTTON, LAMP)
    for each in (link, far):
        await asyncio.wait_for(each.closed.wait(), WITHIN)
        assert "taken back" in str(each.error)
        assert not each.is_open("direct")
    assert await pairings(home) == []
    with pytest.raises(InvalidValue, match="is not paired with"):
        await unpair(home, BUTTON, LAMP)


async def test_a_device_that_ignores_the_word_is_cut_by_the_other(home, hub, lamp, button, monkeypatch):
    await pair(home, BUTTON, LAMP)
    peer = button.peer("lamp")
    link = await peer.linked(timeout=WITHIN)
    await on(link, "direct")
    monkeypatch.setattr("plait.thing.pairing.pairs.Pairs.take", _but(button))
    monkeypatch.setattr("plait.link.opener.LinkOpener.take", lambda *_: None)
    await unpair(home, BUTTON, LAMP)
    async with asyncio.timeout(WITHIN):
        while link.is_open("direct"):  # noqa: ASYNC110 - the state of a path
            await asyncio.sleep(0.02)
    assert not link.closed.is_set(), "it does not know"
    with pytest.raises(TimeoutError):
        await peer.invoke("toggle", timeout=0.5)
    assert lamp.presses == 0


def _but(thing):
    """What a method does, but for one thing, which ignores it."""
    from plait.thing.pairing.pairs import Pairs

    take = Pairs.take
    return lambda pairs, told: None if pairs._thing is thing else take(pairs, told)


async def test_an_access_token_that_is_taken_back_ends_it_too(home, hub, lamp, button):
    await pair(home, BUTTON, LAMP)
    link = await button.peer("lamp").linked(timeout=WITHIN)
    await on(link, "direct")
    hub.store.credentials.revoke(BUTTON)
    await asyncio.wait_for(lamp.links[0].closed.wait(), WITHIN)
    assert "taken back" in str(lamp.links[0].error)
    assert await pairings(home) == []


async def test_it_may_be_limited(home, lamp, button):
    await pair(home, BUTTON, LAMP, names=["toggle", "on"])
    peer = button.peer("lamp")
    assert await peer.invoke("toggle") is True
    assert list(await peer.readings()) == ["on"]
    with pytest.raises(Forbidden, match=f"{BUTTON} may not use `level`"):
        await peer.write("level", 1)
    assert lamp.links == [], "no channels of its own"
    before = await peer.linked()
    await pair(home, BUTTON, LAMP, verbs=["read"])
    await asyncio.wait_for(before.closed.wait(), WITHIN)
    assert await peer.read("on") is True
    with pytest.raises(Forbidden, match="may not control"):
        await peer.invoke("toggle")


async def test_who_is_not_paired_has_no_way(home, lamp, button):
    with pytest.raises(Forbidden, match="plait pair"):
        await button.peer("lamp").invoke("toggle", timeout=0.2)
    with pytest.raises(InvalidValue):
        await pair(home, BUTTON, LAMP, lease=timedelta(0))
    with pytest.raises(UnknownThing):
        await pair(home, "urn:dev:nobody", LAMP)
    with pytest.raises(InvalidMessage):
        await home.client.request("pair", thing_id=BUTTON, input={"with": 7})


async def test_what_is_not_there_is_told(home, lamp, button, hub):
    await pair(home, BUTTON, LAMP)
    peer = button.peer("lamp")
    with pytest.raises(UnknownAffordance):
        await peer.invoke("fly")


async def test_it_begins_when_both_are_there(hub):
    async with served(Lamp(), hub=hub):
        pass
    button = Button()
    async with served(button, hub=hub), connected(hub) as home:
        made = await pair(home, BUTTON, LAMP)
        assert made.waiting == [LAMP]
        with pytest.raises(Forbidden, match="no permission"):
            await button.peer("lamp").invoke("toggle", timeout=0.2)
        lamp = Lamp()
        async with served(lamp, hub=hub):
            assert await button.peer("lamp").invoke("toggle") is True
        with pytest.raises(Offline, match="no way to urn:dev:lamp"):
            await button.peer("lamp").invoke("toggle", timeout=1)


async def test_what_cannot_be_paired_is_told_and_nothing_is_kept(home, lamp, button, monkeypatch):
    monkeypatch.setattr("plait.thing.service.messages.READ_IDENTITY", "unheard")  # as of an earlier release
    with pytest.raises(UnknownOperation, match="readidentity"):
        await pair(home, BUTTON, LAMP)
    assert await pairings(home) == []
