"""A TURN server on loopback, and credentials for it."""

from __future__ import annotations

import base64
import hmac
import time
from contextlib import contextmanager

import pytest

from plait import _native

SECRET = b"only for tests"
REALM = "plait.test"


def credentials(
    user: str = "user", *, call: str = "call", lasts: float = 600, secret: bytes = SECRET
) -> tuple[str, str]:
    """Make a username and its password."""
    username = f"{int(time.time() + lasts)}:{call}:{user}:thing"
    return username, base64.b64encode(hmac.digest(secret, username.encode(), "sha1")).decode()


@contextmanager
def serving(*listen: str, **settings):
    """Run a server at free ports of these addresses (127.0.0.1)."""
    settings = {"secret": SECRET, "realm": REALM, "allow": ["127.0.0.0/8", "::1"]} | settings
    server = _native.TurnServer([(ip, 0) for ip in listen or ("127.0.0.1",)], **settings)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def turn():
    with serving("127.0.0.1", "::1") as server:
        yield server
