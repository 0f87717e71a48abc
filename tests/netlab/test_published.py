"""A hub behind 1:1 NAT, with connections at its TURN server's port: only the published address is set."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from plait.hub.turn.credentials import Signer

from .lab import Lab
from .published import PORT, SECRET
from .test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(120)]

PROGRAM = str(Path(__file__).with_name("published.py"))


@pytest.mark.parametrize("relay", [False, True], ids=["directly", "by the hub's own relay"])
async def test_a_viewer_who_knows_no_stun_server_reaches_the_hub_behind_its_nat(relay):
    source = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    with Lab() as lab:
        inside, away = lab.place("hub", "full"), lab.place("viewer", "symmetric")
        outside = inside.outside
        hub = await inside.start(sys.executable, PROGRAM, "hub", outside, env=source, **pipes)
        assert json.loads(await hub.stdout.readline()) == {"up": True}
        credential = Signer(SECRET, 600).credential("call", "user:viewer", "urn:dev:hub")
        server = (f"turn:{outside}:{PORT}?transport=udp", *credential) if relay else ()
        viewer = await away.start(sys.executable, PROGRAM, "viewer", *server, env=source, **pipes)

        async def carry(one, other):
            while line := await one.stdout.readline():
                if b"heard" in line:
                    return json.loads(line)
                other.stdin.write(line)
            raise AssertionError("it has ended")

        back = asyncio.create_task(carry(hub, viewer))
        async with asyncio.timeout(30):
            report = await carry(viewer, hub)
        back.cancel()
        for process in (hub, viewer):
            process.kill()
            await process.communicate()
    assert report["heard"] == "hello"
    assert report["local"][0] == ("relay" if relay else "host")
    # The relay is inside, beside the hub's own port; from outside it is the NAT's address.
    assert report["remote"][1:] == ([inside.address, PORT] if relay else [outside, PORT])
