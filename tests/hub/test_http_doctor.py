"""What the hub tells a doctor: over HTTP, without a session."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from plait.testing import running_hub

COTURN = {"turn_urls": ["turn:turn.example.org:3478"], "turn_secret": "a secret of sixteen and more"}
STUN = {"urls": "stun:stun.example.org"}


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path / "hub", ice_servers=[STUN], **COTURN) as hub:
        yield hub


async def ask(hub, token):
    async with httpx.AsyncClient(base_url=hub.url, headers={"Authorization": f"Bearer {token}"}) as client:
        return await client.get("/api/doctor")


@pytest.mark.parametrize("kind", ["user", "thing"])
async def test_people_and_devices_are_lent_servers(hub, kind):
    token = hub.user_token() if kind == "user" else hub.token("urn:dev:lamp")
    answer = await ask(hub, token)
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["time"])).total_seconds() < 10
    assert told["address"][0] == "127.0.0.1"
    assert told["iceServers"][0] == STUN
    turn = next(each for each in told["iceServers"] if each["urls"] == COTURN["turn_urls"])
    assert turn["credential"]
    again = (await ask(hub, token)).json()["iceServers"]
    assert turn not in again, "each examination has credentials of its own"


async def test_nobody_else(hub):
    answer = await ask(hub, "forged")
    assert answer.status_code == 401
    assert "turn" not in answer.text
