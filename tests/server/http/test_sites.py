"""Requests from pages of other sites, and names of other sites that lead to this server."""

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.engine import Engine
from server.http.keys import Key
from server.settings import Settings

ASKED = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 1}
KEY, SECRET = Key.make("alice", frozenset({"completion"}))
HERE = "http://testserver.local"

Client = TestClient[Litestar]


@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        ("", "localhost:8000", 200),
        ("", "127.0.0.1:8000", 200),
        ("", "[::1]:8000", 200),
        ("", "192.0.2.7", 200),
        ("", "plotify:8000", 200),
        ("", "desk.local.", 200),
        ("", "plotify.default.svc.cluster.local", 200),
        ("", "evil.example:8000", 403),
        ("", "localhost.evil.example", 403),
        ("", "127.0.0.1.evil.example", 403),
        ("", "notlocal", 200),
        ("", "evil.notlocal", 403),
        ("plotify.example, *.plotify.test", "Plotify.example:443", 200),
        ("plotify.example, *.plotify.test", "a.b.plotify.test", 200),
        ("plotify.example, *.plotify.test", "notplotify.example", 403),
        ("plotify.example, *.plotify.test", "a.plotify.example", 403),
        ("plotify.example, *.plotify.test", "plotify.test", 403),
        ("plotify.example, *.plotify.test", "127.0.0.1", 200),
        ("*", "evil.example", 200),
        ("", "a:b", 400),
        ("", "x:99999999", 400),
        ("", "[::1", 400),
    ],
)
def test_a_server_without_keys_has_few_names(engine: Engine, hosts: str, host: str, status: int) -> None:
    with TestClient(create_app(engine, Settings(hosts=hosts))) as client:
        for path in ("/", "/docs", "/v1/models", "/openapi", "/healthz", "/shelf/none/about"):
            found = client.get(path, headers={"Host": host}).status_code
            assert found == (404 if status == 200 and "none" in path else status), path


@pytest.mark.parametrize(("hosts", "status"), [("", 200), ("plotify.example", 403)])
def test_one_with_keys_has_any_name_unless_it_is_told_its_own(engine: Engine, hosts: str, status: int) -> None:
    with TestClient(create_app(engine, Settings(keys=KEY.entry, hosts=hosts))) as client:
        assert client.get("/", headers={"Host": "desk.example"}).status_code == status


def test_a_refused_name_and_a_malformed_one_are_explained(client: Client) -> None:
    answer = client.get("/v1/models", headers={"Host": "evil.example"})
    assert "evil.example" in answer.json()["error"]["message"]
    assert "PLOTIFY_HOSTS" in answer.json()["error"]["message"]
    answer = client.get("/healthz", headers={"Host": "a:b"})
    assert answer.json()["message"].startswith("The Host header is not a host and port")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.testserver.local"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, False),
        ({"Origin": HERE}, True),
        ({"Origin": f"{HERE}:8080"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://testserver.local.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Origin": "https://editor.example", "Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "https://editor.example.evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://plotify.example"}, True),
    ],
)
def test_posts_of_another_sites_page_are_refused(engine: Engine, headers: dict[str, str], allowed: bool) -> None:
    settings = Settings(origins="https://editor.example", hosts="plotify.example")
    with TestClient(create_app(engine, settings)) as client:
        answers = [
            client.post("/v1/completions", json=ASKED, headers=headers),
            client.post("/v1/completions", json=ASKED, headers=headers | {"Content-Type": "text/plain"}),
            client.post("/api/plots", data={"prompt": "A fox"}, headers=headers),
            client.delete("/api/plots/none", headers=headers),
        ]
        assert [answer.status_code == 403 for answer in answers] == [not allowed] * 4
        if not allowed:
            assert "PLOTIFY_ORIGINS" in answers[0].json()["error"]["message"]
        assert client.get("/healthz", headers=headers).status_code == 200


def test_pages_of_named_origins_use_the_api_with_a_key(engine: Engine) -> None:
    page = {"Origin": "https://editor.example"}
    preflight = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
    }
    settings = Settings(keys=KEY.entry, origins="https://editor.example,null")
    with TestClient(create_app(engine, settings)) as client:
        answer = client.options("/v1/completions", headers=preflight)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://editor.example"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        bearer = {"Authorization": f"Bearer {SECRET}"}
        for answer, status in (
            (client.post("/v1/completions", json=ASKED, headers=page | bearer), 200),
            (client.post("/v1/completions", json=ASKED, headers=page), 401),
            (client.get("/api/plots/none", headers=page), 404),
            (client.post("/api/plots", json={"prompt": "A fox"}, headers={"Origin": "null"} | bearer), 201),
        ):
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] in ("https://editor.example", "null")
        other = {"Origin": "https://other.example"}
        assert client.options("/v1/completions", headers=preflight | other).status_code == 400
        assert "access-control-allow-origin" not in client.get("/v1/models", headers=other | bearer).headers


def test_without_origins_a_browser_learns_the_methods_and_nothing_else(engine: Engine) -> None:
    with TestClient(create_app(engine, Settings(keys=KEY.entry))) as client:
        headers = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
        for path, methods in (("/v1/completions", {"OPTIONS", "POST"}), ("/api/plots", {"OPTIONS", "POST"})):
            answer = client.options(path, headers=headers)
            assert answer.status_code == 204
            assert set(answer.headers["allow"].split(", ")) == methods
            assert not [name for name in answer.headers if name.startswith("access-control")]
