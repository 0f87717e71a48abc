"""Ed25519 signatures (RFC 8032), by the engine's own cryptography: for what must be proven beside DTLS."""

from __future__ import annotations

import os

from plait import _native


class SigningKey:
    """A private key.

    Args:
        seed: its 32 bytes, to be kept secret; a new one where none is given.

    Raises:
        ValueError: it has not 32 bytes.
    """

    def __init__(self, seed: bytes | None = None) -> None:
        self.seed = os.urandom(32) if seed is None else seed
        self.public = _native.ed25519_public(self.seed)

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return _native.ed25519_sign(self.seed, message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether the owner of a public key (32 bytes) has signed a message so."""
    return _native.ed25519_verify(public, message, signature)
