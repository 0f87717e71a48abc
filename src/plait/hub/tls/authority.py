"""The hub's own certificate authority, for the names and addresses of a house.

A root is made once, and signs one issuer; then the root's private key is gone: it is never written. The
issuer may vouch for nothing but what `NameConstraints` (RFC 5280, section 4.2.1.10) lists: private addresses,
names that exist in houses only, and what this machine was called when the authority was made. So whoever
steals the data folder of a hub cannot pass for a bank, though a phone trusts the root. Why so:
docs/decisions/0009-a-local-authority.md.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plait.hub.tls import names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOT_FOR: Final = dt.timedelta(days=20 * 365)
LEAF_FOR: Final = dt.timedelta(days=90)
"""Apple's systems take no more than 825 days, and from a public authority 47 soon; a hub renews by itself."""

BEFORE: Final = dt.timedelta(days=1)
"""How far a device's clock may be behind the hub's."""

OLDEST: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""No hub is older: where the clock says so it was never set, and a root made then would be over soon."""

ROOT_FILE: Final = "root.crt"
_ISSUER, _ISSUER_KEY = "issuer.crt", "issuer.key"


class Pair(NamedTuple):
    """A PEM chain, leaf first, and its PEM key."""

    chain: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """What may vouch for this hub.

    Attributes:
        root: what devices and browsers trust.
        issuer: what signs, and its key.
    """

    root: x509.Certificate
    issuer: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def open(cls, folder: Path, named: Iterable[names.Name]) -> Self:
        """Read it from its folder; make it there first where there is none.

        Args:
            folder: made for the owner alone (0700, files 0600).
            named: what a new authority may vouch for, beside what is private.

        Raises:
            OSError: the folder cannot be read or written.
            ValueError: a file there is not what it should be.
        """
        if not folder.exists():
            _make(folder, named)
        try:
            key = serialization.load_pem_private_key((folder / _ISSUER_KEY).read_bytes(), None)
            root, issuer = (
                x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in (ROOT_FILE, _ISSUER)
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{folder}: not the hub's authority as it was made ({error})") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuer.public_key():
            raise ValueError(f"{folder / _ISSUER_KEY}: not the key of {_ISSUER}")
        return cls(root, issuer, key)

    @property
    def pem(self) -> bytes:
        """The root as PEM: what is handed out."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """The root's SHA-256, as 64 hexadecimal digits."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    @property
    def pin(self) -> str:
        """What devices and programs take to know the root by."""
        return f"sha256:{self.fingerprint}"

    def may_vouch_for(self, name: names.Name) -> bool:
        """Return whether clients would take a certificate of ours for it."""
        extension = self.issuer.extensions.get_extension_for_class(x509.NameConstraints).value
        for allowed in extension.permitted_subtrees or ():
            value = allowed.value
            if isinstance(name, str) and isinstance(value, str):
                if name == value or name.endswith("." + value):
                    return True
            elif not isinstance(name, str) and not isinstance(value, str) and name in value:
                return True
        return False

    def issue(self, named: Iterable[names.Name]) -> Pair:
        """Return a fresh certificate for these names and addresses, with a fresh key."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = _now()
        leaf = (
            _certificate(_called("Plait hub"), self.issuer.subject, key, now, now + LEAF_FOR)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(_SERVERS, critical=False)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in named]), critical=False)
            .add_extension(_signed_by(self.key), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        chain = leaf.public_bytes(serialization.Encoding.PEM)
        return Pair(chain + self.issuer.public_bytes(serialization.Encoding.PEM), private_pem(key))


_SERVERS: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def _make(folder: Path, named: Iterable[names.Name]) -> None:
    now = _now()
    root_key, issuer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # A number of its own, so that a second hub's authority stands beside the first in a list.
    called = _called(f"Plait hub {x509.random_serial_number() % 10**6:06}")
    root = (
        _certificate(called, called, root_key, now, now + ROOT_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    allowed: list[x509.GeneralName] = [x509.DNSName(name) for name in names.HOUSE]
    allowed += [x509.IPAddress(network) for network in names.PRIVATE]
    allowed += [_subtree(name) for name in named if not names.is_private(name)]
    issuer = (
        _certificate(_called("Plait hub, for this house only"), called, issuer_key, now, now + ROOT_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(_SERVERS, critical=False)
        .add_extension(x509.NameConstraints(allowed, None), critical=True)
        .add_extension(_signed_by(root_key), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    # Whole or not at all: a hub killed here makes another one next time.
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    write(new / ROOT_FILE, root.public_bytes(serialization.Encoding.PEM))
    write(new / _ISSUER, issuer.public_bytes(serialization.Encoding.PEM))
    write(new / _ISSUER_KEY, private_pem(issuer_key))
    new.rename(folder)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    until: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _called(name: str) -> x509.Name:
    # With a space, so that nobody takes a common name for a host's.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _general(name: names.Name) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _subtree(name: names.Name) -> x509.GeneralName:
    """Return what covers a name; an IPv6 address with its /64, in which a machine changes its own."""
    if isinstance(name, str):
        return x509.DNSName(name)
    return x509.IPAddress(ipaddress.ip_network(f"{name}/{32 if name.version == 4 else 64}", strict=False))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM (PKCS #8), without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _now() -> dt.datetime:
    return max(dt.datetime.now(dt.UTC), OLDEST)


def write(path: Path, content: bytes) -> None:
    """Write a file for the owner alone, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - the mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
