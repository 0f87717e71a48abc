"""coturn's own tester against our server: every datagram comes back."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest

from .conftest import credentials, serving

WITHIN = 40


@pytest.fixture
async def echo():
    """Run coturn's peer, which sends everything back."""
    if shutil.which("turnutils_uclient") is None:
        pytest.skip("coturn is missing (apt install coturn)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        "turnutils_peer", "-L", "127.0.0.1", "-L", "::1", "-p", str(port), stdout=asyncio.subprocess.DEVNULL
    )
    yield port
    process.terminate()
    await process.wait()


async def uclient(server: tuple[str, int], *arguments: str) -> str:
    username, password = credentials()
    process = await asyncio.create_subprocess_exec(
        *("turnutils_uclient", "-u", username, "-w", password, "-p", str(server[1]), *arguments, server[0]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_nothing_is_lost(echo):
    ways = {
        "channels, with an even port and the next one": (),
        "send indications": ("-s",),
        "from client to client": ("-y",),
        "ten clients": ("-c", "-m", "10", "-n", "100", "-l", "1200", "-z", "5"),
        "padding, and no fragments": ("-D", "-g"),
    }
    with serving(max_allocations=100) as server:
        where = ("-e", "127.0.0.1", "-r", str(echo))
        said = await asyncio.gather(
            *(uclient(server.addresses[0], "-n", "20", *where, *arguments) for arguments in ways.values())
        )
        for way, lines in zip(ways, said, strict=True):
            assert "Total lost packets 0 " in lines, way
        counters = server.counters()
        assert counters["relayed_datagrams_in"] == counters["relayed_datagrams_out"] > 1000
        assert counters["not_permitted"] == counters["lost"] == 0


async def test_nothing_is_lost_over_ipv6(echo):
    with serving("::1", max_allocations=100) as server:
        said = await uclient(server.addresses[0], "-x", "-c", "-n", "10", "-e", "::1", "-r", str(echo))
        assert "Total lost packets 0 " in said
