"""Certificates by ACME, from a real server: Pebble, Let's Encrypt's own for tests."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import shutil
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests
import trustme
from acme import messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plait.hub.door import Door, DoorSettings
from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.hub.tls import acme, keeper, renewal
from plait.hub.tls.alpn import ACME_IDENTIFIER, challenge_certificate
from plait.hub.tls.authority import Authority
from plait.hub.tls.sources import Local

NAME = "hub.example.test"
BESIDE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
PEBBLE, CHALLTESTSRV = (shutil.which(name, path=BESIDE) for name in ("pebble", "pebble-challtestsrv"))
# Debian's is too old for RFC 9773; see tools/setup.
SAYS_WHEN = PEBBLE is not None and Path(PEBBLE).parent == Path(sys.executable).parent
pytestmark = pytest.mark.skipif(PEBBLE is None, reason="no pebble: tools/setup system")


@dataclass
class Server:
    """A running Pebble; it looks for hubs on these two ports."""

    directory: str
    management: str
    trusted: object
    tls_port: int
    http_port: int

    async def root(self):
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            return (await client.get(f"{self.management}/roots/0")).text

    async def suggest(self, leaf, start, end):
        """Have it say that this certificate is to be renewed between the two moments (RFC 9773)."""
        window = {"start": start.isoformat(), "end": end.isoformat()}
        pem = leaf.public_bytes(serialization.Encoding.PEM).decode()
        wanted = {"certificate": pem, "ariResponse": json.dumps({"suggestedWindow": window})}
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            (await client.post(f"{self.management}/set-renewal-info/", json=wanted)).raise_for_status()


def free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.asynccontextmanager
async def pebble(folder, *, tls_port=None, http_port=None):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "pebble.crt")
    issued.private_key_pem.write_to_path(folder / "pebble.key")
    authority.cert_pem.write_to_path(folder / "pebble-ca.crt")
    listen, management, dns = free(), free(), free()
    server = Server(
        f"https://127.0.0.1:{listen}/dir",
        f"https://127.0.0.1:{management}",
        folder / "pebble-ca.crt",
        tls_port or free(),
        http_port or free(),
    )
    config = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "pebble.crt"),
        "privateKey": str(folder / "pebble.key"),
        "httpPort": server.http_port,
        "tlsPort": server.tls_port,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    commands = [
        [
            *(CHALLTESTSRV, "-dnsserver" if SAYS_WHEN else "-dns01", f"127.0.0.1:{dns}"),
            *("-management", f"127.0.0.1:{free()}", *("-doh", "") * SAYS_WHEN),
            *("-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""),
        ],
        [PEBBLE, "-strict", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"],
    ]
    processes = [
        await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | {"PEBBLE_VA_NOSLEEP": "1"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for command in commands
    ]
    try:
        async with asyncio.timeout(10):
            for port in (listen, management):
                while True:
                    with contextlib.suppress(OSError):
                        (await asyncio.open_connection("127.0.0.1", port))[1].close()
                        break
                    await asyncio.sleep(0.05)
        yield server
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself, which the test has seen
                process.kill()
            await process.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(keeper.Keeper.__init__, "__kwdefaults__", {"every": 0.1})
    monkeypatch.setattr(acme, "TRY_AGAIN_S", (0.3,))


def settings(folder, server, **changes):
    given = {
        "port": server.tls_port,
        "data": folder / "data",
        "tls": "acme",
        "turn": False,
        "tls_names": [NAME],
        "acme_directory": server.directory,
        "acme_ca": server.trusted,
    }
    return Settings(**(given | changes))


def ask(port, name=NAME, root=None, protocols=()):
    """The certificate that a client gets; verified where there is a root; and the protocol agreed on."""
    context = ssl.create_default_context(cadata=root) if root else ssl._create_unverified_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)), tls.selected_alpn_protocol()


def usual(leaf):
    """When it is renewed where its server says nothing: with a third of its time left."""
    return leaf.not_valid_after_utc - (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / 3


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it asks in a thread of its own
            await asyncio.sleep(0.05)


async def until_issued(port, but=None):
    """Wait for a certificate that is not the local authority's, and not this one."""
    async with asyncio.timeout(30):
        while True:
            leaf, _ = await asyncio.to_thread(ask, port)
            if "Plait" not in leaf.issuer.rfc4514_string() and leaf != but:
                return leaf
            await asyncio.sleep(0.1)


