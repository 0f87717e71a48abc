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
from dataclasses import dataclass

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from plait.hub.door import Door, DoorSettings
from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.hub.tls import acme, keeper
from plait.hub.tls.alpn import ACME_IDENTIFIER, challenge_certificate
from plait.hub.tls.authority import Authority
from plait.hub.tls.sources import Local

NAME = "hub.example.test"
pytestmark = pytest.mark.skipif(shutil.which("pebble") is None, reason="no pebble: apt install pebble")


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
            *("pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{free()}"),
            *("-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""),
        ],
        ["pebble", "-strict", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"],
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
            hub._certificates._source._renew_at = dt.datetime.now(dt.UTC)
            renewed = await until_issued(hub.port, but=leaf)
            assert renewed.public_key() != leaf.public_key()
            assert hub._certificates._source._renew_at > dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
        for file in (tmp_path / "data" / "acme").rglob("*.*"):
            if file.is_file():
                assert file.stat().st_mode & 0o077 == 0


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
