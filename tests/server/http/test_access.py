"""Access to every route of the app, with and without a key."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import openai as package
import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.testing import TestClient

from server.app import create_app
from server.bundle import Bundle
from server.desk.writers import COOKIE, COOKIE_SECONDS
from server.engine import Engine
from server.http.access import Access, for_all, for_completion, for_desk, for_holders, for_operators
from server.http.keys import Key, Keys, KeysError
from server.settings import Settings
from tests.server.at_desk import form, go_on
from tests.server.desk.visiting import shelf_cookie
from tests.server.live import serving

KEYS = {name: Key.make(name, frozenset({name})) for name in ("completion", "operator")}
ENTRIES = " ".join(key.entry for key, _ in KEYS.values())
Client = TestClient[Litestar]
HTTPScope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/"}


def bearing(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name][1]}"}


def routes(app: Litestar) -> Iterator[tuple[str, str, Any]]:
    """Yield the path, method and handler of each route."""
    for route in app.routes:
        if route.path.startswith("/openapi"):
            continue
        for handler in getattr(route, "route_handlers", [getattr(route, "route_handler", None)]):
            if "OPTIONS" in handler.http_methods and handler.fn.__name__ == "options_handler":
                continue
            for method in handler.http_methods:
                yield route.path, str(method), handler


@pytest.fixture
def locked(engine: Engine) -> Iterator[Client]:
    with TestClient(create_app(engine, Settings(keys=ENTRIES, desk="closed"))) as client:
        yield client


def test_every_route_says_whom_it_is_for(locked: Client) -> None:
    found = list(routes(locked.app))
    assert len(found) >= 20
    for path, method, handler in found:
        known = {for_all, for_completion, for_desk, for_holders, for_operators}
        assert len(known.intersection(handler.resolve_guards())) == 1, f"{method} {path}"


def test_no_route_lets_anybody_in_without_the_right_key(locked: Client) -> None:
    protected = 0
    for path, method, handler in routes(locked.app):
        guards = handler.resolve_guards()
        address = (
            path.replace("{model:str}", "plotify-tiny")
            .replace("{plot_id:str}", "none")
            .replace("{share:str}", "none")
            .replace("{file_path:path}", "x")
        )
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic eDp4"},
            {"Cookie": f"{COOKIE}={'x' * 22}.{'0' * 64}"},
        ):
            status = locked.request(method, address, headers=headers).status_code
            if for_completion in guards or for_operators in guards:
                protected += 1
                assert status == 401, f"{method} {path}"
            elif for_desk in guards:
                protected += 1
                assert status == 403, f"{method} {path}"
            else:
                assert status not in (401, 403), f"{method} {path}"
        if for_completion in guards or for_operators in guards:
            scope, other = ("completion", "operator") if for_completion in guards else ("operator", "completion")
            assert locked.request(method, address, headers=bearing(other)).status_code == 403
            assert locked.request(method, address, headers=bearing(scope)).status_code not in (401, 403)
    assert protected >= 4 * 16


def test_each_api_says_so_in_its_form(locked: Client) -> None:
    asked = {"model": "plotify-tiny", "prompt": "A fox"}
    answer = locked.post("/v1/completions", json=asked)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"] == {
        "message": "This needs a key: send Authorization: Bearer KEY.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    answer = locked.post("/v1/completions", json=asked, headers=bearing("operator"))
    assert answer.json()["error"]["code"] == "insufficient_permissions"
    assert answer.json()["error"]["message"] == "The key operator lacks the scope completion."
    answer = locked.post("/api/plots", json={"prompt": "A fox"}, headers={"Authorization": "Bearer nonsense"})
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json() == {"message": "This key is not valid."}
    assert "This server is only for programs with a key." in locked.get("/").text


def test_the_client_of_openai_works_with_a_key(bundle: Bundle) -> None:
    with serving(bundle, Settings(keys=ENTRIES)) as server:
        address = f"{server.address}/v1"
        asked: dict[str, Any] = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 2}
        for secret, error in (("x", package.AuthenticationError), (KEYS["operator"][1], package.PermissionDeniedError)):
            with pytest.raises(error), package.OpenAI(base_url=address, api_key=secret, max_retries=0) as client:
                client.completions.create(**asked)
        with package.OpenAI(base_url=address, api_key=KEYS["completion"][1]) as client:
            assert client.completions.create(**asked).usage
            assert [model.id for model in client.models.list()] == ["plotify-tiny"]


def test_the_desk_is_open_beside_keys_and_its_cookie_is_none_of_them(engine: Engine) -> None:
    with TestClient(create_app(engine, Settings(keys=ENTRIES))) as client:
        cookie = client.get("/").headers["set-cookie"]
        assert all(part in cookie for part in (f"{COOKIE}_", "HttpOnly", "SameSite=lax", f"Max-Age={COOKIE_SECONDS}"))
        assert "Secure" not in cookie
        assert go_on(client, "A fox", length="line").status_code == 200
        assert client.post("/api/plots", data={"prompt": "A fox"}).status_code == 401
        assert client.get("/metrics").status_code == 401
    with TestClient(client.app, base_url="https://testserver") as client:
        assert "Secure" in client.get("/").headers["set-cookie"]


@pytest.mark.parametrize("changed", [{"token": ""}, {"token": "0" * 64}, {"token": "\udcff"}])
def test_a_form_needs_the_token_that_was_given_with_its_cookie(client: Client, changed: dict[str, str]) -> None:
    typed = form(client, text="A fox", do="keep", length="line")
    body = urlencode(typed | changed, errors="surrogateescape")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/desk", content=body, headers=headers).status_code == 403
    assert client.post("/shelf/none", content=body, headers=headers).status_code == 403
    assert client.post("/desk", data=typed, follow_redirects=False).status_code == 303


def test_one_writers_form_and_shelf_are_no_others(client: Client) -> None:
    typed = form(client, text="A fox", do="keep")
    kept = client.post("/desk", data=typed, follow_redirects=False).headers["location"]
    assert client.get(kept).status_code == 200
    name, first = shelf_cookie(client)
    client.cookies.clear()
    form(client)
    assert shelf_cookie(client)[1] != first
    assert client.post("/desk", data=typed).status_code == 403
    assert client.get(kept).status_code == 404
    client.cookies.clear()
    owner, _, signature = first.partition(".")
    for forged in (f"{'x' * 22}.{signature}", f"{owner}.", f"{owner}.{'0' * 64}", "ü.ü", "", f"{first}x"):
        headers = {b"Cookie": f"{name}={forged}".encode()}
        assert client.get(kept, headers=headers).status_code == 404
        assert client.post("/desk", data=typed, headers=headers).status_code == 403


def test_without_keys_nobody_needs_one(client: Client) -> None:
    assert client.post("/api/plots", data={"prompt": "A fox", "length": "line"}).status_code == 201
    asked = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 1}
    assert client.post("/v1/completions", json=asked, headers={"Authorization": "Bearer any"}).status_code == 200


def test_the_key_is_taken_back_while_the_server_runs(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(ENTRIES)
    with TestClient(create_app(engine, Settings(keys_file=str(file)))) as client:
        assert client.get("/v1/models", headers=bearing("completion")).status_code == 200
        file.write_text(KEYS["operator"][0].entry)
        assert client.get("/v1/models", headers=bearing("completion")).status_code == 401


def test_a_broken_file_of_keys_stops_the_start(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="none: cannot be read"):
        create_app(engine, Settings(keys_file=str(tmp_path / "none")))


@pytest.mark.parametrize(("proxies", "clients"), [("", 1), ("127.0.0.1", 2), ("10.0.0.0/8", 1), ("127.0.0.0/8", 2)])
def test_headers_of_proxies_are_believed_only_of_those_named(tiny_bundle: Path, proxies: str, clients: int) -> None:
    """Each client has one request a minute, so the number of responses is the number of clients."""
    environment = os.environ | {"PLOTIFY_PROXIES": proxies, "PLOTIFY_RATE": "1"}
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--model", str(tiny_bundle)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            address = f"{process.stdout.readline().split()[-1]}/v1/completions"
            asked = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 1}
            answers = [
                httpx.post(address, json=asked, headers={"X-Forwarded-For": f"192.0.2.{number}"})
                for number in (1, 2, 1)
            ]
        finally:
            process.kill()
    assert [answer.status_code for answer in answers].count(200) == clients


@pytest.mark.parametrize(
    ("host", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),  # of a server on ::
        ("::ffff:192.0.2.7", {}, False),
        ("192.0.2.7", {}, False),
        ("unix", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
    ],
)
def test_without_keys_operators_are_on_the_servers_machine(host: str, headers: dict[str, str], local: bool) -> None:
    access = Access(Keys())
    scope = HTTPScope | {"client": (host, 1), "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()]}
    if local:
        access.check_operator(ASGIConnection(scope))  # type: ignore[arg-type]
    else:
        with pytest.raises(PermissionDeniedException, match="only clients on the server's own machine have access"):
            access.check_operator(ASGIConnection(scope))  # type: ignore[arg-type]
