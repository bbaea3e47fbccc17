"""The database of a shelf: its URL, its connections, its migrations and its health."""

import asyncio
import logging
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicSyncConfig, EngineConfig, SQLAlchemySyncConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from platformdirs import user_data_path
from sqlalchemy import URL, Connection, Engine, delete, event, false, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from server.extras import missing
from server.shelf.errors import ShelfUnusable
from server.shelf.models import PlotRow

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = "shelf_version"
"""The table of the migrations so far."""

WRITES = "shelf_writes"
"""The execution option of a connection before a writing transaction."""

BUSY = 30
"""Seconds for a transaction to wait: for a thread, for another writer to SQLite, or for PostgreSQL."""

RECHECK = 5.0
"""Seconds between the checks of a failing database."""

MIGRATING = 0x706C6F74
"""PostgreSQL's advisory lock during a migration: "plot" in ASCII."""

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def url_of(database: str) -> URL:
    """Return the URL of a database, given a URL, a path or an empty string. Raises ShelfUnusable."""
    if "://" not in database:
        try:
            path = Path(database).expanduser() if database else user_data_path("plotify", False) / "plotify.sqlite"
        except RuntimeError as error:
            raise ShelfUnusable(
                "This user has no home folder for the shelf. Name a file in PLOTIFY_DATABASE."
            ) from error
        return URL.create(DRIVERS["sqlite"], database=str(path.absolute()))
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        # The reason may hold a part of the password.
        form = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
        raise ShelfUnusable(f"PLOTIFY_DATABASE is not a valid URL; write it as {form}.") from None
    if "@" in (url.host or ""):
        raise ShelfUnusable("PLOTIFY_DATABASE has an @ in the user's name or password; write it there as %40.")
    driver = DRIVERS.get(url.drivername, url.drivername)
    if driver not in DRIVERS.values():
        raise ShelfUnusable(f"{shown(url)}: the database must be SQLite (a path) or PostgreSQL (postgresql://…).")
    url = url.set(drivername=driver)
    if driver == DRIVERS["sqlite"] and url.database in (None, "", ":memory:"):
        raise ShelfUnusable(f"{shown(url)} is a database in memory, which keeps nothing. Name a file.")
    return url


def configuration(url: URL) -> SQLAlchemySyncConfig:
    """Return the settings for connections and migrations. Raises ShelfUnusable."""
    # Parameters of statements hold writers' texts, which must not appear in errors and logs.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        # The driver begins no transactions by itself, because `_begin` chooses the kind.
        options["connect_args"] = {"isolation_level": None, "timeout": BUSY}
    else:
        options["pool_pre_ping"] = True
        # Without an encoding, the driver would return bytes from a database in SQL_ASCII.
        options["connect_args"] = {"connect_timeout": BUSY, "client_encoding": "utf8"}
    config = SQLAlchemySyncConfig(
        connection_string=url.render_as_string(hide_password=False),
        engine_config=EngineConfig(**options),
        alembic_config=AlembicSyncConfig(
            script_config="",
            script_location=str(MIGRATIONS).replace("%", "%%"),
            version_table_name=VERSIONS,
            compare_type=True,
        ),
    )
    try:
        engine = config.get_engine()
    except ImportError as error:
        raise ShelfUnusable(f"{shown(url)} cannot be used: {missing('psycopg', 'postgres')}") from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "connect", _in_utc)
    return config


def opened(database: str) -> Engine:
    """Open a database and bring its tables up to date. Raises ShelfUnusable, with what to do."""
    url = url_of(database)
    config = configuration(url)
    engine = config.get_engine()
    try:
        with usable(shown(url)):
            try:
                _prepare(url, config)
            except TypeError as error:  # the driver does not know an option in the URL
                raise OSError(error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _prepare(url: URL, config: SQLAlchemySyncConfig) -> None:
    """Bring the tables up to date. If several processes start at once, one does so and the others wait."""
    if url.get_backend_name() == "sqlite":
        _keep_private(Path(url.database or ""))
        _first_connection(config.get_engine())
    with config.get_engine().connect() as connection:
        connection.execution_options(**{WRITES: True})
        with connection.begin():
            if url.get_backend_name() == "postgresql":
                _check_encoding(connection, shown(url))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATING})
            _migrate(connection, config, shown(url))
            check_writable(connection)


