"""Credentials that are taken back: whoever came with them is out within a second, and nobody else notices."""

from __future__ import annotations

import asyncio
import sys

import httpx
import pytest

from plait.transport import websocket
from plait.wire import messages
from plait.wire.errors import Unauthorized

from .conftest import LAMP, App, Device, Raw, within


async def plait(*arguments):
    """Run the command line in another process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plait", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.fixture
async def other(hub):
    """Another device, which nobody takes anything back from."""
    device = Device(hub, thing="urn:dev:other")
    await device.start()
    yield device
    await device.client.close(flush=0)


async def test_a_device_whose_token_another_process_takes_back_stops(hub, settings, device, other, app):
    code, listed = await plait("hub", "credentials", "--data", str(settings.data))
    assert code == 0
    assert f"thing:{LAMP}" in listed
    code, output = await plait("hub", "revoke", LAMP, "--data", str(settings.data))
    assert (code, output.split()[1:]) == (0, [f"thing:{LAMP}"])
    await within(lambda: device.states[-1:] == ["closed"])
    assert isinstance(device.client.error, Unauthorized)
    again = Device(hub, token=device.token)
    with pytest.raises(Unauthorized):
        await again.client.start(5)
    assert other.client.connected
    assert app.client.connected
    assert (await plait("hub", "revoke", LAMP, "--data", str(settings.data)))[0] == 1


async def test_an_id_takes_back_one_token_of_many(hub, device):
    app, spared = App(hub), App(hub)
    await app.client.start(5)
    await spared.client.start(5)
    mine = hub.store.credentials.by_token(app.token).credential
    async with httpx.AsyncClient(base_url=hub.url) as http:
        owner = {"authorization": f"Bearer {spared.token}"}
        shown = {row["id"]: row for row in (await http.get("/api/credentials", headers=owner)).json()}
        assert shown[mine]["principal"] == "user:owner"
        (own,) = [row["id"] for row in shown.values() if row["mine"]]
        assert own == hub.store.credentials.by_token(spared.token).credential
        assert (await http.delete(f"/api/credentials/{mine}", headers=owner)).status_code == 204
        assert (await http.delete(f"/api/credentials/{mine}", headers=owner)).status_code == 422
        thing = {"authorization": f"Bearer {hub.token(LAMP)}"}
        assert (await http.get("/api/credentials", headers=thing)).status_code == 403
    await within(lambda: app.states[-1:] == ["closed"])
    assert spared.client.connected
    await spared.client.close()


async def test_who_was_let_in_just_before_gets_no_session(hub, raw):
    token = hub.token(LAMP)
    client = await raw(token)
    hub.store.credentials.revoke(LAMP)
    await within(lambda: hub.clients.revoked)
    client.send({"messageType": "request", "operation": "hello", "messageID": "h", "input": {"protocol": 1}})
    assert await client.close_code() == 1008


async def test_a_browser_that_logs_out_loses_its_websocket(hub):
    async with httpx.AsyncClient(base_url=hub.url) as http:
        await http.post("/api/login", json={"code": hub.login_link().partition("#login=")[2]})
        client = Raw()
        cookie = f"plait_session={http.cookies['plait_session']}"
        await websocket.connect(websocket.endpoint(hub.url), cookie=cookie, on_open=client.open)
        await client.hello()
        assert (await http.post("/api/logout", headers={"origin": hub.url})).status_code == 204
    assert await client.close_code() == 1008


async def test_links_and_calls_end_at_the_other_end_too(hub, device, app):
    device.client._on_message = lambda message: (
        device.asked.append(message),
        device.client.respond(message, output={}) if message.message_type == "request" else None,
    )
    call = (await app.ask("opencall")).output["call"]
    link = (await app.ask(messages.OPEN_LINK, input={"versions": [1]})).output["link"]
    hub.store.credentials.revoke("user:owner")
    await within(lambda: app.states[-1:] == ["closed"])
    told = {}

    def ended():
        told.update({message.operation: message for message in device.asked})
        return {messages.END_LINK, messages.SIGNAL} <= set(told)

    await within(ended)
    assert told[messages.END_LINK].call == link
    assert told[messages.END_LINK].data == {"reason": "access was taken back", "final": True}
    assert told[messages.SIGNAL].call == call
    assert told[messages.SIGNAL].data == {"type": "bye", "reason": "access was taken back"}
