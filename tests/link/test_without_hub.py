"""Paired things that find each other again while the hub is away, and those who only pretend to be paired."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from plait.app.pairing import pair
from plait.rtc import PeerConnection, SessionDescription
from plait.rtc.ed25519 import SigningKey
from plait.testing import connected, running_hub
from plait.thing import serve
from plait.thing.pairing.doorbell import ring
from plait.thing.pairing.nearby import Announced
from plait.wire.errors import Busy, Forbidden, InvalidMessage, LinkLost, PermissionExpired
from plait.wire.grant import seal, unseal

from .ends import BUTTON, LAMP, WITHIN, Button, Lamp, on


@asynccontextmanager
async def serving(*things, url, tokens, folder):
    """Serve things, hub or no hub."""
    task = asyncio.create_task(serve(*things, hub=url, token=tokens, folder=folder))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def paired(folder):
    """A lamp and a button, paired and on their direct path; the hub has gone."""
    lamp, button = Lamp(LAMP), Button(BUTTON)
    async with running_hub(folder / "hub") as hub:
        url, tokens = hub.url, {each: hub.token(each) for each in (LAMP, BUTTON)}
        key = SigningKey(hub.store.pairings.seed())
        things = serving(lamp, button, url=url, tokens=tokens, folder=folder / "things")
        await things.__aenter__()
        async with connected(hub) as home:
            for each in (LAMP, BUTTON):
                await home.wait_for(each, timeout=WITHIN)
            await pair(home, BUTTON, LAMP)
            link = await button.peer("lamp").linked(timeout=WITHIN)
            await on(link, "direct")
        assert pairs_of(lamp)._announced._task is None, "who has a hub needs no name on the network"
    try:
        yield lamp, button, (url, tokens), key
    finally:
        await things.__aexit__(None, None, None)


def line(button):
    return button.peer("lamp")._peers.line("lamp")


async def test_a_direct_path_that_breaks_is_made_anew(tmp_path):
    async with paired(tmp_path) as (lamp, button, *_):
        peer = button.peer("lamp")
        link = await peer.linked()
        echo = link.channel("echo")
        (opener,) = peer._peers.openers.values()
        await opener._direct._peer.close()
        for number in range(20):
            echo.send_nowait(str(number))
        assert [await asyncio.wait_for(echo.receive(), WITHIN) for _ in range(20)] == [
            str(number) for number in range(20)
        ]
        assert await peer.linked() is link, "it is the same link"
        assert await peer.invoke("toggle") is True
        assert lamp.presses == 1


async def test_things_that_start_anew_find_each_other(tmp_path):
    async with paired(tmp_path) as (_, _, (url, tokens), _):
        pass
    lamp, button = Lamp(LAMP), Button(BUTTON)
    for things in ((lamp, button), (Button(BUTTON), lamp)):
        button = next(thing for thing in things if isinstance(thing, Button))
        async with serving(*things, url=url, tokens=tokens, folder=tmp_path / "things"):
            assert await button.peer("lamp").invoke("toggle", timeout=WITHIN) is lamp.on
    assert lamp.presses == 2


def pairs_of(thing):
    return vars(thing)["_plait_peers"]._grants.on_over.__self__


async def move_house(lamp):
    """Have the lamp's doorbell elsewhere, as with another address; it says so from now on."""
    pairs = pairs_of(lamp)
    await pairs.doorbell.close()
    pairs.doorbell.open(0)
    pairs._announced.end()
    pairs._announced.begin()


async def test_a_thing_whose_address_is_another_is_found_by_its_name(tmp_path):
    async with paired(tmp_path) as (lamp, button, *_):
        peer = button.peer("lamp")
        link = await peer.linked()
        old = line(button)._grants.kept.doorbells[LAMP]
        await move_house(lamp)
        (opener,) = peer._peers.openers.values()
        await opener._direct._peer.close()
        assert await peer.invoke("toggle", timeout=WITHIN) is True
        assert await peer.linked() is link, "it is the same link"
        assert line(button)._grants.kept.doorbells[LAMP] != old, "where it was found is kept"


