"""The probes for health and readiness."""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.engine import Engine
from server.settings import Settings
from server.shelf import database
from tests.server.at_desk import form
from tests.server.live import serving
from tests.server.observability.scraping import samples


def test_a_server_that_takes_requests_is_ready(client: TestClient[Litestar]) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_one_that_is_about_to_stop_is_not_ready_and_still_well(client: TestClient[Litestar], engine: Engine) -> None:
    engine.drain()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, {"status": "draining"}, "5")
    assert client.get("/healthz").status_code == 200


def test_one_that_loads_its_model_anew_is_not_ready(
    client: TestClient[Litestar], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_batch", None)
    answer: Any = client.get("/readyz")
    monkeypatch.undo()
    assert (answer.status_code, answer.json()) == (503, {"status": "restarting"})


def test_a_database_that_fails_is_logged_counted_and_not_ready_until_it_works_again(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "RECHECK", 0.01)
    file = tmp_path / "shelf.sqlite"
    with serving(bundle, Settings(database=str(file))) as live, httpx.Client(base_url=live.address) as client:
        typed = form(client, text="A vixen waits", do="keep")
        assert client.get("/readyz").json() == {"status": "ready"}
        with sqlite3.connect(file) as other:
            other.execute("ALTER TABLE passages RENAME TO lost")
        assert client.post("/desk", data=typed).status_code == 503
        assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, {"status": "failing"})
        assert client.get("/healthz").status_code == 200
        found = samples(live.address)
        assert (found["plotify:database_ready"], found["plotify:database_failures_total"]) == (0, 1)
        (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert f"The database {file} cannot be used: no such table: passages" in said.getMessage()
        assert "vixen" not in caplog.text
        with sqlite3.connect(file) as other:
            other.execute("ALTER TABLE lost RENAME TO passages")
        until = time.monotonic() + 30
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.01)
        found = samples(live.address)
        assert (found["plotify:database_ready"], found["plotify:database_failures_total"]) == (1, 1)
        assert client.post("/desk", data=typed).status_code < 400
