"""The certificate that a peer shows in DTLS: its media identity."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import textwrap

from plait import _native

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----(.+?)-----END \1-----", re.DOTALL)


def _armour(label: str, der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


class Certificate:
    """A self-signed certificate with its private key.

    A device makes one, keeps its `pem`, and uses it for every connection: the `fingerprint` (RFC 8122)
    is then the same for life, and can be signed by the device's own key.
    """

    def __init__(self, certificate: bytes, private_key: bytes) -> None:
        """Take both in DER form."""
        self.der = certificate
        self.private_key = private_key

    @classmethod
    def generate(cls) -> Certificate:
        """Make a new one (ECDSA P-256)."""
        return cls(*_native.generate_certificate())

    @classmethod
    def from_pem(cls, pem: str) -> Certificate:
        """Read what `pem` gave.

        Raises:
            ValueError: there is not one certificate and one private key in it.
        """
        found: dict[str, bytes] = {}
        for label, body in _BLOCK.findall(pem):
            try:
                found[label] = base64.b64decode("".join(body.split()), validate=True)
            except binascii.Error as error:
                raise ValueError(f"the {label.lower()} is not valid Base64") from error
        if not {"CERTIFICATE", "PRIVATE KEY"} <= found.keys():
            raise ValueError("a certificate and its private key are needed, both in PEM form")
        return cls(found["CERTIFICATE"], found["PRIVATE KEY"])

    @property
    def pem(self) -> str:
        """Private key and certificate; to be kept secret."""
        return _armour("PRIVATE KEY", self.private_key) + _armour("CERTIFICATE", self.der)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 digest as SDP writes it: `sha-256 AB:CD:…`."""
        return "sha-256 " + hashlib.sha256(self.der).digest().hex(":").upper()

    def __repr__(self) -> str:
        return f"Certificate({self.fingerprint!r})"
