"""The hub's TLS certificate: is it believed here, for this name, and for how long yet?"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plait.doctor.finding import failed, passed, warned

if TYPE_CHECKING:
    from plait.doctor.finding import Finding

SOON: Final = 14 * 86_400.0
"""Seconds of validity below which renewing has not worked, whoever does it."""

_TRUST: Final = (
    "a hub's own authority is trusted by --ca or PLAIT_CA, with what plait hub ca prints there; phones and "
    "browsers at its page /trust (docs/tls.md)"
)
# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET: Final = 9
_EXPIRED: Final = 10
_NAME: Final = frozenset({62, 64})
_UNKNOWN: Final = frozenset({18, 19, 20, 21})


@dataclass(frozen=True)
class Certificate:
    """What a server showed.

    Attributes:
        expires: seconds since 1970; 0 where it is not known.
        fingerprint: SHA-256, as browsers show it.
        protocol: "TLSv1.3" and the like.
        refused: OpenSSL's code of why it is not believed, 0 where it is; `why` says it in words.
    """

    expires: float = 0.0
    fingerprint: str = ""
    protocol: str = ""
    refused: int = 0
    why: str = ""


async def look(host: str, port: int, trusted: ssl.SSLContext | None, within: float) -> Certificate:
    """Shake hands with a server, and return what it showed.

    Raises:
        OSError: it cannot be reached, or speaks no TLS (`ssl.SSLError`).
        TimeoutError: not within so many seconds.
    """
    context = trusted or ssl.create_default_context()
    try:
        return await _shake(host, port, context, within)
    except ssl.SSLCertVerificationError as error:
        curious = ssl.create_default_context()
        curious.check_hostname = False
        curious.verify_mode = ssl.CERT_NONE
        shown = await _shake(host, port, curious, within)
        return Certificate(
            fingerprint=shown.fingerprint,
            protocol=shown.protocol,
            refused=error.verify_code,
            why=error.verify_message,
        )


async def _shake(host: str, port: int, context: ssl.SSLContext, within: float) -> Certificate:
    async with asyncio.timeout(within):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        try:
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            told = tls.getpeercert() or {}
            digest = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest().upper()
            expires = told.get("notAfter")
            return Certificate(
                expires=ssl.cert_time_to_seconds(expires) if isinstance(expires, str) else 0.0,
                fingerprint=":".join(digest[at : at + 2] for at in range(0, len(digest), 2)),
                protocol=tls.version() or "",
            )
        finally:
            writer.transport.abort()


def verdict(shown: Certificate, host: str, *, now: float | None = None) -> Finding:
    """Say what a certificate is worth.

    Args:
        shown: by the server.
        host: the name that it was asked for.
        now: seconds since 1970.
    """
    now = time.time() if now is None else now
    figures = {"fingerprint": shown.fingerprint, "protocol": shown.protocol}
    if shown.refused:
        said, advice = _refusal(shown, host)
        figures |= {"verifyCode": str(shown.refused)}
        return failed("TLS", said, advice=advice, figures=figures)
    days = (shown.expires - now) / 86_400
    said = f"{shown.protocol}, trusted, valid for {days:.0f} days yet"
    figures |= {"expires": str(int(shown.expires))}
    if shown.expires - now < SOON:
        return warned("TLS", said, advice="renew it: what should do that by itself has not", figures=figures)
    return passed("TLS", said, figures=figures)


def _refusal(shown: Certificate, host: str) -> tuple[str, str]:
    if shown.refused == _EXPIRED:
        return (
            "the hub's certificate has expired",
            "renew it, and see to it that this happens by itself; and look at the clock, which may be wrong",
        )
    if shown.refused == _NOT_YET:
        return "the hub's certificate is not valid yet", "set this machine's clock: it is behind"
    if shown.refused in _NAME:
        return (
            f"the hub's certificate is not for {host}",
            f"use a name that it is for, or make one for {host}",
        )
    if shown.refused in _UNKNOWN:
        return f"the hub's certificate is signed by nobody whom this machine trusts ({shown.why})", _TRUST
    return f"the hub's certificate is not believed: {shown.why}", _TRUST
