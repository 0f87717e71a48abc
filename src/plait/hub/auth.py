"""Who is at the other end of an HTTP request or upgrade, and whether a browser may ask from where it asks."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from plait.wire.errors import Forbidden, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Collection

    from plait.hub.contracts import Principal
    from plait.hub.store.credentials import Credentials

COOKIE: Final = "plait_session"

_LONGEST: Final = 4096
"""Characters of a header that is looked at: credentials are far shorter."""


class Authenticator:
    """Reads credentials.

    Args:
        credentials: knows them.
        origins: origins (`https://home.example`) that are ours beside the address that was asked.
    """

    def __init__(self, credentials: Credentials, origins: Collection[str] = ()) -> None:
        self._credentials = credentials
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    def principal(self, *, authorization: str | None, cookie: str | None) -> Principal:
        """Return whose credential this is: a bearer token, or else the browser's session cookie.

        Raises:
            Unauthorized: there is none, or it is not valid (any more).
        """
        if authorization is not None:
            scheme, _, token = authorization[:_LONGEST].partition(" ")
            principal = self._credentials.by_token(token.strip()) if scheme.lower() == "bearer" else None
        else:
            secret = session_cookie(cookie)
            principal = None if secret is None else self._credentials.by_session(secret)
        if principal is None:
            raise Unauthorized("a bearer token or a login is needed")
        return principal

    def check_origin(self, origin: str | None, host: str | None, *, needed: bool = False) -> None:
        """Raise `Forbidden` where a page of another origin asks.

        Cookies go along with whatever asks from the same site, another port of this machine included; the
        origin tells them apart.

        Args:
            origin: the header of that name; programs that are not browsers send none.
            host: the header of that name.
            needed: refuse a request without an origin too.
        """
        if origin is None:
            if needed:
                raise Forbidden("an Origin is needed")
            return
        if origin in self._origins:
            return
        try:
            place = urlsplit(origin)
        except ValueError:
            raise Forbidden("not an origin") from None
        if place.scheme not in ("http", "https") or not host or place.netloc.lower() != host.lower():
            raise Forbidden("asked from another origin")


def session_cookie(header: str | None) -> str | None:
    """Return the browser session's secret from a Cookie header."""
    if header is None or len(header) > _LONGEST:
        return None
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
