"""Credentials for TURN servers that need no table of users: a name that says until when, and its signature.

The scheme of "A REST API For Access To TURN Services" (draft-uberti-behave-turn-rest-00), which coturn calls
`use-auth-secret`, and which the hub's own server takes too:

    username   = "{expires}:{call}:{user}:{thing}"      expires: seconds since 1970, UTC
    credential = base64(HMAC-SHA1(secret, username))

SHA-1 is the scheme's, and coturn's; as the hash of an HMAC it still holds (RFC 6151 says so of MD5 even).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

LONGEST_PART: Final = 128
"""Bytes of one part of a username; a longer one is its SHA-256 in hex. RFC 8489, section 14.3, allows 508."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes credentials.

    Attributes:
        secret: known to the TURN server, and to nobody else.
        lifetime: seconds for which a credential can make an allocation. One that stands may be refreshed
            for longer.
    """

    secret: bytes
    lifetime: float

    def credential(self, call: str, user: str, thing: str, *, now: float | None = None) -> tuple[str, str]:
        """Return (username, credential) for one end of a call.

        Args:
            call: which call.
            user: which end of it, as its principal: what quotas are counted by.
            thing: which thing is called.
            now: seconds since 1970; by default the clock's.
        """
        expires = int((time.time() if now is None else now) + self.lifetime)
        username = ":".join((str(expires), *map(part, (call, user, thing))))
        signature = hmac.digest(self.secret, username.encode(), hashlib.sha1)
        return username, base64.b64encode(signature).decode()


def part(text: str) -> str:
    """Return a part of a username as it stands there: without colons, and not too long."""
    quoted = quote(text, safe="")
    return quoted if len(quoted) <= LONGEST_PART else hashlib.sha256(text.encode()).hexdigest()