async def test_a_certificate_comes_by_tls_on_the_one_port_is_kept_and_renewed(tmp_path):
    async with pebble(tmp_path) as server:
        async with Hub(settings(tmp_path, server)) as hub:
            first, _ = await asyncio.to_thread(ask, hub.port)
            assert "Plait" in first.issuer.rfc4514_string(), "the local authority stands in"
            leaf = await until_issued(hub.port)
            root = await server.root()
            await asyncio.to_thread(ask, hub.port, NAME, root)
            assert hub.url.startswith("https:")
            assert hub.authority is None
        async with Hub(settings(tmp_path, server)) as hub:
            assert (await asyncio.to_thread(ask, hub.port, NAME, root))[0] == leaf, "kept over a restart"
            if SAYS_WHEN:
                await until(lambda: hub._certificates._source._ask_at)
            hub._certificates._source._renew_at = dt.datetime.now(dt.UTC)
            renewed = await until_issued(hub.port, but=leaf)
            assert renewed.public_key() != leaf.public_key()
            assert hub._certificates._source._renew_at > dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
        for file in (tmp_path / "data" / "acme").rglob("*.*"):
            if file.is_file():
                assert file.stat().st_mode & 0o077 == 0


async def test_it_is_renewed_when_the_server_says_and_the_order_names_what_it_replaces(tmp_path, monkeypatch):
    monkeypatch.setattr(acme, "ASK_AFTER_ORDER_S", 0.0)
    monkeypatch.setattr(renewal, "ASK_AFTER_S", (0.2, 0.2))
    orders = []
    post = renewal.Network.post

    def noted(network, url, obj, **options):
        if isinstance(obj, messages.NewOrder):
            orders.append(network.replaces)
        return post(network, url, obj, **options)

    monkeypatch.setattr(renewal.Network, "post", noted)
    now = dt.datetime.now(dt.UTC)
    async with pebble(tmp_path) as server, Hub(settings(tmp_path, server)) as hub:
        leaf = await until_issued(hub.port)
        source = hub._certificates._source
        if not SAYS_WHEN:
            assert source._renew_at == usual(leaf)
            return
        # A day that only the server can have said, and past which the hub does not wait.
        for day, renewed_at in ((20, now + dt.timedelta(days=20)), (4000, renewal.latest(leaf))):
            said = now + dt.timedelta(days=day)
            await server.suggest(leaf, said, said + dt.timedelta(seconds=1))
            await until(lambda at=renewed_at: abs(source._renew_at - at) < dt.timedelta(seconds=5))
        await server.suggest(leaf, now - dt.timedelta(days=2), now - dt.timedelta(days=1))
        renewed = await until_issued(hub.port, but=leaf)
        assert renewed.serial_number != leaf.serial_number
        assert orders == ["", renewal.identifier(leaf)], "and Pebble took it"


async def test_a_server_that_answers_nonsense_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(acme, "ASK_AFTER_ORDER_S", 0.0)
    asked = []

    def nonsense(network, url, **_):
        if "renewal" not in url:
            return get(network, url)
        asked.append(url)
        response = requests.Response()
        response.status_code, response._content = 200, b'{"suggestedWindow": {"start": 7}}'
        return response

    get = renewal.Network.get
    monkeypatch.setattr(renewal.Network, "get", nonsense)
    async with pebble(tmp_path) as server, Hub(settings(tmp_path, server)) as hub:
        leaf = await until_issued(hub.port)
        if SAYS_WHEN:
            await until(lambda: asked)
        assert hub._certificates._source._renew_at == usual(leaf)
        assert (await asyncio.to_thread(ask, hub.port))[0] == leaf


