"""Every answer tells browsers what not to do with it."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.edge.headers import SECURITY_HEADERS
from server.engine import Engine
from server.settings import Settings


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/docs", 200), ("/healthz", 200), ("/static/desk.css", 200), ("/nope", 404), ("/api/plots", 405)],
)
def test_every_answer_has_them(client: TestClient[Litestar], path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert SECURITY_HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
    assert "strict-transport-security" not in answer.headers


def test_nothing_is_allowed_but_from_here() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


def test_https_is_asked_for_over_https_alone(engine: Engine) -> None:
    app = create_app(engine, Settings(hsts=31536000))
    with TestClient(app, base_url="https://plotify.local") as client:
        assert client.get("/").headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/nope").headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in client.get("http://plotify.local/").headers
