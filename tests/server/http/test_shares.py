"""The identity of clients, and the limits of each."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from litestar import Litestar
from litestar.exceptions import TooManyRequestsException
from litestar.testing import TestClient

from server.app import create_app
from server.bundle import Bundle
from server.engine import ClientBusy, Engine, EngineConfig, Request, Sampling
from server.http.access import Access
from server.http.keys import Key, Keys
from server.http.rate_limit import RateLimit
from server.settings import Settings
from tests.server.at_desk import go_on
from tests.server.desk.visiting import Visitor
from tests.server.reading import PROMPT, tokens_of

ENDLESS = Sampling(max_tokens=100, ignore_end=True)
ASKED = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 1}


def connection(host: str | None, **headers: str) -> Any:
    return SimpleNamespace(client=host and SimpleNamespace(host=host), headers=headers, cookies={})


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_a_client_without_a_key_is_an_address(host: str | None, client: str) -> None:
    assert Access(Keys()).client_of(connection(host)) == client


def test_a_client_with_a_key_is_its_name() -> None:
    key, secret = Key.make("alice", frozenset({"completion"}))
    access = Access(Keys(key.entry))
    assert access.client_of(connection("192.0.2.7", authorization=f"Bearer {secret}")) == "key alice"
    assert access.client_of(connection("192.0.2.7", authorization="Bearer x")) == "192.0.2.7"


def test_a_client_has_so_many_texts_under_way_and_no_more(bundle: Bundle, slow_decoding: float) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=2, per_client=3)) as engine:
        first = engine.submit_several(Request(PROMPT, ENDLESS, client="a"), 2)
        waiting = engine.submit(Request(PROMPT, ENDLESS, client="a"))
        with pytest.raises(ClientBusy, match="texts in progress: 3 at most, and you have 3 already; try again in 5"):
            engine.submit(Request(PROMPT, ENDLESS, client="a"))
        other = engine.submit(Request(PROMPT, Sampling(max_tokens=1, ignore_end=True), client="b"))
        waiting.cancel()
        again = engine.submit(Request(PROMPT, Sampling(max_tokens=1, ignore_end=True), client="a"))
        for stream in first:
            stream.cancel()
        assert [len(tokens_of(stream)) for stream in (other, again)] == [1, 1]


def test_every_way_in_says_that_the_share_is_used_up(bundle: Bundle, slow_decoding: float) -> None:
    with (
        Engine(bundle, EngineConfig(threads=1, rows=4, per_client=1)) as engine,
        TestClient(create_app(engine, Settings())) as client,
    ):
        running = engine.submit(Request(PROMPT, ENDLESS, client="testclient"))
        answers = [
            client.post("/v1/completions", json=ASKED),
            client.post("/api/plots", json={"prompt": "A fox"}),
            go_on(client, "A fox"),
        ]
        running.cancel()
        assert [answer.status_code for answer in answers] == [429] * 3
        assert all(answer.headers["retry-after"] for answer in answers)
        assert answers[0].json()["error"]["code"] == "rate_limit_exceeded"
        assert "Texts in progress: 1 at most, and you have 1 already" in answers[1].json()["message"]
        assert "Texts in progress: 1 at most, and you have 1 already" in answers[2].text


def test_only_so_many_requests_for_text_in_a_minute(engine: Engine) -> None:
    """The limit of each client. Requests without text do not count."""
    with TestClient(create_app(engine, Settings(rate=3))) as client:
        for _ in range(5):
            assert client.get("/v1/models").status_code == 200
        assert client.post("/v1/completions", json=ASKED).status_code == 200
        plot = client.post("/api/plots", json={"prompt": "A fox", "length": "line"})
        assert plot.status_code == 201
        assert go_on(client, "A fox", length="line").status_code == 200
        answers = [
            client.post("/v1/completions", json=ASKED),
            client.post("/api/plots", json={"prompt": "A fox"}),
            go_on(client, "A fox"),
        ]
        assert [answer.status_code for answer in answers] == [429] * 3
        for answer in answers:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "You may send 3 requests a minute." in answer.text
        assert answers[0].json()["error"]["code"] == "rate_limit_exceeded"
        assert client.get(plot.json()["events"]).text.endswith("\n\n")


def test_saving_is_no_request_for_text(engine: Engine) -> None:
    with TestClient(create_app(engine, Settings(rate=1))) as client:
        writer = Visitor(client)
        plot = writer.keep("A fox")["plot"]
        fields = {"plot": plot, "length": "line"}
        for text in ("A fox ran", "A fox ran on"):
            assert writer.keep(text, plot)["text"] == text
        assert writer.send(fields | {"text": "A fox ran on", "do": "continue"}).status_code == 200
        answer = writer.send(fields | {"text": "A fox ran on and on", "do": "continue"}, "application/json")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["message"].startswith("Your text is kept. You may send 1 requests a minute.")
        assert "\nA fox ran on and on" in client.get(f"/shelf/{plot}/plot.txt").text
        assert writer.send(fields | {"text": "A fox", "do": "undo"}).status_code == 303
        assert client.post("/v1/completions", json=ASKED).status_code == 429


def test_each_client_has_a_minute_of_its_own(engine: Engine) -> None:
    app: Litestar = create_app(engine, Settings(rate=1))
    with TestClient(app) as client:
        assert client.post("/v1/completions", json=ASKED).status_code == 200
        assert client.post("/v1/completions", json=ASKED).status_code == 429
        with TestClient(app, base_url="http://testserver.local") as same:
            assert same.post("/v1/completions", json=ASKED).status_code == 429


def test_a_minute_is_one_of_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock may be set back by a day."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limit = RateLimit(2)
    limit.count("a")
    now += 30
    limit.count("a")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with pytest.raises(TooManyRequestsException) as refused:
        limit.count("a")
    assert refused.value.headers == {"Retry-After": "30"}
    limit.count("b")
    now += 29.5
    with pytest.raises(TooManyRequestsException, match="Wait 1 seconds"):
        limit.count("a")
    now += 0.5
    limit.count("a")
    assert limit.clients == 2
    now += 61
    limit.count("c")
    assert limit.clients == 1


def test_without_a_limit_nobody_is_counted() -> None:
    limit = RateLimit(0)
    limit.count("a")
    assert limit.clients == 0
