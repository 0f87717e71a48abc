"""Opens the data folder: permissions, the lock against a second hub, pragmas, migrations."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_FILE: Final = "plait.db"
_WAIT_S: Final = 10.0
"""How long a connection waits for another process that writes (`plait hub token`)."""


class FolderInUse(RuntimeError):
    """Another hub runs on this data folder."""


def open_folder(folder: Path) -> Path:
    """Make the data folder and the database file where they are missing, for the owner alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    path = folder / _FILE
    # SQLite gives its -wal and -shm files the permissions of the database itself.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return path


class FolderLock:
    """Held by the hub that runs on a folder; the kernel releases it however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "hub.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FolderInUse(f"another hub runs on {folder}") from None

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a driver connection without transactions of its own; the caller says BEGIN and COMMIT."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rw'}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_S, cached_statements=256
    )
    prepare(connection)
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Set what every connection needs; with FULL, a commit that returned outlives a power loss."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={int(_WAIT_S * 1000)}")


def engine(path: Path) -> Engine:
    """Return an engine for what is asked seldom."""
    made = create_engine(f"sqlite:///{path}", connect_args={"timeout": _WAIT_S})

    @event.listens_for(made, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - the URL above says so
        prepare(connection)

    return made


def migrate(made: Engine) -> None:
    """Bring the tables to the newest version, from any older one or from nothing."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with made.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
