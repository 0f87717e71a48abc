"""SHA-256 where the server offers it (RFC 8489, section 14.11), by a client with hashes of its own."""

from __future__ import annotations

import hashlib
import hmac
import struct

from .client import ALLOCATE, MAGIC, NONCE, REALM, TRANSPORT, USERNAME, attribute, client
from .conftest import credentials, serving

ALGORITHM, ALGORITHMS, INTEGRITY_SHA256 = 0x001D, 0x8002, 0x001C
SHA256, MD5 = b"\0\x02\0\0", b"\0\x01\0\0"


def signed(one, algorithms: bytes, algorithm: bytes) -> tuple[bytes, bytes]:
    """An Allocate, and its transaction."""
    given = [(TRANSPORT, b"\x11\0\0\0"), (USERNAME, one.username.encode()), (REALM, one.realm)]
    given += [(NONCE, one.nonce), (ALGORITHMS, algorithms), (ALGORITHM, algorithm)]
    message, transaction = one.message(ALLOCATE, given, signed=False)
    secret = f"{one.username}:{one.realm.decode()}:{one.password}".encode()
    known = hashlib.sha256 if algorithm == SHA256 else hashlib.md5
    head = struct.pack("!HHI", ALLOCATE, len(message) - 20 + 36, MAGIC)
    signature = hmac.digest(known(secret).digest(), head + message[8:], "sha256")
    return head + message[8:] + attribute(INTEGRITY_SHA256, signature, transaction), transaction


async def test_a_client_chooses_sha256_and_an_offer_that_was_cut_is_noticed():
    with serving() as server:
        for number, (told, chosen, error) in enumerate(
            [(SHA256 + MD5, SHA256, 0), (SHA256 + MD5, MD5, 0), (MD5, MD5, 400), (SHA256, SHA256, 400)]
        ):
            async with client(server.addresses[0], *credentials(f"user{number}")) as one:
                challenge = await one.ask(ALLOCATE, [(TRANSPORT, b"\x11\0\0\0")], signed=False)
                assert challenge.error == 401
                assert challenge.attributes[ALGORITHMS] == SHA256 + MD5
                one.realm, one.nonce = challenge.attributes[REALM], challenge.attributes[NONCE]
                assert one.nonce.startswith(b"obMatJos2AAAB")
                message, transaction = signed(one, told, chosen)
                answer = await one.answer_to(message, transaction)
                assert answer.error == error
                assert (INTEGRITY_SHA256 in answer.attributes) == (error == 0)
