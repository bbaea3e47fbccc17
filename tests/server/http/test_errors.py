"""Each router gives errors its own form. Unexpected ones are logged once; clients get no details."""

import logging
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.desk.caret_routes import MAX_FORM
from server.engine import ClientBusy, DeadlineExceeded, Engine, EngineBusy, EngineError, InvalidRequest
from server.errors import PlotifyError
from server.http.errors import MESSAGES, headers_of, message_of, status_of
from server.plots.place import UnknownEvent
from server.plots.plots import UnknownPlot
from server.settings import Settings
from server.shelf import NotKept, NotOnShelf, ShelfError, ShelfFull, ShelfUnusable
from server.writing.brief import BriefError
from tests.server.at_desk import go_on

Client = TestClient[Litestar]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (EngineError("the model failed"), 500, "The model failed."),
        (EngineBusy("the queue is full", 2.5), 503, "The queue is full; try again in 3 seconds."),
        (ClientBusy("you have enough"), 429, "You have enough; try again in 5 seconds."),
        (DeadlineExceeded(), 504, "The request took longer than the server allows."),
        (InvalidRequest("the prompt is empty"), 400, "The prompt is empty."),
        (ShelfError("No."), 422, "No."),
        (NotOnShelf("No."), 404, "No."),
        (NotKept("title", "No."), 422, "No."),
        (ShelfFull("No."), 409, "No."),
        (ShelfUnusable("/secret/shelf.db"), 503, "The shelf cannot be reached just now. Try again in a moment."),
        (BriefError({"seed": "No."}), 422, "No."),
        (UnknownPlot("No."), 404, "No."),
        (UnknownEvent("No."), 400, "No."),
        (ValueError("secret"), 500, "Something went wrong here."),
    ],
)
def test_an_error_has_a_status_and_a_message(error: Exception, status: int, message: str) -> None:
    assert (status_of(error), message_of(error)) == (status, message)
    assert headers_of(error).keys() == ({"Retry-After"} if isinstance(error, EngineBusy) else set())
    assert isinstance(error, PlotifyError) == (message != "Something went wrong here.")


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/v1", "error"),
        ("GET", "//v1//nothing", "error"),
        ("PUT", "/v1/models", "error"),
        ("GET", "/api", "message"),
        ("PUT", "/api/plots", "message"),
        ("PUT", "/healthz", "message"),
        ("GET", "/readyz/nothing", "message"),
        ("GET", "/nothing", "page"),
        ("GET", "/v1nothing", "page"),
        ("PUT", "/shelf", "page"),
        ("GET", "/openapi/nothing", "page"),
        ("PUT", "/metrics", "page"),
    ],
)
def test_an_unknown_address_or_method_is_answered_in_the_form_of_its_router(
    client: Client, method: str, path: str, form: str
) -> None:
    # With a host, because the client would take the one of //v1.
    answer = client.request(method, f"http://testserver.local{path}")
    assert answer.status_code == (405 if method == "PUT" else 404)
    assert ("allow" in answer.headers) == (method == "PUT")
    if form == "page":
        assert answer.headers["content-type"].startswith("text/html")
    else:
        assert answer.json().keys() == {form}


@pytest.mark.parametrize(
    ("method", "path", "body", "form"),
    [
        ("POST", "/v1/completions", {"model": "plotify-tiny", "prompt": "A fox"}, "error"),
        ("POST", "/api/plots", {"prompt": "A fox"}, "message"),
    ],
)
def test_an_unexpected_error_is_logged_once_with_its_route(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: Any,
    form: str,
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(Engine, "submit_several", fail)
    answer = client.request(method, path, json=body)
    assert answer.status_code == 500
    assert answer.json().keys() == {form}
    assert "secret" not in answer.text
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.getMessage() == f"{method} {path} failed"
    assert record.exc_info
    assert isinstance(record.exc_info[1], RuntimeError)


def test_a_busy_server_is_no_failure_in_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> Any:
        raise EngineBusy("the queue is full")

    monkeypatch.setattr(Engine, "submit_several", refuse)
    answer = client.post("/api/plots", json={"prompt": "A fox"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "application/json, text/plain, */*"])
def test_a_script_at_the_pages_gets_a_message_that_it_can_read(engine: Engine, accept: str) -> None:
    with TestClient(create_app(engine, Settings(rate=1))) as client:
        headers = {"Accept": accept}
        go_on(client, "A fox", length="line")
        answers = [
            client.post("/desk", data={"text": "x" * MAX_FORM}, headers=headers),
            client.post("/shelf/none/picture", headers=headers),
            client.get("/shelf/none", headers=headers),
            client.put("/desk", headers=headers),
            client.post("/shelf/none", headers=headers),
        ]
    assert [answer.status_code for answer in answers] == [413, 429, 404, 405, 403]
    assert all(answer.headers["content-type"] == "application/json" for answer in answers)
    assert all(answer.json().keys() == {"message"} and answer.json()["message"] for answer in answers)
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)


def test_a_script_whose_text_is_too_large_gets_a_message(client: Client) -> None:
    answer = client.post("/desk", data={"text": "x" * MAX_FORM}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (413, {"message": MESSAGES[413]})


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "image/png", ""])
def test_everyone_else_gets_a_page_that_no_cache_keeps(client: Client, accept: str) -> None:
    answers = [client.get(path, headers={"Accept": accept}) for path in ("/nothing", "/shelf/none")]
    answers.append(client.post("/desk", data={"text": "A fox"}, headers={"Accept": accept}))
    assert [answer.status_code for answer in answers] == [404, 404, 403]
    for answer in answers:
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-store"
