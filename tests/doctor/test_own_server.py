"""The NAT's kind by one server of ours alone: it has a second port, and says so to who asks (RFC 5780)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from tests.netlab.lab import Lab
from tests.netlab.test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(120)]

SECRET = b"sixteen or more bytes"
PROGRAM = f"""
import signal, sys
from plait._native import TurnServer
ports = [(sys.argv[1], 3478), (sys.argv[1], 3479)]
server = TurnServer(ports, secret={SECRET!r}, realm="plait.test")
print("up", flush=True)
signal.pause()
"""


def turn_url(address):
    """A TURN server's URL, with credentials for half an hour."""
    username = f"{int(time.time()) + 1800}:call:owner:doctor"
    password = base64.b64encode(hmac.digest(SECRET, username.encode(), "sha1")).decode()
    return f"turn:{username}:{password}@{address}"


@pytest.mark.long
async def test_one_server_with_two_ports_tells_the_kind(examined):
    with Lab() as lab:
        public = lab.place("public")
        server = await public.start(*(sys.executable, "-c", PROGRAM, public.address), stdout=subprocess.PIPE)
        try:
            assert await server.stdout.readline() == b"up\n"
            cone, symmetric = await asyncio.gather(
                *(
                    examined(
                        "--hub", "http://127.0.0.1:9", "--ice-server", f"stun:{public.address}",
                        "--ice-server", turn_url(public.address),
                        enter=lab.place(kind, kind).enter(),
                    )
                    for kind in ("cone", "symmetric")
                )
            )  # fmt: skip
        finally:
            with suppress(ProcessLookupError):
                server.kill()
            await server.communicate()
    assert cone.one("UDP to")["verdict"] == "pass"
    for report, kind in ((cone, "independent"), (symmetric, "port")):
        figures = report.one("NAT")["figures"]
        assert (figures["mapping"], figures["filtering"]) == (kind, "port")
        assert report.one("TURN by UDP")["verdict"] == "pass", report.one("TURN by UDP")


async def test_a_hub_alone_tells_the_kind(hubs, examined, tmp_path):
    """With one UDP port, no setting but those of the lab, and nothing beside it."""
    with Lab() as lab:
        public = lab.place("public")
        where = {"enter": public.enter(), "host": "0.0.0.0", "port": 8080}
        allowed = f'["{public.address.rpartition(".")[0]}.0/24"]'  # the lab's internet is a reserved range
        async with hubs(tmp_path / "hub", **where, PLAIT_TLS="off", PLAIT_TURN_ALLOW=allowed) as hub:
            hub.url = f"http://{public.address}:8080"
            cone, symmetric, blocked = await asyncio.gather(
                *(
                    examined("--hub", hub.url, enter=lab.place(kind, kind).enter(), PLAIT_TOKEN=hub.token())
                    for kind in ("cone", "symmetric", "udpblock")
                )
            )
    assert cone.one("NAT")["figures"]["mapping"] == "independent", cone.findings
    assert symmetric.one("NAT")["figures"]["mapping"] == "port", symmetric.findings
    for report in (cone, symmetric):
        assert report.one("TURN by UDP")["verdict"] == "pass", report.findings
    for report in (cone, symmetric, blocked):
        assert report.one("TURN by TCP")["verdict"] == "pass", report.findings
        assert report.code == 0, report.findings
    assert {each["verdict"] for each in blocked.of("UDP to")} == {"warn"}
    assert blocked.one("NAT")["verdict"] == "skip"
