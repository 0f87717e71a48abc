"""The tables, as SQLAlchemy metadata. A change here needs a migration beside it; a test compares the two.

Times are whole microseconds since 1970, UTC. Values, descriptions, inputs and outputs are JSON as UTF-8
bytes. Secrets are never kept, only their SHA-256 (each is 256 random bits, so that a slow hash would add
nothing).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

metadata: Final = MetaData()

things: Final = Table(
    "things",
    metadata,
    Column("id", Text, primary_key=True),
    Column("description", LargeBinary, nullable=False),
    Column("registered", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
)

# The last value of each property; its number keeps the thing's id and name out of every reading.
properties: Final = Table(
    "properties",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("thing", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("time", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
    UniqueConstraint("thing", "name", name="properties_by_name"),
)

# Clustered by its key, so that a range of one series lies together; the key makes a re-sent reading the same
# row.
readings: Final = Table(
    "readings",
    metadata,
    Column("property", Integer, primary_key=True, autoincrement=False),
    Column("time", Integer, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

events: Final = Table(
    "events",
    metadata,
    Column("thing", Text, primary_key=True),
    Column("time", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("data", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)

# Clustered by its key as well, and so is `sessions`: a commit writes one page of each, and no index.
actions: Final = Table(
    "actions",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("message", Text, primary_key=True),
    Column("thing", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("input", LargeBinary),
    Column("deadline", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("output", LargeBinary),
    Column("opened", Integer, nullable=False),
    Column("closed", Integer),
    sqlite_with_rowid=False,
)

# How far each session was committed; written in the same transaction as what it covers.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    sqlite_with_rowid=False,
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("created", Integer, nullable=False),
)

login_codes: Final = Table(
    "login_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user", Text, nullable=False),
    Column("expires", Integer, nullable=False),
)

user_sessions: Final = Table(
    "user_sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user", Text, nullable=False),
    Column("created", Integer, nullable=False),
    Column("expires", Integer, nullable=False),
)

# What was taken back, in the order of it: a hub that runs looks here for what came since it last looked.
revoked: Final = Table(
    "revoked",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("credential", Text, nullable=False),
    Column("time", Integer, nullable=False),
    sqlite_autoincrement=True,
)

# Which thing (`caller`) may use which other without the hub. `verbs` and `names` are JSON lists; `until` is
# absent where it has no end; `lease`, in seconds, is how long each permission holds.
pairings: Final = Table(
    "pairings",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("thing", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("verbs", LargeBinary, nullable=False),
    Column("names", LargeBinary),
    Column("until", Integer),
    Column("lease", Integer, nullable=False),
    Column("created", Integer, nullable=False),
)

settings: Final = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
