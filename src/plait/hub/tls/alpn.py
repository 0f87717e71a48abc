"""The challenge `tls-alpn-01` (RFC 8737): a certificate shown to who asks by the protocol `acme-tls/1`."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any, Final

from acme.challenges import (
    Challenge,
    ChallengeResponse,
    KeyAuthorizationChallenge,
    KeyAuthorizationChallengeResponse,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plait.hub.tls.authority import Pair, private_pem

if TYPE_CHECKING:
    from josepy.jwk import JWK

ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTETS: Final = b"\x04\x20"
"""DER of an OCTET STRING of 32 bytes, before them."""

_FOR: Final = dt.timedelta(days=1)


@ChallengeResponse.register
class TLSALPN01Response(KeyAuthorizationChallengeResponse):
    """What the server is told when the certificate is shown."""

    typ = "tls-alpn-01"


@Challenge.register
class TLSALPN01(KeyAuthorizationChallenge):
    """The challenge; the library knows it no more since its version 5."""

    response_cls = TLSALPN01Response
    typ = response_cls.typ

    def validation(self, account_key: JWK, **_: Any) -> bytes:
        """Return what the certificate has to hold: a SHA-256."""
        return hashlib.sha256(self.key_authorization(account_key).encode()).digest()


def challenge_certificate(name: str, digest: bytes) -> Pair:
    """Return the certificate that proves a name (RFC 8737, section 3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _FOR)
        .not_valid_after(now + _FOR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, _OCTETS + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))
