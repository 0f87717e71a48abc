"""What the doctor says in networks of all kinds, with a real hub and coturn on a public address."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.netlab.test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LAMP = "urn:dev:lamp"


async def test_each_network_is_told_for_what_it_is(public, examined):
    lab, hub = public
    kinds = ("", "cone", "addr", "symmetric", "udpblock", "tcp443")
    places = [lab.place(kind or "open", kind) for kind in kinds]
    reports = await asyncio.gather(
        *(examined("--hub", hub.url, enter=place.enter(), PLAIT_TOKEN=hub.token()) for place in places)
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


@asynccontextmanager
async def lamp_at(place, hub):
    """A lamp, online, in a place."""
    environment = {"PYTHONPATH": str(ROOT / "src"), "PLAIT_TOKEN": hub.token("thing", LAMP)}
    process = await place.start(
        *(sys.executable, "-m", "plait", "thing", str(ROOT / "examples" / "lamp.py")),
        *("--hub", hub.url, "--id", LAMP, "--title", "Lamp"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def explain_from(place, hub, explained):
    """Ask until the lamp is there."""
    async with asyncio.timeout(50):
        while True:
            with suppress(AssertionError):
                code, told = await explained(
                    LAMP, "--hub", hub.url, enter=place.enter(), PLAIT_TOKEN=hub.token()
                )
                assert code == 0
                return told, {rung["name"]: rung for rung in told["rungs"]}


async def test_a_connection_is_explained(public, explained):
    lab, hub = public
    async with lamp_at(lab.place("device", "symmetric"), hub):
        cone, blocked = await asyncio.gather(
            explain_from(lab.place("viewer", "cone"), hub, explained),
            explain_from(lab.place("office", "udpblock"), hub, explained),
        )
    told, rungs = cone
    assert "relayed by" in told["summary"], told["summary"]
    assert rungs["turn/udp"]["state"] == "used", rungs
    assert rungs["stun"]["state"] == "failed", rungs
    assert "another port for each far end" in rungs["stun"]["said"]
    assert "IPv6 at both ends" in rungs["stun"]["advice"]
    assert {each["kind"] for each in told["local"]} >= {"host", "srflx", "relay"}
    assert told["pairs"][0]["chosen"]
    assert any(not pair["answered"] and pair["asked"] for pair in told["pairs"])

    told, rungs = blocked
    assert rungs["turn/tcp"]["state"] == "used", (told["summary"], rungs)
    assert {rungs[name]["state"] for name in ("ipv4", "turn/udp")} <= {"failed", "absent"}
    assert rungs["websocket"]["state"] == "works"
