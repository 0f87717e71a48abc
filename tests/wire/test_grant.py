"""What a permission's token says, and which are refused."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.wire.errors import Forbidden, PermissionExpired
from plait.wire.grant import VERBS, Grant, seal, unseal

LAMP, BUTTON = "urn:dev:lamp", "urn:dev:button"
GRANT = Grant(
    id="1",
    caller=BUTTON,
    thing=LAMP,
    issued=1_700_000_000,
    expires=1_700_000_100,
    verbs=("read", "control"),
    certificates={BUTTON: "sha-256 AA", LAMP: "sha-256 BB"},
)
DURING, AFTER = (datetime.fromtimestamp(at, UTC) for at in (1_700_000_099, 1_700_000_100))


def sign(message):
    return hashlib.sha256(b"the hub's" + message).digest()


def verify(message, signature):
    return signature == sign(message)


def part(text, number):
    piece = text.split(".")[number]
    return msgspec.json.decode(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def test_a_token_is_a_jwt():
    token = seal(GRANT, sign)
    assert part(token, 0) == {"alg": "EdDSA", "typ": "JWT"}
    assert part(token, 1) == {
        "jti": "1",
        "sub": BUTTON,
        "aud": LAMP,
        "iat": 1_700_000_000,
        "exp": 1_700_000_100,
        "plait:verbs": ["read", "control"],
        "plait:certificates": {BUTTON: "sha-256 AA", LAMP: "sha-256 BB"},
    }
    assert unseal(token, verify) == GRANT


def test_other_algorithms_are_refused():
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    token = header + seal(GRANT, sign)[seal(GRANT, sign).index(".") :]
    with pytest.raises(Forbidden, match="signed by EdDSA, not by 'none'"):
        unseal(token, lambda *_: True)


@pytest.mark.parametrize("token", [None, 7, "", "a.b", "a.b.c", "é.é.é", "e30.e30.e30", "x" * 9000])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(Forbidden, match="this is no permission"):
        unseal(token, lambda *_: True)


@given(st.integers(min_value=0), st.characters())
def test_a_letter_changed_is_not_the_hubs(place, letter):
    token = seal(GRANT, sign)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        assert unseal(changed, verify) == GRANT  # the same letter, or bits of the last one that hold nothing
    except Forbidden:
        return


def test_it_is_for_two_and_for_a_time():
    GRANT.check(DURING, thing=LAMP)
    GRANT.check(DURING, thing=LAMP, caller=BUTTON)
    with pytest.raises(PermissionExpired, match="expired at 2023-11-14 22:15:00Z"):
        GRANT.check(AFTER, thing=LAMP)
    with pytest.raises(Forbidden, match="lets urn:dev:button use urn:dev:lamp, not anybody urn:dev:door"):
        GRANT.check(DURING, thing="urn:dev:door")
    with pytest.raises(Forbidden, match="not urn:dev:liar urn:dev:lamp"):
        GRANT.check(DURING, thing=LAMP, caller="urn:dev:liar")


def test_it_covers_what_it_names():
    for operation in VERBS:
        GRANT.allow(operation, "anything")
    reading = msgspec.structs.replace(GRANT, verbs=("read",), names=("on",))
    reading.allow("readproperty", "on")
    with pytest.raises(Forbidden, match="may not control"):
        reading.allow("invokeaction", "on")
    with pytest.raises(Forbidden, match="may not use `level`"):
        reading.allow("readproperty", "level")