class Hole:
    """A path that swallows what it is given, as one whose far end has another address."""

    lanes = ("sure", "fast")

    def room(self, _):
        return True

    def send(self, _, packet):
        pass


async def test_a_path_that_only_falls_silent_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.link.direct.GIVEN_UP", 1.5)
    async with paired(tmp_path) as (lamp, button, *_):
        peer = button.peer("lamp")
        link = await peer.linked()
        (served,) = links_of(lamp).values()
        for end in (link, served.link):
            end._paths._known["direct"].carrier = Hole()
        assert await peer.invoke("toggle", timeout=WITHIN) is True
        assert await peer.linked() is link, "it is the same link"


async def test_both_start_anew_elsewhere_and_find_each_other(tmp_path):
    async with paired(tmp_path) as (lamp, button, (url, tokens), _):
        for grants in (pairs_of(lamp).grants, pairs_of(button).grants):
            grants.kept.port, grants.kept.doorbells = 0, {}
            grants.save()
    lamp, button = Lamp(LAMP), Button(BUTTON)
    async with serving(lamp, button, url=url, tokens=tokens, folder=tmp_path / "things"):
        assert await button.peer("lamp").invoke("toggle", timeout=WITHIN) is True


async def test_who_takes_the_name_of_another_is_no_other(tmp_path):
    async def refuse(reader, writer):
        await reader.readline()
        writer.write(msgspec.json.encode({"error": Forbidden("go away").problem()}) + b"\n")
        rang.set()
        writer.close()

    rang = asyncio.Event()
    async with paired(tmp_path) as (lamp, button, *_):
        peer = button.peer("lamp")
        link = await peer.linked()
        pairs_of(lamp)._announced.end()
        pairs_of(lamp)._announced.begin = lambda: None
        server = await asyncio.start_server(refuse, "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        addresses = [
            f"{each.rpartition(':')[0]}:{port}"
            for each in pairs_of(lamp).doorbell.addresses
            if "[" not in each
        ]
        liar = Announced(line(button).grant.certificates[LAMP], lambda: addresses)
        liar.begin()
        await pairs_of(lamp).doorbell.close()
        (opener,) = peer._peers.openers.values()
        await opener._direct._peer.close()
        await asyncio.wait_for(rang.wait(), WITHIN)
        await liar.close()
        del pairs_of(lamp)._announced.begin
        await move_house(lamp)
        assert await peer.invoke("toggle", timeout=WITHIN) is True
        assert await peer.linked() is link, "it was not ended by somebody's word"
        server.close()


async def test_a_button_that_starts_anew_is_known_again(tmp_path):
    async with running_hub(tmp_path / "hub") as hub:
        url, tokens = hub.url, {each: hub.token(each) for each in (LAMP, BUTTON)}
        lamp = Lamp(LAMP)
        lamps = serving(lamp, url=url, tokens=tokens, folder=tmp_path / "things")
        await lamps.__aenter__()
        button = Button(BUTTON)
        async with (
            serving(button, url=url, tokens=tokens, folder=tmp_path / "things"),
            connected(hub) as home,
        ):
            for each in (LAMP, BUTTON):
                await home.wait_for(each, timeout=WITHIN)
            await pair(home, BUTTON, LAMP)
            await on(await button.peer("lamp").linked(timeout=WITHIN), "direct")
    again = Button(BUTTON)
    async with serving(again, url=url, tokens=tokens, folder=tmp_path / "things"):
        assert await again.peer("lamp").invoke("toggle", timeout=WITHIN) is True
    await lamps.__aexit__(None, None, None)


async def offer():
    """An offer as a liar makes it."""
    peer = PeerConnection()
    peer.create_data_channel("plait.link")
    return peer, (await peer.create_offer()).sdp


