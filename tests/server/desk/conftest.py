"""A writer's visit to a server, and one with room for three continuations with a genre."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from server.settings import Settings
from tests.server.desk.visiting import Visitor


@pytest.fixture
def visitor(client: TestClient[Litestar]) -> Visitor:
    return Visitor(client)


@pytest.fixture
def roomy(bundle: Bundle) -> Iterator[Engine]:
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=8)) as engine:
        yield engine


@pytest.fixture
def writer(roomy: Engine, tmp_path: Path) -> Iterator[Visitor]:
    """A writer at a desk with 40 requests a minute."""
    app = create_app(roomy, Settings(database=str(tmp_path / "shelf.sqlite"), rate=40))
    app.debug = False
    with TestClient(app) as client:
        yield Visitor(client)
