"""The probes for health and readiness."""

from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.engine import Engine


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
