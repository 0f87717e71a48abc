"""The store: migrations, group commit, and what happens when a write cannot be kept."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from plait.hub.contracts import Entry, Happening, Mark, NotKept, Principal, Reading
from plait.hub.store import database
from plait.hub.store.credentials import open_credentials
from plait.hub.store.sqlite import SqliteStore
from plait.hub.store.tables import metadata


@pytest.fixture
async def commits():
    return []


@pytest.fixture
async def store(tmp_path, commits):
    store = SqliteStore(tmp_path / "data", committed=lambda _, writes: commits.append(writes))
    yield store
    await store.close()


def keep(put, *arguments):
    """A write as a future."""
    future = asyncio.get_running_loop().create_future()

    def done(error):
        future.set_exception(error) if error else future.set_result(None)

    put(*arguments, done)
    return future


def reading(value, time, name="t"):
    return Reading("urn:a", name, time, msgspec.json.encode(value))


async def test_migrations_from_nothing_make_the_tables_of_the_metadata(store, tmp_path):
    engine = database.engine(tmp_path / "data" / "plait.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.migrate(engine)  # again: nothing to do
    engine.dispose()


async def test_what_waits_is_committed_together(store, commits):
    await store.marked("s", "p").future()  # the writer is awake, and idle again
    before = len(commits)
    writes = [keep(store.add_reading, reading(n, n), None) for n in range(500)]
    await asyncio.gather(*writes)
    assert sum(commits[before:]) == 500
    assert len(commits) - before < 100


async def test_a_write_is_readable_by_others_when_it_is_done(store, tmp_path):
    await keep(store.add_reading, reading(21.5, 7), Mark("s", "thing:urn:a", 3))
    other = sqlite3.connect(tmp_path / "data" / "plait.db")
    assert other.execute("SELECT time, value FROM readings").fetchall() == [(7, b"21.5")]
    assert other.execute("SELECT id, principal, seq FROM sessions").fetchall() == [("s", "thing:urn:a", 3)]
    other.close()
    assert await store.marked("s", "thing:urn:a").future() == 3
    assert await store.marked("s", "thing:urn:b").future() == 0
    assert await store.marked("none", "thing:urn:a").future() == 0


async def test_the_same_reading_twice_is_one(store):
    for value in (1, 1, 2):
        await keep(store.add_reading, reading(value, 7), None)
    await keep(store.add_reading, reading(0, 5), None)
    assert await store.history("urn:a", "t", 0, 100, 10).future() == [(5, b"0"), (7, b"2")]
    assert store.last_values() == [("urn:a", "t", 5, 0)]  # the last that came, whatever its clock says


async def test_the_same_event_twice_is_one(store, tmp_path):
    for data in (b"1", b"1", b"2"):
        await keep(store.add_event, Happening("urn:a", "ring", 7, data), None)
    other = sqlite3.connect(tmp_path / "data" / "plait.db")
    assert other.execute("SELECT count(*) FROM events").fetchone() == (2,)
    other.close()


async def test_a_write_that_fails_takes_none_along(store):
    async def fails():
        await keep(store.add_reading, Reading("urn:a", None, 1, b"1"), Mark("bad", "thing:urn:a", 2))

    async def works(n):
        await keep(store.add_reading, reading(n, n), Mark("good", "thing:urn:b", n))

    results = await asyncio.gather(works(1), fails(), works(2), works(3), return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        sqlite3.IntegrityError,
        type(None),
        type(None),
    ]
    assert await store.marked("good", "thing:urn:b").future() == 3
    # Nothing that the other session sends after its lost write may count as kept.
    with pytest.raises(NotKept):
        await keep(store.add_reading, reading(9, 9), Mark("bad", "thing:urn:a", 3))
    assert await store.marked("bad", "thing:urn:a").future() == 0
    assert [time for time, _ in await store.history("urn:a", "t", 0, 100, 10).future()] == [1, 2, 3]


async def test_the_journal(store):
    entry = Entry("user:owner", "m1", "urn:a", "blink", b'{"times":2}', 99)
    assert await store.open_action(entry, Mark("s", "user:owner", 1)).future()
    assert not await store.open_action(entry, None).future()
    assert await store.action("user:owner", "m1").future() == entry
    entry.state, entry.output = "done", b"3"
    await store.close_action(entry).future()
    assert await store.action("user:owner", "m1").future() == entry
    assert await store.action("user:other", "m1").future() is None


async def test_an_action_that_a_kill_left_open_is_closed_at_the_next_start(tmp_path):
    store = SqliteStore(tmp_path)
    await store.open_action(Entry("user:owner", "m1", "urn:a", "blink", None, 99), None).future()
    await store.close()
    store = SqliteStore(tmp_path)
    entry = await store.action("user:owner", "m1").future()
    assert entry.state == "failed"
    assert msgspec.json.decode(entry.output)["type"] == "urn:plait:problem:outcome-unknown"
    await store.close()


async def test_one_folder_one_hub(store, tmp_path):
    with pytest.raises(database.FolderInUse, match="another hub"):
        SqliteStore(tmp_path / "data")


async def test_another_process_may_add_a_token(store, tmp_path):
    with open_credentials(tmp_path / "data") as other:
        token = other.make_token(Principal("thing", "urn:a"))
    assert store.credentials.by_token(token) == Principal("thing", "urn:a")
    assert store.credentials.by_token(token + "x") is None
