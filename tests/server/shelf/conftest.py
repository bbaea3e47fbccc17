"""Shelves in SQLite, and in PostgreSQL if PLOTIFY_TEST_DATABASE is the URL of a server."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from server.shelf import Shelf
from server.shelf.database import url_of

SERVER = os.environ.get("PLOTIFY_TEST_DATABASE", "")
needs_postgresql = pytest.mark.skipif(not SERVER, reason="PLOTIFY_TEST_DATABASE names no PostgreSQL")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return an empty database."""
    if request.param == "sqlite":
        yield str(tmp_path / "shelf.sqlite")
        return
    with created() as database:
        yield database


@pytest.fixture
async def shelf(database: str) -> AsyncIterator[Shelf]:
    async with Shelf.open(database) as shelf:
        yield shelf


@contextmanager
def created(options: str = "") -> Iterator[str]:
    """Create a database in PostgreSQL, yield its URL, and delete it."""
    name = f"plotify_{secrets.token_hex(8)}"
    _administer(f"CREATE DATABASE {name} {options}")
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    _administer(f"DROP DATABASE {name}")


def _administer(statement: str) -> None:
    engine = create_engine(url_of(SERVER), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
