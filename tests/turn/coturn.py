"""The real coturn on loopback, with the configuration that is shipped."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path

from .client import BINDING, client

SHIPPED = Path(__file__).parents[2] / "examples" / "coturn" / "turnserver.conf"
SECRET = "5b0c5d2a0d0c4f4e"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def coturn(folder: Path, *more: str):
    """Run it; its port. Its `realm` and secret are changed, as the file asks, and where it listens."""
    port = free_port()
    shipped = SHIPPED.read_text()
    changed = shipped.replace("static-auth-secret=CHANGE-ME", f"static-auth-secret={SECRET}")
    changed = changed.replace("realm=turn.example.org", "realm=plait.test")
    assert changed.count(SECRET) == changed.count("realm=plait.test") == 1
    here = ["listening-ip=127.0.0.1", "relay-ip=127.0.0.1", f"listening-port={port}", "no-tls"]
    here += [f"userdb={folder}/users.db", f"pidfile={folder}/turnserver.pid"]
    config = folder / "turnserver.conf"
    config.write_text("\n".join([changed, *here, *more]) + "\n")
    with (folder / "coturn.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "turnserver", "-c", str(config), stdout=log, stderr=log
        )
    try:
        await answering(port)
        # Its threads make the tables of its database when first asked, and lock each other out meanwhile.
        async with client(("127.0.0.1", port), "0:nobody", "guess") as probe:
            assert (await probe.allocate()).error == 401
        yield port
    finally:
        process.terminate()
        await process.wait()


async def answering(port: int) -> None:
    """Wait until a server answers binding requests."""
    async with client(("127.0.0.1", port)) as probe:
        assert (await probe.ask(BINDING, signed=False)).error == 0
