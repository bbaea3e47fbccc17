"""Logs: a line for each request, its id on every line, and no prompts or generated text."""

import io
import json
import logging
import logging.handlers
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.engine.model.runner import Runner
from server.http.keys import Key
from server.http.request_id import identify
from server.observability.logs import CONTROL, configure
from server.settings import Settings
from tests.conftest import ROOT
from tests.server.at_desk import form, go_on, offered
from tests.server.desk.visiting import shelf_cookie
from tests.server.following import follow, start
from tests.server.live import serving

MARK = "zanzibar"
NAMES = ("server", "uvicorn", "")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Capture the logs of `plotify serve`, as JSON, at every level."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure("debug", "json")
    yield written
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def lines(log: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    """Return the logged objects, of one logger or of all."""
    found = map(json.loads, log.getvalue().splitlines())
    return [line for line in found if logger in line["logger"]]


def answered(log: io.StringIO, count: int) -> list[dict[str, Any]]:
    """Wait for `count` lines of requests; an answer is logged after it is sent."""
    while len(found := lines(log, "observability.middleware")) < count:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
def test_a_well_formed_id_is_the_clients(client: TestClient[Litestar], given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\nb", "ü", "<b>", "../x"])
def test_any_other_is_made_anew(given: str) -> None:
    made = {identify(given) for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in made)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/nope"), ("PUT", "/v1/completions"), ("POST", "/v1/completions"), ("GET", "/metrics")],
)
def test_every_answer_has_one(client: TestClient[Litestar], method: str, path: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", client.request(method, path).headers["x-request-id"])


def test_a_request_is_one_line(bundle: Bundle, log: io.StringIO) -> None:
    with serving(bundle) as live:
        plot = start(live.address, {"prompt": "A fox", "length": "line"})
        events = follow(plot)
        answer = httpx.get(
            f"{live.address}/static/{MARK}/desk.css", headers={"X-Request-Id": "mine", "Accept-Encoding": "identity"}
        )
        httpx.get(f"{live.address}/v1/chat/completions/{MARK}?{MARK}")
        started, followed, styled, lost = answered(log, 4)
    assert started.items() >= {"level": "info", "method": "POST", "path": "/api/plots", "status": 201}.items()
    assert started["client"] == "127.0.0.1"
    assert started["ms"] > 0
    assert started["message"].startswith("POST /api/plots 201, ")
    assert followed["path"] == "/api/plots/{plot_id}/events"
    assert followed["bytes"] > sum(len(event.data) for event in events)
    assert (
        styled.items()
        >= {"request_id": "mine", "bytes": len(answer.content), "path": "/static/{version}/{name}"}.items()
    )
    assert lost.items() >= {"path": "/v1/chat/…", "status": 404}.items()


def test_the_engines_thread_names_the_request(
    bundle: Bundle, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Runner.decode
    body = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 4, "ignore_eos": True}
    with serving(bundle) as live:
        headers = {"X-Request-Id": "good"}
        assert httpx.post(f"{live.address}/v1/completions", json=body, headers=headers).status_code == 200

        def fail(*_: object) -> None:
            monkeypatch.setattr(Runner, "decode", decode)
            raise RuntimeError("out of memory")

        monkeypatch.setattr(Runner, "decode", fail)
        headers = {"X-Request-Id": "bad"}
        assert httpx.post(f"{live.address}/v1/completions", json=body, headers=headers).status_code == 500
        answered(log, 2)
    good, bad = lines(log, "observability.recorder")
    assert good.items() >= {"request_id": "good", "level": "debug", "tokens": 4, "reason": "length"}.items()
    assert bad.items() >= {"request_id": "bad", "level": "warning", "reason": "failed"}.items()
    (step,) = [line for line in lines(log, "engine.engine") if line["level"] != "info"]
    assert step["level"] == "error"
    assert "RuntimeError: out of memory" in step["exception"].splitlines()[-1]
    (told,) = lines(log, "server.app")
    assert told["request_id"] == "bad"


def test_nothing_that_was_asked_for_or_written_is_logged(bundle: Bundle, log: io.StringIO) -> None:
    """Use every endpoint, with good and bad requests and a key, at debug."""
    key, secret = Key.make("tester", frozenset({"completion", "operator"}))
    headers = {"Authorization": f"Bearer {secret}"}
    prompt = f"The {MARK} of {MARK}"
    completion: dict[str, Any] = {"model": "plotify-tiny", "prompt": prompt, "max_tokens": 5}
    written = []
    with (
        serving(bundle, Settings(keys=key.entry)) as live,
        httpx.Client(base_url=live.address, headers=headers, timeout=60) as client,
    ):
        written.append(client.post("/v1/completions", json=completion).json()["choices"][0]["text"])
        plot = client.post("/api/plots", json={"prompt": prompt}).json()
        ids = [plot["id"]]
        for path in (plot["self"], plot["events"], f"/?prompt={MARK}", "/docs", "/openapi", "/healthz", "/metrics"):
            assert client.get(path).status_code == 200
        assert client.delete(plot["self"]).status_code == 204
        assert client.put(plot["self"]).status_code == 405
        offer = go_on(client, prompt, genre="Horror")
        assert offer.status_code == 200
        written += offered(offer.text)
        kept = client.post("/desk", data=form(client, text=prompt, do="keep"), follow_redirects=False)
        ids += [kept.headers["location"].rpartition("/")[2], shelf_cookie(client)[1]]
        assert client.get(f"{kept.headers['location']}/about").status_code == 200
        assert client.get(f"/shelf?q={MARK}").status_code == 200
        for bad in (
            {"prompt": prompt * 500},
            {"stop": MARK * 99},
            {"model": MARK},
            {"genre": MARK},
            {"temperature": MARK},
            {"prompt": [MARK, 1]},
            {MARK: "\udcff"},
            {"suffix": MARK},
        ):
            client.post("/v1/completions", content=json.dumps(completion | bad))
        client.post("/v1/completions", content=f'{{"{MARK}'.encode())
        client.post("/v1/completions", json=completion | {"stream": True, "max_tokens": 3})
        client.post("/api/plots", json={"prompt": prompt, "genre": MARK, "length": MARK, "seed": MARK})
        client.post("/api/plots", content=MARK, headers={"Content-Type": f"text/{MARK}"})
        go_on(client, prompt * 500, seed=MARK, avoid=MARK)
        client.get("/v1/models/" + MARK)
        client.get(f"/static/{MARK}")
        client.get("/healthz", headers={"Authorization": f"Bearer {secret}x", "Cookie": f"plotify_shelf={MARK}"})
        live.engine.close()
        assert client.post("/v1/completions", json=completion).status_code == 503
        count = len(answered(log, 35))
    logged = log.getvalue()
    assert count == logged.count("observability.middleware") == 35
    assert len(lines(log)) > count, "the engine's lines too"
    for kept in (MARK, secret, secret[8:], *ids, *filter(None, written)):
        assert kept not in logged
    assert "key tester" in logged


def test_a_line_of_text_is_one_line(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", log)  # pytest has put its own there since
    configure("info", "text")
    logging.getLogger("server.x").info("GET %s", "/\r\nroot \x1b[31m\u2028", extra={"request_id": "r"})
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("other").exception("failed")
    first, *rest = log.getvalue().split("\n")
    assert first.endswith(r" INFO r server.x: GET /\r\nroot \x1b[31m\u2028")
    assert not CONTROL.search(first)
    assert rest[0].endswith(" ERROR - other: failed")
    assert rest[-2] == "ValueError: no"


def test_half_a_surrogate_pair_is_logged(log: io.StringIO) -> None:
    logging.getLogger("server.x").warning("%s", "\udcff", extra={"fields": {"of": {1}}})
    (line,) = lines(log)
    assert line["message"] == "\udcff"


def test_handlers_of_other_loggers_stay_open(log: io.StringIO) -> None:
    target = logging.NullHandler()
    buffering = logging.handlers.MemoryHandler(1, target=target)  # as Ray Serve's
    configure("info", "text")
    assert buffering.target is target


def test_serve_logs_as_the_settings_say(tiny_bundle: Path) -> None:
    """Check all lines, also uvicorn's. Each request has one."""
    program = "from server.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--model", str(tiny_bundle), "--port", "0"]
    settings = {"PLOTIFY_LOG_LEVEL": "info", "PLOTIFY_LOG_FORMAT": "json"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | settings
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            id = httpx.get(f"{address}/healthz?{MARK}", timeout=30).headers["x-request-id"]
            process.terminate()
            rest, logged = process.communicate(timeout=30)
        finally:
            process.kill()
    found = [json.loads(line) for line in logged.splitlines()]
    assert [line["path"] for line in found if line.get("request_id") == id] == ["/healthz"]
    assert {line["logger"] for line in found} >= {"uvicorn.error", "server.observability.middleware"}
    assert MARK not in logged
    assert rest == ""
