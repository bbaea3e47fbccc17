"""The memory of the processes of a cluster."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ray import serve

from server.bundle import Bundle
from server.cluster import deployments
from server.cluster.replica import Replica
from server.engine import Engine
from server.settings import Settings


@pytest.fixture
def thawed() -> Iterator[None]:
    """Let later tests collect what the code under test froze."""
    gc.unfreeze()
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.filterwarnings("ignore:coroutine 'Replica.__del__'")  # only Ray Serve awaits it
def test_a_replica_looks_for_no_garbage_in_what_it_started_with(
    bundle: Bundle, thawed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = SimpleNamespace(replica_id=SimpleNamespace(unique_id="a"))
    monkeypatch.setattr(serve, "get_replica_context", lambda: here)

    async def start_and_stop() -> None:
        replica = object.__new__(Replica)
        await replica.__init__(Settings(model=bundle.path))  # type: ignore[misc]
        assert gc.get_freeze_count() > 0
        await replica.__del__()

    asyncio.run(start_and_stop())


def test_the_app_looks_for_no_garbage_in_what_it_started_with(engine: Engine, thawed: None) -> None:
    app = SimpleNamespace(_engine=engine, _settings=Settings(), _name="a")
    deployments.App.__serve_build_asgi_app__(app)  # type: ignore[arg-type]
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("module", ["server.cluster.local", "server.cluster.deployments", "server.app"])
def test_only_an_engine_imports_numba(module: str) -> None:
    program = f"import sys, {module}; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
