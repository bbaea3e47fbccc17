"""The database is durable and up to date. An unusable one is refused with a clear message."""

import asyncio
import pwd
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from server.shelf import Shelf, ShelfUnusable
from server.shelf.database import VERSIONS, configuration, migrations, opened, url_of
from server.shelf.models import PlotRow
from tests.server.shelf.conftest import created, needs_postgresql

pytestmark = pytest.mark.anyio


@contextmanager
def tables_of(database: str) -> Iterator[Engine]:
    """Open a database."""
    engine = opened(database)
    try:
        yield engine
    finally:
        engine.dispose()


def test_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    with tables_of(str(tmp_path / "shelf.sqlite")) as engine, engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_migrations_make_the_tables_of_the_models(database: str) -> None:
    with tables_of(database) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSIONS, "compare_type": True})
        assert compare_metadata(context, PlotRow.metadata) == []


async def test_migrations_can_be_taken_back(database: str) -> None:
    config = configuration(url_of(database))
    with tables_of(database) as engine, engine.begin() as connection:
        migrations(config, connection).downgrade("base")
        assert inspect(connection).get_table_names() == [VERSIONS]
    async with Shelf.open(database) as shelf:
        await shelf.begin("me", "One")


async def test_a_database_of_an_earlier_version_is_taken_over(database: str) -> None:
    async with Shelf.open(database) as shelf:
        id = (await shelf.begin("me", "Un e\u0301te\u0301 à Besançon", title="STRASSE")).id
        await shelf.begin("me")
    with tables_of(database) as engine, engine.begin() as connection:
        migrations(configuration(url_of(database)), connection).downgrade("2")
        assert not {"growing", "searched"} & {column["name"] for column in inspect(connection).get_columns("plots")}
    async with Shelf.open(database) as shelf:
        for search in ("été à besançon", "straße"):
            entries, count = await shelf.browse("me", search)
            assert ([entry.id for entry in entries], count) == ([id], 1)
        kept = await shelf.keep("me", id, "Un e\u0301te\u0301 à Besançon. Il pleut.", "writer")
        assert (kept.current, kept.path[-1].text) == (2, ". Il pleut.")


async def test_a_passage_that_grows_still_does_in_a_later_version(database: str) -> None:
    async with Shelf.open(database) as shelf:
        growing = (await shelf.begin("me", "One", steering={"length": "line"})).id
        closed = (await shelf.begin("me", "One", closed=True)).id
        middle = (await shelf.begin("me", "One two", "model")).id
        await shelf.keep("me", middle, "One or two", "writer")
    with tables_of(database) as engine, engine.begin() as connection:
        migrations(configuration(url_of(database)), connection).downgrade("3")
        assert not {"typed_to", "steering"} & {column["name"] for column in inspect(connection).get_columns("plots")}
        assert "runs" not in {column["name"] for column in inspect(connection).get_columns("passages")}
    async with Shelf.open(database) as shelf:
        assert (await shelf.keep("me", growing, "One two", "writer")).path[-1].text == "One two"
        assert (await shelf.keep("me", closed, "One two", "writer")).path[-1].text == " two"
        volume = await shelf.read("me", middle)
        assert (volume.text, volume.steering, volume.authors) == ("One or two", {}, [(10, "writer")])
        assert (await shelf.keep("me", middle, "One or even two", "writer")).current == 3


async def test_many_may_start_at_once(database: str) -> None:
    async def start(number: int) -> None:
        async with Shelf.open(database) as shelf:
            await shelf.begin("me", f"{number}")

    await asyncio.gather(*(start(number) for number in range(8)))
    async with Shelf.open(database) as shelf:
        assert (await shelf.browse("me"))[1] == 8


def test_a_database_of_a_newer_program_is_refused_and_left_alone(database: str) -> None:
    with tables_of(database) as engine, engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSIONS} SET version_num = 'later'"))
    with pytest.raises(ShelfUnusable, match=r"was written by a newer Plotify: its version is later.*PLOTIFY_DATABASE"):
        opened(database)


