"""TLS without thought: the hub's own authority, the owner's files, and who trusts them."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import plistlib
import socket
import ssl

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from plait.app import connect
from plait.cli.hub import app as verbs
from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.hub.tls import keeper, names, sources
from plait.hub.tls.authority import Authority
from plait.hub.tls.choice import choose
from plait.hub.tls.sources import Files, Local
from plait.thing import Thing, prop, serve

HOST = "pi.local"
HERE = ["localhost", HOST, ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("192.168.7.5")]


class Lamp(Thing):
    on: bool = prop(default=False)


@pytest.fixture
def here(monkeypatch):
    """Says where the machine is: a list to be changed."""
    here = list(HERE)
    monkeypatch.setattr(names, "of_machine", lambda _: list(here))
    return here


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(keeper.Keeper.__init__, "__kwdefaults__", {"every": 0.02})


def everywhere(folder, **changes):
    return Settings(host="0.0.0.0", port=0, data=folder / "data", **changes)


def served(port, name="localhost", trusted=None):
    """The certificate that a client gets, as DER; verified where `trusted` is a root's PEM."""
    context = (
        ssl.create_default_context(cadata=trusted.decode()) if trusted else ssl._create_unverified_context()
    )
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


async def until(condition):
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - nobody tells a client
            await asyncio.sleep(0.02)


# Where a certificate comes from


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({}, type(None)),
        ({"host": "::1"}, type(None)),
        ({"host": "localhost"}, type(None)),
        ({"host": "0.0.0.0"}, Local),
        ({"host": ""}, Local),
        ({"host": "192.168.7.5"}, Local),
        ({"host": "0.0.0.0", "tls": "off"}, type(None)),
        ({"tls": "local"}, Local),
        ({"host": "0.0.0.0", "tls_cert": "c", "tls_key": "k"}, Files),
    ],
)
def test_auto_is_files_then_the_local_authority_beyond_the_loopback(tmp_path, here, given, source):
    assert type(choose(Settings(data=tmp_path, **given))) is source


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"tls_cert": "c"}, "needs both"),
        ({"tls": "files"}, "needs both"),
        ({"tls": "off", "tls_cert": "c", "tls_key": "k"}, "a certificate is given"),
        ({"tls": "local", "tls_names": ["http://x"]}, "neither a host name nor an address"),
    ],
)
async def test_settings_that_contradict_each_other_are_named(tmp_path, given, cause):
    with pytest.raises(ValueError, match=cause):
        await Hub(Settings(port=0, data=tmp_path, **given)).__aenter__()


def test_the_certificate_is_kept_until_it_nears_its_end_or_a_name_is_missing(tmp_path, here, monkeypatch):
    first = Local(tmp_path / "tls", "").first()
    source = Local(tmp_path / "tls", "")
    assert source.first() == first
    assert source.newer() is None
    here.remove(HOST)
    assert source.newer() is None, "a name less is no reason"
    here.append(ipaddress.ip_address("203.0.113.7"))
    assert source.newer() is None, "a public address that the authority does not know is left out"
    here.append(ipaddress.ip_address("10.0.0.9"))
    moved = source.newer()
    assert moved != first
    assert source.newer() is None
    monkeypatch.setattr(sources, "RENEW_BEFORE", dt.timedelta(days=91))
    assert source.newer() not in (None, moved)


@pytest.mark.parametrize("fault", ["another key", "another authority", "cut"])
def test_a_kept_certificate_that_is_not_whole_is_made_anew(tmp_path, here, fault):
    Local(tmp_path / "tls", "").first()
    Local(tmp_path / "other", "").first()
    wrong = {
        "another key": {"hub.key": (tmp_path / "other" / "hub.key").read_bytes()},
        "another authority": {
            file: (tmp_path / "other" / file).read_bytes() for file in ("hub.key", "hub.crt")
        },
        "cut": {"hub.crt": b"-----BEGIN CERT"},
    }[fault]
    for file, content in wrong.items():
        (tmp_path / "tls" / file).write_bytes(content)
    source = Local(tmp_path / "tls", "")
    leaf = x509.load_pem_x509_certificate(source.first().chain)
    leaf.verify_directly_issued_by(source.authority.issuer)
    key = serialization.load_pem_private_key((tmp_path / "tls" / "hub.key").read_bytes(), None)
    assert key.public_key() == leaf.public_key()


