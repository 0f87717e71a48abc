"""Tokens, login codes and browser sessions: only their hashes are kept.

Each secret is 256 random bits, so that its plain SHA-256 cannot be searched. A second process (`plait hub
token`) may write here while a hub runs: the hub looks here at every upgrade and request, and keeps no copy.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select

from plait.hub.contracts import Principal
from plait.hub.store import database
from plait.hub.store.tables import login_codes, revoked, tokens, user_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from plait.hub.contracts import Kind

_CODE_S: Final = 15 * 60
"""How long a login code is good for."""

SESSION_S: Final = 30 * 24 * 3600
"""How long a browser stays logged in."""


_ID: Final = 12
"""Hexadecimal digits of a credential's hash that name it: enough to tell a hub's credentials apart."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token or a browser's session, as it may be shown.

    Attributes:
        id: the first digits of its hash.
        principal: whose it is.
        browser: whether it is a browser's session; else a token.
        created: microseconds since 1970, UTC.
    """

    id: str
    principal: Principal
    browser: bool
    created: int


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _id(digest: bytes) -> str:
    return digest.hex()[:_ID]


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
        digest = _hash(secret)
        query = select(tokens.c.kind, tokens.c.principal).where(tokens.c.hash == digest)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        kind: Kind = row.kind
        return Principal(kind, row.principal, _id(digest))

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
        digest = _hash(secret)
        query = select(user_sessions.c.user).where(
            user_sessions.c.hash == digest, user_sessions.c.expires > _now()
        )
        with self._engine.connect() as connection:
            user = connection.execute(query).scalar_one_or_none()
        return None if user is None else Principal("user", user, _id(digest))

    def log_out(self, secret: str) -> None:
        """End a browser session."""
        with self._engine.begin() as connection:
            _take_back(connection, [_hash(secret)])

    def all(self) -> Sequence[Credential]:
        """Return every token and every browser session that is valid, oldest first."""
        with self._engine.connect() as connection:
            return [credential for _, credential in _valid(connection)]

    def valid(self, credential: str) -> bool:
        """Return whether the credential of this id is still good."""
        return any(each.id == credential for each in self.all())

    def trusts(self, thing: str) -> bool:
        """Return whether a thing has a credential that is still good."""
        return any(each.principal == Principal("thing", thing) for each in self.all())

    def revoke(self, which: str) -> Sequence[Credential]:
        """Take credentials back, for good; a hub that runs ends their sessions within a second.

        Args:
            which: a credential's id; or whose they all are: a thing's id, or `thing:ID`, `user:NAME`.

        Returns:
            What was taken back; nothing where there is none such.
        """
        with self._engine.begin() as connection:
            meant = [
                (digest, credential)
                for digest, credential in _valid(connection)
                if which in (credential.id, str(credential.principal))
                or (credential.principal.kind == "thing" and which == credential.principal.id)
            ]
            _take_back(connection, [digest for digest, _ in meant])
        return [credential for _, credential in meant]

    def revoked_since(self, number: int) -> tuple[int, Sequence[str]]:
        """Return what was taken back after the `number`-th: the number now, and the credentials' ids."""
        query = select(revoked.c.number, revoked.c.credential).where(revoked.c.number > number)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(revoked.c.number)).all()
        return (rows[-1].number, [row.credential for row in rows]) if rows else (number, ())

    def revocations(self) -> int:
        """Return the number of the newest of `revoked_since`."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(revoked.c.number))).scalar_one() or 0


def _valid(connection: Connection) -> list[tuple[bytes, Credential]]:
    found = [
        (row.hash, Credential(_id(row.hash), Principal(row.kind, row.principal), False, row.created))
        for row in connection.execute(select(tokens))
    ]
    found += [
        (row.hash, Credential(_id(row.hash), Principal("user", row.user), True, row.created))
        for row in connection.execute(select(user_sessions).where(user_sessions.c.expires > _now()))
    ]
    return sorted(found, key=lambda pair: pair[1].created)


def _take_back(connection: Connection, digests: Sequence[bytes]) -> None:
    for digest in digests:
        for table in (tokens, user_sessions):
            connection.execute(delete(table).where(table.c.hash == digest))
        connection.execute(insert(revoked).values(credential=_id(digest), time=_now()))


@contextmanager
def open_credentials(folder: Path) -> Iterator[Credentials]:
    """Open the credentials of a data folder, whether or not a hub runs on it."""
    engine = database.engine(database.open_folder(folder))
    try:
        database.migrate(engine)
        yield Credentials(engine)
    finally:
        engine.dispose()
