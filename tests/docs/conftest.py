"""Fixtures: the app with the shipped model, to compare with the docs."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from server.settings import SHIPPED_MODEL, Settings


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with (
        Engine(Bundle.load(SHIPPED_MODEL), EngineConfig(threads=1, queue=64, rows=2)) as engine,
        TestClient(create_app(engine, Settings())) as client,
    ):
        yield client
