"""The servers with one database, and which of them are alive.

Each holds a lock, which ends with its process, however that ends.
"""

import re
import secrets
import sqlite3
from abc import abstractmethod
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

SERVERS = 0x73727672
"""The first key of advisory locks in PostgreSQL: "srvr" in ASCII. The second is the server's number."""


class Presence(Protocol):
    """The lock of a server. number: of the server, another one each time it starts. Safe from any thread."""

    number: int

    @abstractmethod
    def hold(self) -> None:
        """Take the lock. Call it again now and then: a connection may have been lost, and with it the lock."""

    @abstractmethod
    def alive(self, session: Session, number: int) -> bool:
        """Return True if the server with this number runs."""

    @abstractmethod
    def close(self) -> None:
        """Give the lock back."""


def presence(engine: Engine) -> Presence:
    """Return the presence of this server among those with the same database."""
    return FilePresence(Path(engine.url.database or "")) if engine.dialect.name == "sqlite" else LockPresence(engine)


class FilePresence(Presence):
    """A locked file beside the SQLite file. It is a database itself, without tables."""

    def __init__(self, database: Path) -> None:
        self.number = secrets.randbelow(2**31)
        self._database = database
        self._lock: sqlite3.Connection | None = None

    def hold(self) -> None:
        if self._lock is None:
            ours = re.compile(re.escape(self._database.name) + r"-server-\d+")
            for left in filter(lambda each: ours.fullmatch(each.name), self._database.parent.iterdir()):
                _locked(left)  # removes the file if its server is gone
            file = self._file(self.number)
            file.touch(0o600)
            self._lock = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            self._lock.execute("PRAGMA journal_mode = MEMORY")  # no other file
            self._lock.execute("BEGIN EXCLUSIVE")

    def alive(self, session: Session, number: int) -> bool:
        return number == self.number or _locked(self._file(number))

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._file(self.number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._database.with_name(f"{self._database.name}-server-{number}")


def _locked(file: Path) -> bool:
    """Return True if a server holds the lock of a file. Remove a file that nobody holds."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", timeout=0, uri=True)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        return "locked" in str(error)
    with suppress(OSError):
        file.unlink()
    return False


class LockPresence(Presence):
    """An advisory lock of PostgreSQL, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.number = secrets.randbelow(2**31)
        self._engine = engine
        self._connection: Connection | None = None

    def hold(self) -> None:
        with suppress(SQLAlchemyError):
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return
        self.close()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("SELECT pg_advisory_lock(:servers, :number)"), self._keys(self.number))
        self._connection = connection

    def alive(self, session: Session, number: int) -> bool:
        if number == self.number:
            return True
        free = text("SELECT pg_try_advisory_xact_lock_shared(:servers, :number)")
        return not session.scalar(free, self._keys(number))

    def close(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
            self._connection.close()
            self._connection = None

    def _keys(self, number: int) -> dict[str, int]:
        return {"servers": SERVERS, "number": number}
