"""The doctor on this machine, against a real hub: as it should be, and with one thing wrong at a time."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import aclosing

import msgspec
import pytest
import trustme
from typer.testing import CliRunner

from plait.cli.main import app
from plait.doctor import Patient, examine
from plait.testing import running_hub
from plait.transport.trust import trust


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path / "hub", turn=False) as hub:
        yield hub


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def found(*names, **patient):
    """Examine here until there are findings of these names; all of them by name."""
    findings = {}
    async with aclosing(examine(Patient(**patient))) as examination:
        async for each in examination:
            findings[each.name] = each
            if findings.keys() >= set(names):
                return findings
    raise AssertionError(f"no {set(names) - findings.keys()} in {findings.keys()}")


async def test_a_sound_machine(hub, examined):
    report = await examined("--hub", hub.url, "--camera", "test:320x240", PLAIT_TOKEN=hub.user_token())
    assert report.code == 0, report.findings
    for name in ("hub by TCP", "WebSocket", "token", "clock", "codecs", "encoder", "camera"):
        assert report.one(name)["verdict"] == "pass", report.one(name)
    assert report.one("camera")["figures"]["codec"] == "H264"
    assert report.one("hub by TCP")["figures"]


async def test_a_device_is_examined_with_its_own_token(hub):
    findings = await found("token", "WebSocket", "clock", hub=hub.url, token=hub.token("urn:dev:lamp"))
    assert {findings[name].verdict for name in ("token", "WebSocket", "clock")} == {"pass"}


async def test_a_wrong_clock(hub, examined):
    two_hours = ("faketime", "-f", "-2h")
    report = await examined("--hub", hub.url, before=two_hours, PLAIT_TOKEN=hub.user_token())
    clock = report.one("clock")
    assert (report.code, clock["verdict"]) == (1, "fail")
    assert "2 hours behind" in clock["said"]
    assert "timedatectl" in clock["advice"]


async def test_dead_servers(hub):
    dead = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    turn = {"urls": f"turn:{dead}?transport=tcp", "username": "user", "credential": "hidden-one"}
    servers = [{"urls": f"stun:{dead}"}, turn]
    findings = await found("TURN by TCP", hub=hub.url, token=hub.user_token(), ice_servers=servers)
    assert findings[f"UDP to {dead}"].verdict == "fail"
    relay = findings["TURN by TCP"]
    assert (relay.verdict, relay.figures["code"]) == ("fail", 701)
    assert findings["NAT"].verdict == "skip"
    assert "hidden-one" not in json.dumps(msgspec.to_builtins(findings))


async def test_no_hub():
    findings = await found("codecs", hub=f"http://127.0.0.1:{free_port()}")
    assert findings["hub by TCP"].verdict == "fail"
    assert "nobody listens" in findings["hub by TCP"].said
    assert findings["codecs"].verdict == "pass", "the rest is examined all the same"


async def test_a_name_that_leads_nowhere():
    findings = await found("hub by TCP", hub="http://hub.invalid")
    assert "leads nowhere" in findings["hub by TCP"].said


async def test_a_token_of_nobody(hub):
    findings = await found("token", "WebSocket", hub=hub.url, token="forged")  # the point of it
    assert {findings[name].verdict for name in ("token", "WebSocket")} == {"fail"}


async def test_without_a_token(hub):
    findings = await found("token", "WebSocket", "clock", hub=hub.url)
    assert {findings[name].verdict for name in ("token", "WebSocket")} == {"skip"}
    assert findings["clock"].verdict == "pass", "by the Date of HTTP"


async def test_a_certificate_of_nobody_whom_this_machine_trusts(tmp_path):
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "cert.pem").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    files = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    async with running_hub(tmp_path / "hub", **files) as hub:
        url, token = f"https://localhost:{hub.port}", hub.user_token()
        refused = (await found("TLS", hub=url, token=token))["TLS"]
        assert refused.verdict == "fail"
        assert "nobody whom this machine trusts" in refused.said
        assert len(refused.figures["fingerprint"]) == 95, "to compare by eye"

        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
        findings = await found("TLS", "token", "WebSocket", hub=url, token=token, ssl=trusted)
        assert {findings[name].verdict for name in ("TLS", "token", "WebSocket")} == {"pass"}

        by_ip = await found("TLS", hub=f"https://127.0.0.1:{hub.port}", token=token, ssl=trusted)
        assert "not for 127.0.0.1" in by_ip["TLS"].said


async def test_a_hub_s_own_authority_is_trusted_by_its_pin(tmp_path):
    async with running_hub(tmp_path / "hub", tls="local") as hub:
        token = hub.user_token()
        refused = (await found("TLS", hub=hub.url, token=token))["TLS"]
        assert "plait hub ca" in refused.advice
        pinned = trust(None, hub.authority.pin)
        names = ("TLS", "token", "WebSocket", "TURN by UDP", "TURN by TCP", "TURN by TLS")
        findings = await found(*names, hub=hub.url, token=token, ssl=pinned)
        assert {findings[name].verdict for name in names} == {"pass"}, findings
        other = trust(None, "sha256:" + "0" * 64)
        assert "pin" in (await found("TLS", hub=hub.url, token=token, ssl=other))["TLS"].advice


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hub", "no address"], "Not a hub's address"),
        (["--ice-server", "http://example.org"], "not the URL of a STUN or TURN server"),
        (["--ice-server", "turn:example.org"], "needs a username and a credential"),
    ],
)
def test_wrong_commands(arguments, said):
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
