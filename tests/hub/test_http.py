"""The WoT directory, REST, login, health, metrics, and what every response says to browsers."""

from __future__ import annotations

import stat

import httpx
import pytest
from fastapi import FastAPI

from plait.hub.contracts import Principal
from plait.hub.http import page
from plait.wire.messages import MAX_MESSAGE

from .conftest import LAMP, describe, within

THING = "/things/urn%3Adev%3Alamp"


@pytest.fixture
async def http(hub):
    async with httpx.AsyncClient(base_url=hub.url, timeout=10) as client:
        yield client


@pytest.fixture
async def owner(hub):
    headers = {"authorization": f"Bearer {hub.user_token()}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=10) as client:
        yield client


def problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:plait:problem:{code}"
    assert body["status"] == status
    return body


async def test_the_directory(hub, owner, device):
    listed = (await owner.get("/things")).json()
    assert listed == [describe() | {"base": hub.url}]
    one = await owner.get(THING)
    assert one.json() == listed[0]
    assert one.headers["content-type"] == "application/td+json"
    problem(await owner.get("/things/urn:dev:none"), 404, "unknown-thing")


async def test_the_forms_of_a_description_work(owner, device):
    """A WoT client that knows only the description gets there."""
    device.answers["level"] = 12
    thing = (await owner.get(THING)).json()
    form = next(form for form in thing["properties"]["level"]["forms"] if "subprotocol" not in form)
    assert (await owner.get(httpx.URL(thing["base"]).join(form["href"]))).json() == 12
    form = next(form for form in thing["actions"]["blink"]["forms"] if "subprotocol" not in form)
    answer = await owner.post(httpx.URL(thing["base"]).join(form["href"]), json={"times": 2})
    assert answer.json() == {"blinked": {"times": 2}}


async def test_properties(owner, device):
    assert (await owner.put(f"{THING}/properties/level", json=30)).json() == 30
    device.report("level", 30)
    await device.kept()
    assert (await owner.get(f"{THING}/properties")).json() == {"level": 30}
    body = problem(await owner.put(f"{THING}/properties/level", json=101), 422, "invalid-value")
    assert body["field"] == "/value"
    problem(await owner.put(f"{THING}/properties/temperature", json=1), 405, "read-only")
    problem(await owner.put(f"{THING}/properties/level", content=b""), 400, "invalid-message")
    problem(await owner.put(f"{THING}/properties/level", content=b"{"), 400, "invalid-message")
    problem(await owner.get(f"{THING}/properties/none"), 404, "unknown-affordance")
    large = b"1" * (MAX_MESSAGE + 1)
    problem(await owner.put(f"{THING}/properties/level", content=large), 413, "message-too-large")


async def test_actions(owner, device):
    keyed = {"idempotency-key": "once"}
    for _ in range(2):
        answer = await owner.post(f"{THING}/actions/blink", json={"times": 1}, headers=keyed)
        assert answer.json() == {"blinked": {"times": 1}}
    assert len(device.asked) == 1
    problem(await owner.post(f"{THING}/actions/explode"), 500, "action-failed")
    await device.client.close()
    problem(await owner.post(f"{THING}/actions/blink"), 503, "offline")


async def test_credentials_are_needed(hub, http, device):
    for path in ("/things", THING, f"{THING}/properties/on", "/api/me"):
        answer = await http.get(path)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    for header in ("Bearer", "Bearer nope", "Basic b3duZXI6", "Bearer " + "x" * 9000):
        problem(await http.get("/things", headers={"authorization": header}), 401, "unauthorized")


async def test_a_thing_sees_itself_alone(hub, http, device):
    mine = {"authorization": f"Bearer {hub.token('urn:dev:other')}"}
    assert (await http.get("/things", headers=mine)).json() == []
    problem(await http.get(THING, headers=mine), 403, "forbidden")
    problem(await http.get(f"{THING}/properties/on", headers=mine), 403, "forbidden")
    problem(await http.put(f"{THING}/properties/on", headers=mine, json=True), 403, "forbidden")
    problem(await http.post(f"{THING}/actions/blink", headers=mine), 403, "forbidden")


async def test_a_login_code_works_once(hub, http):
    link = hub.login_link()
    address, _, code = link.partition("/#login=")
    assert address == hub.url
    answer = await http.post("/api/login", json={"code": code})
    assert answer.json() == {"kind": "user", "id": "owner"}
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert (await http.get("/api/me")).json() == {"kind": "user", "id": "owner"}
    http.cookies.clear()
    problem(await http.post("/api/login", json={"code": code}), 401, "unauthorized")
    body = problem(await http.post("/api/login", json={"key": code}), 400, "invalid-message")
    assert body["field"] == "/code"
    json = {"content-type": "application/json"}
    problem(await http.post("/api/login", content=b"{", headers=json), 400, "invalid-message")


async def test_a_login_code_grows_old(hub, http, monkeypatch):
    code = hub.login_link().partition("#login=")[2]
    monkeypatch.setattr("plait.hub.store.credentials._now", lambda: 10**18)
    problem(await http.post("/api/login", json={"code": code}), 401, "unauthorized")


async def test_logging_out_ends_the_session(hub, http):
    code = hub.login_link().partition("#login=")[2]
    await http.post("/api/login", json={"code": code})
    old = dict(http.cookies)
    own = {"origin": hub.url}
    assert (await http.post("/api/logout", headers=own)).status_code == 204
    http.cookies.update(old)
    problem(await http.get("/api/me"), 401, "unauthorized")


async def test_a_cookie_does_not_act_for_another_page(hub, http, device):
    code = hub.login_link().partition("#login=")[2]
    problem(
        await http.post("/api/login", json={"code": code}, headers={"origin": "http://evil.example"}),
        403,
        "forbidden",
    )
    await http.post("/api/login", json={"code": code}, headers={"origin": hub.url})
    write = f"{THING}/properties/on"
    for headers in (
        {},
        {"origin": "http://evil.example"},
        {"origin": f"http://127.0.0.1:{hub.port + 1}"},
        {"origin": "null"},
        {"origin": "http://["},
    ):
        problem(await http.put(write, json=True, headers=headers), 403, "forbidden")
    assert device.asked == []
    assert (await http.put(write, json=True, headers={"origin": hub.url})).json() is True


async def test_every_response_tells_browsers_what_it_may_do(hub, http):
    for path in ("/", "/things", "/healthz", "/nowhere", "/docs"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert f"ws://127.0.0.1:{hub.port}" in policy
    strange = await http.get("/", headers={"host": "a; script-src *"})
    assert "script-src *" not in strange.headers["content-security-policy"]


async def test_a_page_that_is_not_built_says_so(tmp_path):
    app = FastAPI()
    page.install(app, tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        assert "make setup" in (await client.get("/")).text
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "a-1.js").write_text("1")
        (tmp_path / "index.html").write_text("<h1>the page</h1>")
        page.install(built := FastAPI(), tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://hub") as client:
        index = await client.get("/")
        assert "the page" in index.text
        assert index.headers["cache-control"] == "no-cache"
        assert "immutable" in (await client.get("/assets/a-1.js")).headers["cache-control"]
        assert (await client.get("/../contracts.py")).status_code == 404


async def test_it_describes_itself(http):
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert "put" in paths["/things/{thing}/properties/{name}"]
    assert "/things/{thing}/actions/{name}" in (await http.get("/docs")).text


async def test_health_and_metrics(hub, http, device, app):
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    device.report("level", 1)
    await device.kept()
    text = (await http.get("/metrics")).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['plait_connections{kind="thing"}'] == lines['plait_connections{kind="user"}'] == "1.0"
    assert lines["plait_readings_committed_total"] == "1.0"
    assert float(lines["plait_commit_seconds_count"]) >= 2
    assert float(lines["plait_messages_received_total"]) >= 4
    assert float(lines["plait_messages_sent_total"]) >= 2
    assert float(lines["plait_door_websockets"]) == 2
    assert 'plait_outbox_bytes{state="waiting"}' in lines


async def test_health_tells_when_the_store_does_not_answer(hub, http, monkeypatch):
    def broken(*_):
        raise OSError

    monkeypatch.setattr(hub.store.__class__, "marked", broken)
    answer = await http.get("/healthz")
    assert answer.status_code == 503


async def test_nothing_secret_is_kept_or_readable(hub, settings, device):
    secrets = [hub.token(LAMP), hub.user_token(), hub.login_link().partition("#login=")[2]]
    entered = hub.store.credentials.log_in(secrets.pop())
    secrets.append(entered[0])
    await within(lambda: hub.store.waiting == 0)
    for file in settings.data.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        content = file.read_bytes()
        assert not any(secret.encode() in content for secret in secrets)
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    assert hub.store.credentials.by_token(secrets[0]) == Principal("thing", LAMP)
