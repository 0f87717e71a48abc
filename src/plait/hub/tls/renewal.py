"""When an ACME server wants a certificate renewed, and telling it which one an order replaces (RFC 9773).

A server that has to revoke many certificates, or would have all hubs come at the same hour, says so here
before it happens; one that says nothing leaves the hub to its own rule.
"""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import requests
from acme import client, errors, messages
from cryptography import x509
from josepy.errors import Error as JoseError
from josepy.json_util import field

if TYPE_CHECKING:
    from josepy.interfaces import JSONDeSerializable

ASK_AFTER_S: Final = (60.0, 86400.0)
"""Seconds from one question to the next: at least, at most, whatever the server says (section 4.3.2)."""

FAULTS: Final = (errors.Error, messages.Error, JoseError, requests.RequestException, ValueError, TypeError)
"""What the library raises where the server is away or answers nonsense."""


class _Replacing(messages.NewOrder):
    replaces: str = field("replaces")


class Network(client.ClientNetwork):
    """The library's way to the server, with the certificate that the next order replaces (section 5).

    Attributes:
        replaces: its identifier; "" for none.
    """

    replaces = ""

    def post(self, url: str, obj: JSONDeSerializable, **options: Any) -> requests.Response:
        """Send a signed request; where it is an order, with `replaces`."""
        if self.replaces and isinstance(obj, messages.NewOrder):
            obj = _Replacing(identifiers=obj.identifiers, profile=obj.profile, replaces=self.replaces)
        return super().post(url, obj, **options)


def is_offered(directory: messages.Directory) -> bool:
    """Return whether the server speaks RFC 9773."""
    try:
        return bool(directory["renewalInfo"])
    except KeyError:
        return False


def identifier(leaf: x509.Certificate) -> str:
    """Return what RFC 9773, section 4.1, names a certificate by; "" where it says not who issued it."""
    try:
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    # As in DER, where a first bit that is set would be a sign.
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    both = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (issuer or b"", serial))
    return ".".join(both)


def latest(leaf: x509.Certificate) -> dt.datetime:
    """Return when it is renewed at the latest, whatever the server says: with a tenth of its time left."""
    return leaf.not_valid_after_utc - (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / 10


def ask(server: client.ClientV2, chain: bytes) -> tuple[dt.datetime | None, float]:
    """Ask when to renew a certificate (PEM, the leaf first).

    Returns:
        A moment in the window that the server suggests, None where it suggests none; and after how many
        seconds to ask again.

    Raises:
        FAULTS: there was no answer, or it made no sense.
    """
    at, again = server.renewal_time(chain)
    wait = (again - dt.datetime.now()).total_seconds()  # noqa: DTZ005 - as the library has it
    return at, min(max(wait, ASK_AFTER_S[0]), ASK_AFTER_S[1])
