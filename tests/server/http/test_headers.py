"""Every response has the security headers."""

import httpx
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.engine import Engine
from server.http.headers import SECURITY_HEADERS
from server.settings import Settings
from tests.server.at_desk import go_on


def test_every_answer_has_them(client: TestClient[Litestar]) -> None:
    answers: list[httpx.Response] = [
        client.get("/"),
        client.get("/docs"),
        client.get("/nope"),
        client.get("/static/desk.js"),
        client.get("/healthz"),
        client.put("/v1/completions"),
        client.post("/v1/completions", json={}),
        client.post("/desk", data={"text": "A fox"}),
        go_on(client, "A fox", length="9"),
        go_on(client, "A fox", length="line"),
        client.post("/api/plots", json={"prompt": "A fox", "length": "line"}),
        client.get("/api/plots/none/events"),
    ]
    assert {answer.status_code for answer in answers} == {200, 201, 400, 403, 404, 405, 422}
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
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