def test_a_name_that_the_authority_may_not_vouch_for_is_an_error_that_says_what_to_do(tmp_path, here):
    Local(tmp_path / "tls", "", ["hub.example.org"])
    with pytest.raises(ValueError, match=r"new\.example\.org .* rename"):
        Local(tmp_path / "tls", "", ["new.example.org"])


async def test_what_is_open_stays_while_addresses_and_certificates_change(tmp_path, here, quick):
    async with Hub(everywhere(tmp_path)) as hub:
        trusted = hub.authority.pem
        context = ssl.create_default_context(cadata=trusted.decode())
        async with httpx.AsyncClient(base_url=hub.url, verify=context, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            before = await asyncio.to_thread(served, hub.port, HOST, trusted)
            here.append("new.local")
            await until(lambda: served(hub.port).serial_number != before.serial_number)
            await asyncio.to_thread(served, hub.port, "new.local", trusted)
            assert (await client.get("/healthz")).status_code == 200
        assert hub._door.counters()["accepted"] >= 3


def write(folder, issued):
    (folder / "chain.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())


async def test_files_are_read_again_when_they_change(tmp_path, quick, capsys):
    authority = trustme.CA()
    write(tmp_path, authority.issue_cert("localhost"))
    files = {"tls_cert": tmp_path / "chain.pem", "tls_key": tmp_path / "key.pem"}
    async with Hub(Settings(port=0, data=tmp_path / "data", **files)) as hub:
        assert hub.url.startswith("https:")
        first = await asyncio.to_thread(served, hub.port)
        (tmp_path / "chain.pem").write_bytes(b"half of")
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(served, hub.port) == first, "what is no certificate changes nothing"
        write(tmp_path, authority.issue_cert("localhost"))
        await until(lambda: served(hub.port) != first)
        async with httpx.AsyncClient(base_url=hub.url, verify=False, trust_env=False) as client:
            assert (await client.get("/ca.crt")).status_code == 404, (
                "somebody else's authority is not ours to give"
            )
    assert "".join(capsys.readouterr()).count("the last one stays") in (1, 2)


# Who trusts it


async def test_a_device_and_an_app_trust_the_hub_by_file_and_by_pin(tmp_path, monkeypatch):
    monkeypatch.delenv("PLAIT_CA", raising=False)
    async with Hub(everywhere(tmp_path)) as hub:
        root = tmp_path / "root.crt"
        root.write_bytes(hub.authority.pem)
        lamp = Lamp("urn:dev:lamp")
        device = asyncio.create_task(serve(lamp, hub=hub.url, token=hub.token(lamp.id), ca=root))
        by_pin = {"token": hub.user_token(), "ca": hub.authority.pin}
        async with connect(hub.url, **by_pin) as home:
            thing = await home.wait_for(lamp.id, timeout=10)
            await thing.write("on", True)
            assert lamp.on is True
        monkeypatch.setenv("PLAIT_CA", str(root))
        async with connect(hub.url.replace("127.0.0.1", "localhost"), token=hub.user_token()):
            pass
        device.cancel()
        await asyncio.gather(device, return_exceptions=True)


@pytest.mark.parametrize("ca", [None, "sha256:" + "0" * 64, "another's file"])
async def test_who_is_not_trusted_gets_no_token_and_the_reason_is_told(tmp_path, ca, caplog):
    caplog.set_level("INFO", "plait.client")
    if ca == "another's file":
        ca = tmp_path / "other.crt"
        ca.write_bytes(Authority.open(tmp_path / "other", []).pem)
    async with Hub(everywhere(tmp_path)) as hub:
        with pytest.raises(Exception, match="no"):
            async with connect(hub.url, token=hub.user_token(), ca=ca, timeout=1):
                pytest.fail("connected")
        reason = "not the one that is pinned" if isinstance(ca, str) else "is not trusted here"
        assert reason in caplog.text
        assert hub._door.counters()["websockets"] == 0


@pytest.mark.parametrize("ca", ["sha256:12", "no-such-file", __file__])
def test_what_is_nothing_to_trust_is_refused_at_once(ca):
    with pytest.raises(ValueError, match="sha256" if ca.startswith("sha") else "no PEM certificates"):
        connect("https://127.0.0.1:1", token="t", ca=ca)


async def test_the_root_is_handed_out_without_tls_and_everything_else_is_sent_to_https(tmp_path):
    async with Hub(everywhere(tmp_path)) as hub:
        pem, pin = hub.authority.pem, hub.authority.fingerprint
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{hub.port}", trust_env=False) as client:
            root = await client.get("/ca.crt")
            assert root.content == pem
            assert root.headers["content-type"] == "application/x-x509-ca-cert"
            profile = plistlib.loads((await client.get("/ca.mobileconfig")).content)
            assert profile["PayloadContent"][0]["PayloadContent"] == pem
            page = await client.get("/trust")
            assert pin.upper() in page.text.replace(":", "")
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            for path in ("/", "/things?x=1", "/metrics", "/ca.crt/x"):
                answer = await client.get(path)
                assert (answer.status_code, answer.headers["location"]) == (308, f"{hub.url}{path}")
        context = ssl.create_default_context(cadata=pem.decode())
        async with httpx.AsyncClient(base_url=hub.url, verify=context, trust_env=False) as client:
            assert (await client.get("/ca.crt")).content == pem


async def test_the_command_line_prints_the_pin(tmp_path):
    none = CliRunner().invoke(verbs, ["ca", "--data", str(tmp_path / "data")])
    assert none.exit_code == 1
    assert "no authority" in none.stderr
    async with Hub(everywhere(tmp_path)) as hub:
        run = CliRunner().invoke(verbs, ["ca", "--data", str(tmp_path / "data")])
        assert run.stdout.strip() == hub.authority.pin
        run = CliRunner().invoke(verbs, ["ca", "--file", "--data", str(tmp_path / "data")])
        assert run.stdout.strip() == str(tmp_path / "data" / "tls" / "root.crt")


async def test_a_hub_on_the_loopback_has_neither_tls_nor_an_authority(hub):
    assert hub.authority is None
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as client:
        assert (await client.get("/ca.crt")).status_code == 404
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.browser
@pytest.mark.parametrize("trusted", [True, False])
async def test_chromium_opens_the_page_and_a_websocket_where_it_trusts_the_root(tmp_path, trusted):
    from playwright.async_api import Error, async_playwright

    from plait.cli.chromium import FLAGS, find

    store = tmp_path / "home" / ".pki" / "nssdb"
    store.mkdir(parents=True)
    async with Hub(everywhere(tmp_path)) as hub, async_playwright() as playwright:
        root = tmp_path / "root.crt"
        root.write_bytes(hub.authority.pem)
        await run("certutil", "-d", f"sql:{store}", "-N", "--empty-password")
        if trusted:
            await run("certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "plait", "-i", str(root))
        browser = await playwright.chromium.launch(
            executable_path=find(), args=list(FLAGS), env={**os.environ, "HOME": str(tmp_path / "home")}
        )
        try:
            page = await browser.new_page()
            if not trusted:
                with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
                    await page.goto(hub.url)
                return
            login = hub.login_link().partition("#login=")[2]
            await page.goto(f"{hub.url}/trust")
            assert await page.evaluate("isSecureContext")
            state = await page.evaluate(
                """async code => {
                    const login = await fetch("/api/login", {method: "POST", body: JSON.stringify({code}),
                                              headers: {"content-type": "application/json"}});
                    const socket = new WebSocket(`wss://${location.host}/ws`, "plait.v1.json");
                    return await new Promise(done => {
                        socket.onopen = () => done(`${login.status} open`);
                        socket.onerror = () => done(`${login.status} error`);
                    })}""",
                login,
            )
            assert state.endswith(" open"), state
        finally:
            await browser.close()


async def run(*command):
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command
