"""What the doctor says in networks of all kinds, with a real hub and coturn on a public address."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest
from tests.netlab.lab import Lab
from tests.netlab.test_matrix import pytestmark as pytestmark  # noqa: PLC0414 - the same conditions

SECOND = "198.51.100.200"
"""The STUN server's other address (RFC 5780)."""


@pytest.fixture
async def public(tmp_path, hubs):
    """A lab with a hub on port 8080 and coturn on port 443 of a public place."""
    with Lab() as lab:
        place = lab.place("public")
        place.run("ip", "addr", "add", f"{SECOND}/24", "dev", "eth0")
        config = tmp_path / "turnserver.conf"
        config.write_text(
            f"listening-ip={place.address}\nlistening-ip={SECOND}\nrelay-ip={place.address}\n"
            "listening-port=443\nalt-listening-port=3479\nno-tls\nno-dtls\nlt-cred-mech\nuser=plait:secret\n"
            "realm=plait.test\nno-cli\nlog-file=stdout\n"
            f"userdb={tmp_path}/users.db\npidfile={tmp_path}/turnserver.pid\n",
            encoding="utf-8",
        )
        quiet = asyncio.subprocess.DEVNULL
        turn = await place.start("turnserver", "-c", str(config), stdout=quiet, stderr=quiet)
        known = {"username": "plait", "credential": "secret"}
        servers = [
            {"urls": f"stun:{place.address}:443"},
            {"urls": [f"turn:{place.address}:443", f"turn:{place.address}:443?transport=tcp"]} | known,
        ]
        try:
            async with asyncio.timeout(10):
                while f"{place.address}:443" not in place.run("ss", "-Hlnt"):  # noqa: ASYNC110 - it tells nothing
                    await asyncio.sleep(0.02)
            where = {"enter": place.enter(), "host": "0.0.0.0", "port": 8080}
            async with hubs(
                tmp_path / "hub", **where, PLAIT_TLS="off", PLAIT_ICE_SERVERS=json.dumps(servers)
            ) as (_, token):
                yield lab, f"http://{place.address}:8080", token
        finally:
            with suppress(ProcessLookupError):
                turn.kill()
            await turn.wait()


async def test_each_network_is_told_for_what_it_is(public, examined):
    lab, hub, token = public
    kinds = ("", "cone", "addr", "symmetric", "udpblock", "tcp443")
    places = [lab.place(kind or "open", kind) for kind in kinds]
    reports = await asyncio.gather(
        *(examined("--hub", hub, enter=place.enter(), PLAIT_TOKEN=token) for place in places)
    )
    by = dict(zip(kinds, reports, strict=True))
    for kind, report in by.items():
        assert report.one("hub by TCP")["verdict"] == "pass", (kind, report.findings)
        assert report.one("TURN by TCP")["verdict"] == "pass", (kind, report.findings)
        assert report.code == 0, (kind, report.findings)

    nats = {kind: report.one("NAT") for kind, report in by.items()}
    figures = {kind: (nat["figures"]["mapping"], nat["figures"]["filtering"]) for kind, nat in nats.items()}
    assert figures[""][0] == "none"
    assert figures["cone"] == ("independent", "port")
    assert figures["addr"] == ("independent", "address")
    assert figures["symmetric"] == ("port", "port")
    assert nats["cone"]["said"].startswith("cone")
    assert (nats["symmetric"]["verdict"], nats["symmetric"]["said"][:9]) == ("warn", "symmetric")

    for kind in ("", "cone", "addr", "symmetric"):
        assert by[kind].one("TURN by UDP")["verdict"] == "pass", kind
        assert {each["verdict"] for each in by[kind].of("UDP to")} == {"pass"}, kind
    for kind in ("udpblock", "tcp443"):
        assert by[kind].one("TURN by UDP")["verdict"] == "warn", kind
        assert {each["verdict"] for each in by[kind].of("UDP to")} == {"warn"}, kind
        assert all("lets no UDP out" in each["advice"] for each in by[kind].of("UDP to"))
        assert nats[kind]["verdict"] == "skip"
