"""Changes of this machine's addresses, as the kernel tells them: in a network of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import pytest

from plait.transport.network import has_address

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="missing: ip (tools/setup system)"),
]

NAME = "plait-network"

PROGRAM = """
import asyncio
from plait.transport.network import has_address, on_change

async def main():
    changed = asyncio.Event()
    end = on_change(changed.set)
    print(has_address("10.68.0.1"), flush=True)
    await changed.wait()
    print(has_address("10.68.0.1"), has_address("10.68.0.2"), flush=True)
    end()

asyncio.run(main())
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def namespace():
    ip("netns", "add", NAME)
    try:
        ip("-n", NAME, "link", "add", "lan", "type", "veth", "peer", "name", "wire")
        ip("-n", NAME, "addr", "add", "10.68.0.1/24", "dev", "lan")
        ip("-n", NAME, "link", "set", "lan", "up")
        yield NAME
    finally:
        ip("netns", "del", NAME)


async def test_a_change_of_addresses_is_told_once_it_has_settled(namespace):
    program = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", namespace, sys.executable, "-c", PROGRAM), stdout=asyncio.subprocess.PIPE
    )
    assert await asyncio.wait_for(program.stdout.readline(), 20) == b"True\n"
    ip("-n", namespace, "addr", "del", "10.68.0.1/24", "dev", "lan")
    ip("-n", namespace, "addr", "add", "10.68.0.2/24", "dev", "lan")
    assert await asyncio.wait_for(program.stdout.readline(), 20) == b"False True\n"
    assert await asyncio.wait_for(program.wait(), 20) == 0


def test_addresses_of_this_machine():
    assert has_address("127.0.0.1")
    assert not has_address("192.0.2.1")