def refused(database: str) -> str:
    with pytest.raises(ShelfUnusable) as error:
        opened(database)
    return str(error.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("Shall I compare thee to a summer's day?\n" * 100)
    message = refused(str(file))
    assert str(file) in message
    assert "this file is not a database; name another file" in message
    assert file.read_text().startswith("Shall I compare")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE plots (area FLOAT)")
    assert "table plots already exists" in refused(str(file))
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("plots",)]


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file" / "shelf") in refused(str(tmp_path / "file" / "shelf"))
    assert "unable to open database file" in refused(str(tmp_path))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:secret@localhost/plots", "mysql://me:***@localhost/plots: the database must be SQLite"),
        ("sqlite://", "keeps nothing. Name a file"),
        ("sqlite:///:memory:", "keeps nothing. Name a file"),
        ("postgresql://me:secret@127.0.0.1:1/plots", "postgresql+psycopg://me:***@127.0.0.1:1/plots cannot be used"),
        (
            "postgresql://127.0.0.1:1/plots?user=me&password=secret",
            "postgresql+psycopg://127.0.0.1:1/plots cannot be used",
        ),
        ("mysql://localhost/plots?password=secret", "mysql://localhost/plots: the database must be SQLite"),
        ("postgresql://me:secret@127.0.0.1:port/plots", "is not a valid URL"),
        ("postgresql://127.0.0.1:port/plots?password=secret", "is not a valid URL"),
        ("postgresql://me:secret/plots", "is not a valid URL"),
        ("postgresql://me:pass@secret@127.0.0.1/plots", "write it there as %40"),
        ("postgresql://me:secret@127.0.0.1:1/plots?ssl=require", 'invalid connection option "ssl"'),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, says: str) -> None:
    message = refused(url)
    assert says in message
    assert "secret" not in message


@needs_postgresql
def test_a_database_in_another_encoding_is_refused() -> None:
    with created("ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0") as database:
        message = refused(database)
    assert "has the encoding SQL_ASCII" in message
    assert "createdb --encoding UTF8" in message


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "[postgres]" in refused("postgresql://localhost/plots")


async def test_the_default_is_a_file_in_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    async with Shelf.open("") as shelf:
        await shelf.begin("me", "One")
    folder = tmp_path / "data" / "plotify"
    assert (folder / "plotify.sqlite").is_file()
    assert folder.stat().st_mode & 0o077 == 0


def test_a_database_is_named_by_a_path_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert url_of("a?b#c.sqlite").database == str(tmp_path / "a?b#c.sqlite")
    assert url_of("~/shelf.sqlite").database == "/home/me/shelf.sqlite"
    assert url_of("sqlite:////var/shelf.sqlite").render_as_string() == "sqlite:////var/shelf.sqlite"
    assert url_of("postgres://db/plots").render_as_string() == "postgresql+psycopg://db/plots"


@pytest.mark.parametrize("table", ["shelf_version", "passages"])
def test_a_database_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, table: str) -> None:
    """A trigger refuses to write, because tests may run as root, who can write anywhere."""
    file = tmp_path / "shelf.sqlite"
    opened(str(file)).dispose()
    with sqlite3.connect(file) as other:
        if table == "passages":
            other.execute("DROP TABLE passages")
        else:
            other.execute(f"CREATE TRIGGER no BEFORE UPDATE ON {table} BEGIN SELECT RAISE(FAIL, 'it is shut'); END")
    assert ("no such table: passages" if table == "passages" else "it is shut") in refused(str(file))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_others_on_the_machine_cannot_read_the_file_in_whatever_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "shelf.sqlite"

    def modes() -> dict[str, int]:
        engine = opened(str(file))
        with engine.begin() as connection:
            connection.execute(text("UPDATE secrets SET secret = secret"))
            found = {each.name.removeprefix(file.name): each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        engine.dispose()
        return found

    assert modes() == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    file.chmod(0o644)
    assert modes() == {"": 0o640, "-wal": 0o640, "-shm": 0o640}, "an older version's; its group stays as it was"


@pytest.mark.parametrize("database", ["", "~/shelf.sqlite", "~nobody-of-this-name/shelf.sqlite"])
def test_a_user_without_a_home_must_name_a_file(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", dict[int, object]().__getitem__)  # raises KeyError
    assert re.search(r"no home folder.*PLOTIFY_DATABASE", refused(database))
    assert not list(tmp_path.iterdir())


async def test_errors_do_not_tell_what_was_written(database: str) -> None:
    async with Shelf.open(database) as shelf:
        with tables_of(database) as engine, engine.begin() as connection:
            connection.execute(text("DROP TABLE pictures"))
        id = (await shelf.begin("me", "One")).id
        with pytest.raises(ShelfUnusable, match="pictures") as error:
            await shelf.illustrate("me", id, "image/png", b"...", "a secret prompt")
    assert "a secret prompt" not in f"{error.value} {error.value.__cause__}"
