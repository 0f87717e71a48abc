"""What lets one thing use another while no hub is there: a permission, signed by the hub and limited in time.

A JSON Web Token (RFC 7519) in the compact form of RFC 7515, signed by EdDSA (RFC 8037), so that a library in
any language reads it. Whoever has the hub's public key can check it; who made the signature is the caller's
matter: no cryptography here. `docs/protocol.md`, section 6.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import UNSET

from plait.wire import messages
from plait.wire.errors import Forbidden, PermissionExpired

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import UnsetType

Verb = Literal["read", "control"]
"""See its values and events; set and run it, and speak to it on channels."""

LONGEST: Final = 8192
"""Characters of a token; what is longer is not read."""

VERBS: Final[dict[str, Verb]] = {
    messages.READ_PROPERTY: "read",
    messages.READ_ALL_PROPERTIES: "read",
    messages.OBSERVE_ALL_PROPERTIES: "read",
    messages.UNOBSERVE_ALL_PROPERTIES: "read",
    messages.SUBSCRIBE_ALL_EVENTS: "read",
    messages.UNSUBSCRIBE_ALL_EVENTS: "read",
    messages.DESCRIBE_THING: "read",
    messages.WRITE_PROPERTY: "control",
    messages.INVOKE_ACTION: "control",
}
"""What each operation needs."""

_HEADER: Final = {"alg": "EdDSA", "typ": "JWT"}


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A permission: the claims of its token.

    Attributes:
        id: the pairing that it follows from.
        caller: the thing that may use the other.
        thing: the thing that is used.
        issued, expires: seconds since 1970 (`NumericDate`), by the hub's clock.
        verbs: what is allowed.
        names: the properties, actions and events that it is limited to; all of them where absent.
        certificates: of each of the two, by its id: the SHA-256 fingerprint of its DTLS certificate, as SDP
            writes it (RFC 8122).
    """

    id: str = msgspec.field(name="jti")
    caller: str = msgspec.field(name="sub")
    thing: str = msgspec.field(name="aud")
    issued: int = msgspec.field(name="iat")
    expires: int = msgspec.field(name="exp")
    verbs: tuple[Verb, ...] = msgspec.field(name="plait:verbs")
    certificates: dict[str, str] = msgspec.field(name="plait:certificates")
    names: tuple[str, ...] | None = msgspec.field(name="plait:names", default=None)

    @property
    def until(self) -> datetime:
        """When it expires."""
        return datetime.fromtimestamp(self.expires, UTC)

    def other(self, thing: str) -> str:
        """Return which of the two a thing's far end is."""
        return self.thing if thing == self.caller else self.caller

    def check(self, now: datetime, *, thing: str, caller: str | None = None) -> None:
        """Check that it is for these two, now.

        Raises:
            PermissionExpired: its time is over.
            Forbidden: it is for others; the detail names them.
        """
        if thing != self.thing or caller not in (None, self.caller):
            raise Forbidden(
                f"this permission lets {self.caller} use {self.thing}, not {caller or 'anybody'} {thing}"
            )
        if now >= self.until:
            raise self.expired()

    def expired(self) -> PermissionExpired:
        """Return the error that says that its time is over."""
        return PermissionExpired(
            f"the permission of {self.caller} for {self.thing} expired at {self.until:%Y-%m-%d %H:%M:%SZ}"
        )

    def allow(self, operation: str, name: str | UnsetType = UNSET) -> None:
        """Check that it covers an operation, of an affordance where it has a name.

        Raises:
            Forbidden: it does not.
        """
        verb = VERBS.get(operation)
        if verb is not None and verb not in self.verbs:
            raise Forbidden(f"{self.caller} may not {verb} {self.thing}", field="/operation")
        if name is not UNSET and not self.covers(name):
            raise Forbidden(f"{self.caller} may not use `{name}` of {self.thing}", field="/name")

    def covers(self, name: str) -> bool:
        """Return whether it is limited to others than this property, action or event."""
        return self.names is None or name in self.names


def seal(grant: Grant, sign: Callable[[bytes], bytes]) -> str:
    """Return a permission's token.

    Args:
        grant: what it says.
        sign: the hub's signature of these bytes, by Ed25519.
    """
    signed = f"{_armour(msgspec.json.encode(_HEADER))}.{_armour(msgspec.json.encode(grant))}"
    return f"{signed}.{_armour(sign(signed.encode()))}"


def unseal(token: object, verify: Callable[[bytes, bytes], bool]) -> Grant:
    """Return what a token says, once it is known to be the hub's.

    Args:
        token: what came.
        verify: whether the hub has signed these bytes with this signature.

    Raises:
        Forbidden: it is no permission, or not signed by this hub; the detail says which.
    """
    try:
        header, claims, signature = _parts(token)
        known = msgspec.json.decode(header, type=dict[str, object])
        grant = msgspec.json.decode(claims, type=Grant)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Forbidden(f"this is no permission: {error}") from error
    if known.get("alg") != _HEADER["alg"]:
        raise Forbidden(f"a permission is signed by EdDSA, not by {known.get('alg')!r}")
    signed = str(token).rpartition(".")[0].encode()
    if not verify(signed, signature):
        raise Forbidden(f"the permission of {grant.caller} for {grant.thing} is not signed by this hub")
    return grant


def _armour(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _parts(token: object) -> tuple[bytes, bytes, bytes]:
    if not isinstance(token, str) or len(token) > LONGEST or token.count(".") != 2:
        raise ValueError("not a token of three parts")
    try:
        header, claims, signature = (
            base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
            for part in token.split(".")
        )
    except (binascii.Error, ValueError) as error:
        raise ValueError("its parts are not base64url") from error
    return header, claims, signature