def naming(sdp, fingerprint):
    """The description with another certificate's fingerprint in it."""
    return re.sub("a=fingerprint:.*", f"a=fingerprint:{fingerprint}\r", sdp)


async def test_liars_are_refused_by_name_and_disturb_nobody(tmp_path):
    async with paired(tmp_path) as (_, button, _, hubs):
        held = line(button)
        address = held._grants.kept.doorbells[LAMP]
        token = held._grants.token(held.grant.id)
        mine = SigningKey()
        liar, sdp = await offer()
        asked = {"link": "liar", "generation": 1, "fresh": True, "sdp": sdp}

        def sealed(key, **changes):
            return seal(msgspec.structs.replace(held.grant, **changes), key.sign)

        pretended = [
            (None, Forbidden, "no permission"),
            ("x.y.z", Forbidden, "no permission"),
            (sealed(mine), Forbidden, f"of {BUTTON} for {LAMP} is not signed by this hub"),
            (
                sealed(mine, caller="urn:dev:liar"),
                Forbidden,
                "of urn:dev:liar for .* is not signed by this hub",
            ),
            (sealed(hubs, thing="urn:dev:door"), Forbidden, f"lets {BUTTON} use urn:dev:door"),
            (sealed(hubs, expires=1), PermissionExpired, "expired at 1970-01-01 00:00:01Z"),
            (token[:-8] + "AAAAAAAA", Forbidden, "not signed"),
            (token, Forbidden, "another certificate than its permission names"),
        ]
        for shown, kind, words in pretended:
            with pytest.raises(kind, match=words):
                await ring(address, asked | {"grant": shown})
        proper = asked | {"grant": token, "sdp": naming(sdp, held.grant.certificates[BUTTON])}
        with pytest.raises(LinkLost, match="begun anew"):
            await ring(address, proper | {"fresh": False})
        with pytest.raises(InvalidMessage, match="an offer has"):
            await ring(address, {"grant": token})
        link = await button.peer("lamp").linked()
        with pytest.raises(Busy, match="has a path"):
            await ring(address, proper | {"link": link.id})
        for junk in (b"\n", b"[]\n", b"x" * 100_000 + b"\n"):
            assert b"error" in await said(address[0], junk)
        await liar.close()
        assert await button.peer("lamp").invoke("toggle") is True, "the button's link goes on"


async def test_the_name_of_a_certificate_is_not_enough(tmp_path, monkeypatch):
    """Who listened in shows the true permission and names the true certificate; it has no key to it."""
    async with paired(tmp_path) as (lamp, button, *_):
        monkeypatch.setattr("plait.thing.links.PROVEN_WITHIN", 2.0)
        held = line(button)
        liar, sdp = await offer()
        true = held.grant.certificates[BUTTON]
        asked = {"link": "liar", "generation": 1, "fresh": True, "sdp": naming(sdp, true)}
        answer = await ring(
            held._grants.kept.doorbells[LAMP], asked | {"grant": held._grants.token(held.grant.id)}
        )
        links = links_of(lamp)
        assert "liar" in links
        await liar.set_answer(SessionDescription("answer", answer))
        served = links["liar"]
        assert "fingerprint" in await asyncio.wait_for(served.direct._peer.closed(), WITHIN)
        assert not served.link.met.is_set(), "nothing of it was ever carried"
        await asyncio.wait_for(served.link.closed.wait(), WITHIN)
        await liar.close()
        assert await button.peer("lamp").invoke("toggle") is True


def links_of(lamp):
    return pairs_of(lamp)._links._links


async def said(address, junk):
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(junk)
    answer = await asyncio.wait_for(reader.readline(), WITHIN)
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_token_is_read_by_its_letters():
    key = SigningKey(bytes(32))
    with pytest.raises(Forbidden, match="no permission"):
        unseal(7, lambda *_: True)
    assert key.public.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
