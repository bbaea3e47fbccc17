"""Incomplete bodies, and bodies with too many levels."""

import asyncio
import logging
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.engine import Engine
from server.settings import Settings

Message = dict[str, Any]


def left(app: Litestar, path: str, kind: str) -> list[Message]:
    """Return the messages of the app to a client that leaves in the middle of its body."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", kind.encode()), (b"content-length", b"100")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    arriving: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        return arriving.pop() if arriving else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def started() -> None:
        async with app.lifespan():
            await app(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(started())
    return sent


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/desk", "application/x-www-form-urlencoded"),
        ("/api/plots", "application/x-www-form-urlencoded"),
        ("/api/plots", "application/json"),
        ("/v1/completions", "application/json"),
    ],
)
def test_a_client_that_leaves_in_the_middle_is_no_failure(
    engine: Engine, caplog: pytest.LogCaptureFixture, path: str, kind: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        sent = left(create_app(engine, Settings()), path, kind)
    assert sent[0]["status"] == 499
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert engine.running == engine.queued == 0


@pytest.mark.parametrize("path", ["/api/plots", "/v1/completions"])
@pytest.mark.parametrize("opening", ["[", '{"x":', '[{"x":'])
def test_json_that_is_too_deep_is_told(client: TestClient[Litestar], path: str, opening: str) -> None:
    # In an unknown field, because the known ones are refused for their types first.
    content = '{"model": "plotify-tiny", "x": ' + opening * 20_000
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "The body is not JSON" in answer.text
