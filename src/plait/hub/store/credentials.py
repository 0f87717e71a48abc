"""Tokens, login codes and browser sessions: only their hashes are kept.

Each secret is 256 random bits, so that its plain SHA-256 cannot be searched. A second process (`plait hub
token`) may write here while a hub runs: the hub looks here at every upgrade and request, and keeps no copy.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from plait.hub.contracts import Principal
from plait.hub.store import database
from plait.hub.store.tables import login_codes, tokens, user_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from plait.hub.contracts import Kind

_CODE_S: Final = 15 * 60
"""How long a login code is good for."""

SESSION_S: Final = 30 * 24 * 3600
"""How long a browser stays logged in."""


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _now() -> int:
    return time.time_ns() // 1000


class Credentials:
    """Makes credentials and recognizes them. Every method is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def make_token(self, principal: Principal) -> str:
        """Return a fresh token of this principal, to be shown once."""
        secret = "plait_" + secrets.token_urlsafe(32)
        row = {"hash": _hash(secret), "kind": principal.kind, "principal": principal.id, "created": _now()}
        with self._engine.begin() as connection:
            connection.execute(insert(tokens).values(row))
        return secret

    def by_token(self, secret: str) -> Principal | None:
        """Return whose token this is."""
        query = select(tokens.c.kind, tokens.c.principal).where(tokens.c.hash == _hash(secret))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        kind: Kind = row.kind
        return Principal(kind, row.principal)

    def make_login_code(self, user: str) -> str:
        """Return a code that logs this user in, once, within 15 minutes."""
        code = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(delete(login_codes).where(login_codes.c.expires <= _now()))
            connection.execute(
                insert(login_codes).values(hash=_hash(code), user=user, expires=_now() + _CODE_S * 1_000_000)
            )
        return code

    def log_in(self, code: str) -> tuple[str, Principal] | None:
        """Take a login code; return the secret of a new browser session and whose it is."""
        taken = (
            delete(login_codes)
            .where(login_codes.c.hash == _hash(code), login_codes.c.expires > _now())
            .returning(login_codes.c.user)
        )
        with self._engine.begin() as connection:
            user = connection.execute(taken).scalar_one_or_none()
            if user is None:
                return None
            secret = secrets.token_urlsafe(32)
            connection.execute(delete(user_sessions).where(user_sessions.c.expires <= _now()))
            row = {"hash": _hash(secret), "user": user, "created": _now()}
            connection.execute(insert(user_sessions).values(**row, expires=_now() + SESSION_S * 1_000_000))
        return secret, Principal("user", user)

    def by_session(self, secret: str) -> Principal | None:
        """Return whose browser session this is."""
        query = select(user_sessions.c.user).where(
            user_sessions.c.hash == _hash(secret), user_sessions.c.expires > _now()
        )
        with self._engine.connect() as connection:
            user = connection.execute(query).scalar_one_or_none()
        return None if user is None else Principal("user", user)

    def log_out(self, secret: str) -> None:
        """End a browser session."""
        with self._engine.begin() as connection:
            connection.execute(delete(user_sessions).where(user_sessions.c.hash == _hash(secret)))


@contextmanager
def open_credentials(folder: Path) -> Iterator[Credentials]:
    """Open the credentials of a data folder, whether or not a hub runs on it."""
    engine = database.engine(database.open_folder(folder))
    try:
        database.migrate(engine)
        yield Credentials(engine)
    finally:
        engine.dispose()
