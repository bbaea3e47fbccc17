"""A bundle, an engine and a server for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from server.settings import Settings
from tests.server.live import LiveServer, serving, slow_down
from tests.server.runs import Run, record


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


@pytest.fixture
def engine(bundle: Bundle) -> Iterator[Engine]:
    """An engine with four rows and a queue of four."""
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=4)) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(engine, Settings())) as client:
        yield client


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs of the session, in order."""
    return record(monkeypatch)


@pytest.fixture
def slow_decoding(monkeypatch: pytest.MonkeyPatch) -> float:
    """The seconds added to each decode step."""
    slow_down(monkeypatch, 0.05)
    return 0.05


@pytest.fixture
def slow_live(slow_decoding: float, bundle: Bundle) -> Iterator[LiveServer]:
    """A server slow enough to watch its streams."""
    with serving(bundle) as server:
        yield server


@pytest.fixture
def slower_live(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> Iterator[LiveServer]:
    """A server with decode steps longer than the delays of a busy machine, to count them in."""
    slow_down(monkeypatch, 0.4)
    with serving(bundle) as server:
        yield server


@pytest.fixture
def damaged(tiny_bundle: Path, tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Return a copy of the bundle with other content in one of its files."""

    def copy(name: str, content: bytes) -> Path:
        folder = tmp_path / "damaged"
        folder.mkdir()
        for file in tiny_bundle.iterdir():
            (folder / file.name).write_bytes(content if file.name == name else file.read_bytes())
        return folder

    return copy
