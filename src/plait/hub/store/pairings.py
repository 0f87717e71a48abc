"""Which thing may use which without the hub, and the key that the hub signs such permissions with."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import delete, insert, select

from plait.hub.contracts import Pairing
from plait.hub.store.tables import pairings, settings

if TYPE_CHECKING:
    from sqlalchemy import Delete, Engine

_KEY: Final = "pairing-key"


class PairingStore:
    """Implements `contracts.PairingStore`. Every method is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seed(self) -> bytes:
        """Return the private key, 32 bytes; made the first time."""
        with self._engine.begin() as connection:
            query = select(settings.c.value).where(settings.c.name == _KEY)
            seed: bytes | None = connection.execute(query).scalar_one_or_none()
            if seed is None:
                seed = os.urandom(32)
                connection.execute(insert(settings).values(name=_KEY, value=seed))
        return seed

    def all(self) -> list[Pairing]:
        """Return every pairing, the oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(pairings).order_by(pairings.c.created)).all()
        return [
            Pairing(
                id=row.id,
                caller=row.caller,
                thing=row.thing,
                verbs=tuple(msgspec.json.decode(row.verbs)),
                names=None if row.names is None else tuple(msgspec.json.decode(row.names)),
                until=row.until,
                lease=row.lease,
            )
            for row in rows
        ]

    def keep(self, pairing: Pairing) -> None:
        """Keep a pairing, in place of an earlier one of the same two."""
        row = {
            "id": pairing.id,
            "caller": pairing.caller,
            "thing": pairing.thing,
            "verbs": msgspec.json.encode(pairing.verbs),
            "names": None if pairing.names is None else msgspec.json.encode(pairing.names),
            "until": pairing.until,
            "lease": pairing.lease,
            "created": time.time_ns() // 1000,
        }
        with self._engine.begin() as connection:
            connection.execute(_of(pairing.caller, pairing.thing))
            connection.execute(insert(pairings).values(row))

    def drop(self, pairing: Pairing) -> None:
        """Forget a pairing."""
        with self._engine.begin() as connection:
            connection.execute(_of(pairing.caller, pairing.thing))


def _of(caller: str, thing: str) -> Delete:
    return delete(pairings).where(pairings.c.caller == caller, pairings.c.thing == thing)
