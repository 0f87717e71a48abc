"""Brief connections, as of a device that wakes: TLS is taken up where it was left, and each byte counts."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from plait.testing import running_hub
from plait.transport.client import Client
from plait.transport.dial import ByWebSocket
from plait.wire.errors import Timeout

WITHIN = 20
DEVICE = "urn:dev:meter"


def issued(folder):
    """A certificate and its key in files, and a context that trusts it."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem"}, trust


async def test_a_brief_client_takes_its_tls_session_up_and_a_new_hub_begins_another(tmp_path):
    tls, trust = issued(tmp_path)
    async with running_hub(tmp_path / "hub", **tls) as hub:
        port, token = hub.port, hub.token(DEVICE)
        dial = ByWebSocket(f"wss://127.0.0.1:{port}/ws", token, None, trust, text=False, brief=True)
        states = asyncio.Queue()
        client = Client(hub.url, on_message=lambda _: None, on_state=states.put_nowait, brief=True, dial=dial)

        async def until(state):
            async with asyncio.timeout(WITHIN):
                while await states.get() != state:
                    pass

        await client.start(WITHIN)
        assert not dial._resumed._last.session_reused
        for _ in range(2):
            client.pause()
            await until("lost")
            client.resume()
            await until("connected")  # whoever says goodbye has no session any more
            assert dial._resumed._last.session_reused
        client.pause()
        await until("lost")
    async with running_hub(tmp_path / "hub", port=port, **tls):
        client.resume()
        await until("connected")
        assert not dial._resumed._last.session_reused
        await client.close()


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path):
    tls, _ = issued(tmp_path)
    async with running_hub(tmp_path / "hub", **tls) as hub:
        client = Client(hub.url, on_message=lambda _: None, token=hub.token(DEVICE), brief=True)
        with pytest.raises(Timeout, match="is not trusted here"):
            await client.start(3)


async def test_a_wake_does_not_measure_the_round_trip(tmp_path):
    async with running_hub(tmp_path) as hub:
        client = Client(hub.url, on_message=lambda _: None, token=hub.token(DEVICE), brief=True)
        await client.start(WITHIN)
        assert await client.flush(WITHIN)
        assert client.rtt is None
        transport = client._conversation._transport
        assert not transport.text, "MessagePack"
        assert not transport._deflates, "no compression was agreed on"
        await client.close()