def _check_encoding(connection: Connection, shown: str) -> None:
    """Raise ShelfUnusable unless a PostgreSQL database can keep every text."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise ShelfUnusable(
            f"The database {shown} has the encoding {encoding}, which cannot keep every text. Create it anew in UTF8: "
            "createdb --encoding UTF8 --template template0."
        )


def _keep_private(file: Path) -> None:
    """Create the folder and the file if they are missing, and close the file to other users.

    The file has the secret for writers' cookies. SQLite gives its log the permissions of the file. The group keeps
    its own, perhaps for a backup.
    """
    file.parent.mkdir(0o700, parents=True, exist_ok=True)
    if not file.exists():
        file.touch(0o600)
    for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
        with suppress(FileNotFoundError, PermissionError):  # another user's file is for that user to protect
            if each.is_file() and (mode := stat.S_IMODE(each.stat().st_mode)) & stat.S_IRWXO:
                each.chmod(mode & ~stat.S_IRWXO)


def _first_connection(engine: Engine) -> None:
    """Connect once, to switch a SQLite file to a write-ahead log.

    If several processes switch a new file at once, all but one get "locked" without SQLite's usual wait.
    """
    until = time.monotonic() + BUSY
    while True:
        try:
            with engine.connect():
                return
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # with the log, NORMAL would lose the last commits to a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _in_utc(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver returns times in the session's time zone, and pages show them unchanged.
    connection.cursor().execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _begin(connection: Connection) -> None:
    # A transaction that reads and then writes would fail if another had written in between.
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def migrations(config: SQLAlchemySyncConfig, connection: Connection) -> AlembicCommands:
    """Return Alembic's commands for a connection and its open transaction."""
    commands = AlembicCommands(config)
    commands.config.attributes["connection"] = connection
    return commands


def _migrate(connection: Connection, config: SQLAlchemySyncConfig, shown: str) -> None:
    commands = migrations(config, connection)
    known = {script.revision for script in ScriptDirectory.from_config(commands.config).walk_revisions()}
    found = MigrationContext.configure(connection, opts={"version_table": VERSIONS}).get_current_heads()
    if not known.issuperset(found):
        raise ShelfUnusable(
            f"The database {shown} was written by a newer Plotify: its version is {', '.join(found)}, but this Plotify "
            f"knows only {', '.join(sorted(known))}. Use the newer one, or name another database in PLOTIFY_DATABASE."
        )
    commands.upgrade()


def check_writable(connection: Connection) -> None:
    """Raise DBAPIError unless all tables can be written.

    BEGIN IMMEDIATE does not tell: on a read-only file, SQLite begins a transaction that can only read.
    """
    for table in PlotRow.metadata.sorted_tables:
        connection.execute(delete(table).where(false()))
    connection.execute(text(f"UPDATE {VERSIONS} SET version_num = version_num"))  # writes to the disk


def shown(url: URL) -> str:
    """Return the name of a database for operators: a path, or a URL without passwords."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.set(query={}).render_as_string()


@contextmanager
def usable(name: str) -> Iterator[None]:
    """Turn errors of the database into ShelfUnusable, with its name."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        said = str(getattr(error, "orig", None) or error or type(error).__name__).splitlines()[0]
        if "not a database" in said:
            said = "this file is not a database; name another file, or move this one away"
        raise ShelfUnusable(f"The database {name} cannot be used: {said}. PLOTIFY_DATABASE names it.") from error


class DatabaseHealth:
    """Notices when a database fails, and checks it until it works again. Belongs to one event loop.

    failures: the number of transactions that have failed because of the database.
    """

    def __init__(self, name: str) -> None:
        self.failures = 0
        self._name = name
        self._failed = asyncio.Event()

    @property
    def failing(self) -> bool:
        """True from a failure until a check succeeds."""
        return self._failed.is_set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Turn errors of the database into ShelfUnusable. Log and count them."""
        try:
            with usable(self._name):
                yield
        except ShelfUnusable as error:
            logger.error("%s", error)
            self.failures += 1
            if not isinstance(error.__cause__, DataError | IntegrityError):  # these concern one transaction only
                self._failed.set()
            raise

    async def recheck(self, check: Callable[[], Awaitable[None]]) -> None:
        """Call `check` every `RECHECK` seconds while the database fails. Never returns."""
        while True:
            await self._failed.wait()
            await asyncio.sleep(RECHECK)
            try:
                await check()
            except (DBAPIError, OSError):
                continue
            self._failed.clear()
            logger.warning("The database %s works again.", self._name)
