"""STUN and TURN servers for calls and links: whom the hub gives which credentials, and until when."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from plait.hub.rooms.ice import candidates
from plait.hub.settings import Settings
from plait.hub.turn.credentials import Signer
from plait.wire.errors import InvalidMessage

from .conftest import LAMP, App, within

URLS = ["turn:turn.example.org:3478", "turns:turn.example.org?transport=tcp"]
SECRET = "a secret of coturn's"


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return Settings(
        port=0,
        data=tmp_path / "data",
        ice_servers=[{"urls": "stun:192.0.2.1"}],
        turn=False,
        turn_urls=URLS,
        turn_secret_file=file,
    )


def parts(servers):
    """The parts of the username, once the credential was found to be right."""
    fixed, relay = servers
    assert fixed == {"urls": "stun:192.0.2.1"}
    assert relay["urls"] == URLS
    digest = hmac.new(SECRET.encode(), relay["username"].encode(), hashlib.sha1).digest()
    assert relay["credential"] == base64.b64encode(digest).decode()
    expires, *rest = relay["username"].split(":")
    return int(expires), *map(unquote, rest)


async def test_both_ends_of_a_call_get_their_own_credentials(device, app):
    opened = (await app.ask("opencall")).output
    expires, tag, user, thing = parts(opened["iceServers"])
    assert abs(expires - time.time() - 600) < 10
    assert (user, thing) == ("user:owner", LAMP)
    await app.ask("signal", call=opened["call"], data={"type": "offer", "sdp": "v=0"})
    theirs = parts(device.asked[0].data["iceServers"])
    assert theirs[1:] == (tag, f"thing:{LAMP}", LAMP)


async def test_both_ends_of_a_link_get_their_own_credentials(device, app):
    device.answers["openlink"] = None
    opened, asked = await open_link(device, app)
    _, tag, user, _ = parts(opened["iceServers"])
    assert user == "user:owner"
    assert parts(asked.input["iceServers"])[1:3] == (tag, f"thing:{LAMP}")


async def open_link(device, app, **again):
    """Open a link as an app does; its opening, and what the thing was asked."""
    take = device.client._on_message

    def accept(message):
        if message.operation == "openlink":
            device.asked.append(message)
            device.client.respond(message, output={"version": 1, "known": bool(again)})
        else:
            take(message)

    device.client._on_message = accept
    opened = (await app.ask("openlink", input={"versions": [1], **again})).output
    return opened, device.asked[-1]


async def test_a_restart_gets_fresh_credentials(device, app, monkeypatch):
    opened = (await app.ask("opencall")).output
    first = parts(opened["iceServers"])
    later = time.time() + 500
    monkeypatch.setattr("plait.hub.turn.credentials.time.time", lambda: later)
    for end in (app.client, device.client):
        fresh = (await end.request("iceservers", call=opened["call"])).output
        renewed = parts(fresh["iceServers"])
        assert renewed[0] >= first[0] + 490
        assert renewed[1] == first[1]


async def test_a_link_keeps_its_relays_when_it_is_opened_again(device, app):
    opened, _ = await open_link(device, app)
    again, _ = await open_link(device, app, link=opened["link"])
    assert parts(again["iceServers"])[1] == parts(opened["iceServers"])[1]
    fresh = (await device.client.request("iceservers", call=opened["link"])).output
    assert parts(fresh["iceServers"])[1] == parts(opened["iceServers"])[1]


async def test_nobody_else_gets_credentials_of_a_call(hub, device, app):
    opened = (await app.ask("opencall")).output
    other = App(hub)
    await other.client.start(5)
    for call in (opened["call"], "nobody's", f"link/{opened['call']}"):
        with pytest.raises(InvalidMessage) as caught:
            await other.client.request("iceservers", call=call)
        assert caught.value.field == "/call"
    await other.client.close(flush=0)


async def test_a_link_that_bears_the_id_of_a_call_disturbs_it_not(hub, device, app):
    opened = (await app.ask("opencall")).output
    other = App(hub)
    await other.client.start(5)
    link, _ = await open_link(device, other, link=opened["call"])
    fresh = (await app.client.request("iceservers", call=opened["call"])).output
    assert parts(fresh["iceServers"])[1] == parts(opened["iceServers"])[1]
    assert parts(link["iceServers"])[1] != parts(opened["iceServers"])[1]
    await other.client.close(flush=0)


async def test_a_call_that_is_over_gives_no_credentials(device, app):
    opened = (await app.ask("opencall")).output
    app.client.notify("signal", thing_id=LAMP, call=opened["call"], data={"type": "bye"})
    await within(lambda: device.asked)
    with pytest.raises(InvalidMessage):
        await device.client.request("iceservers", call=opened["call"])


def test_a_username_is_never_too_long():
    for thing in ("urn:" + "ü" * 500, "a" * 128, ""):
        username, _ = Signer(b"secret", 600).credential("c" * 64, "user:" + "x" * 100, thing)
        assert username.count(":") == 3
        assert len(username.encode()) < 508


HOST = "candidate:1 1 udp 2130706431 192.168.1.5 50000 typ host"


@pytest.mark.parametrize(
    ("signal", "found"),
    [
        ({"type": "candidate", "candidate": HOST}, [("192.168.1.5", 50000)]),
        ({"type": "candidate", "candidate": HOST.replace("udp", "UDP") + " generation 0"},
         [("192.168.1.5", 50000)]),
        ({"type": "offer", "sdp": f"v=0\r\na={HOST}\r\na={HOST.replace('50000', '50001')}\r\n"},
         [("192.168.1.5", 50000), ("192.168.1.5", 50001)]),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "fd00::5")}, [("fd00::5", 50000)]),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "::ffff:10.0.0.1")},
         [("10.0.0.1", 50000)]),
        ({"type": "candidate", "candidate": HOST.replace("udp", "tcp")}, []),
        ({"type": "candidate", "candidate": HOST.replace("50000", "0")}, []),
        ({"type": "candidate", "candidate": HOST.replace("50000", "70000")}, []),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "a.local")}, []),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "999.1.1.1")}, []),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "239.0.0.1")}, []),
        ({"type": "candidate", "candidate": HOST.replace("192.168.1.5", "0.0.0.0")}, []),
        ({"type": "candidate", "candidate": ""}, []),
        ({"type": "candidate", "candidate": 7}, []),
        ({"type": "candidate"}, []),
        ({"sdp": None}, []),
        ("candidate", []),
        (None, []),
    ],
)  # fmt: skip
def test_candidates_are_read_without_trust(signal, found):
    assert list(candidates(signal)) == found


def test_a_signal_full_of_candidates_is_read_in_part():
    assert len(list(candidates({"sdp": f"a={HOST}\r\n" * 10_000}))) == 64


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"turn_urls": ["turn:x"]}, "turn_urls need turn_secret"),
        ({"turn_urls": ["http://x"], "turn_secret": "s"}, "not the URL of a TURN server"),
        ({"turn_secret": "s", "turn_secret_file": "/x"}, "not both"),
        ({"turn_relay_ports": "50099-50000"}, "not a range of ports"),
        ({"turn_relay_ports": "many"}, "not a range of ports"),
        ({"turn_published": ["203.0.113.7=fd00::1"]}, "one family"),
        ({"turn_published": ["here"]}, "does not appear to be an IPv4 or IPv6 address"),
        ({"turn_allow": ["192.168.1.5/24"]}, "has host bits set"),
        ({"turn_lifetime": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_say_why(given, cause):
    with pytest.raises(ValidationError, match=cause):
        Settings(**given)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PLAIT_TURN_SECRET", "hush")
    monkeypatch.setenv("PLAIT_TURN_RELAY_PORTS", "50000-50099")
    monkeypatch.setenv("PLAIT_TURN_PUBLISHED", '["203.0.113.7"]')
    settings = Settings()
    assert settings.shared_secret() == b"hush"
    assert settings.turn_relay_ports == (50000, 50099)
    assert settings.turn_published == ["203.0.113.7"]
    assert "hush" not in repr(settings)


def test_an_empty_file_of_the_secret_is_told(tmp_path):
    file = tmp_path / "secret"
    file.write_text("\n")
    with pytest.raises(ValueError, match=str(file)):
        Settings(turn_urls=URLS, turn_secret_file=file).shared_secret()