def test_a_certificate_is_named_as_the_rfc_has_it():
    """The example of RFC 9773, section 4.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    issuer = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 0x8765_4321, now, now + dt.timedelta(1))
    named = made.add_extension(x509.AuthorityKeyIdentifier(issuer, None, None), critical=False)
    assert renewal.identifier(named.sign(key, hashes.SHA256())) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert not renewal.identifier(made.sign(key, hashes.SHA256()))


async def test_where_only_http_comes_through_that_proves_the_name(tmp_path, capsys):
    port = free()
    changes = {"port": port}
    async with pebble(tmp_path, http_port=port) as server, Hub(settings(tmp_path, server, **changes)) as hub:
        await until_issued(hub.port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert (await client.get("/.well-known/acme-challenge/none")).status_code == 404
    assert "the last one stays" in capsys.readouterr().out, "the first way was shut"


@pytest.mark.parametrize("shut", ["both ports", "the server"])
async def test_where_it_cannot_be_had_the_hub_serves_on_and_says_why(tmp_path, capsys, shut):
    async with pebble(tmp_path) as server:
        changes = (
            {"port": 0} if shut == "both ports" else {"acme_directory": f"https://127.0.0.1:{free()}/dir"}
        )
        async with Hub(settings(tmp_path, server, **changes)) as hub:
            trusted = Authority.open(tmp_path / "data" / "tls", []).pem.decode()
            said = ""
            async with asyncio.timeout(20):
                while "no new certificate" not in said:
                    await asyncio.to_thread(ask, hub.port, "localhost", trusted)
                    said += capsys.readouterr().out
                    await asyncio.sleep(0.1)
    assert f"ACME, {NAME}: " in said
    assert "refused" in said or "Failed to connect" in said


@pytest.mark.parametrize(
    ("named", "cause"),
    [
        ([], "needs the hub's public names"),
        (["pi.local"], "public names only"),
        (["192.0.2.7"], "public names only"),
    ],
)
def test_only_public_names_are_asked_for(tmp_path, named, cause):
    with pytest.raises(ValueError, match=cause):
        acme.Acme(tmp_path, named, directory="https://acme.test/dir", meanwhile=Local(tmp_path / "tls", ""))


async def test_a_challenge_is_shown_to_acme_servers_alone(tmp_path):
    pair = Authority.open(tmp_path / "tls", []).issue(["localhost"])
    door = Door(
        lambda *_: None,
        authorize=lambda _: None,
        opened=lambda *_: None,
        settings=DoorSettings(certificate=pair),
    )
    asked = ("acme-tls/1",)
    async with door:
        with pytest.raises(OSError, match=r"(?i)alert|reset|eof"):
            await asyncio.to_thread(ask, door.port, NAME, None, asked)
        door.show_challenge(NAME.upper(), *challenge_certificate(NAME, b"d" * 32))
        shown, agreed = await asyncio.to_thread(ask, door.port, NAME, None, asked)
        assert agreed == "acme-tls/1"
        assert shown.extensions.get_extension_for_oid(ACME_IDENTIFIER).value.value == b"\x04\x20" + b"d" * 32
        for protocols in ((), ("http/1.1",), ("http/1.1", "acme-tls/1")):
            leaf, _ = await asyncio.to_thread(ask, door.port, NAME, None, protocols)
            assert leaf.public_bytes(serialization.Encoding.PEM) in pair.chain
        door.reload(*pair)
        await asyncio.to_thread(ask, door.port, NAME, None, asked)  # outlives a reload
        door.hide_challenge(NAME)
        with pytest.raises(OSError, match=r"(?i)alert|reset|eof"):
            await asyncio.to_thread(ask, door.port, NAME, None, asked)
        with pytest.raises(ValueError, match="no CERTIFICATE"):
            door.show_challenge(NAME, b"", b"")
