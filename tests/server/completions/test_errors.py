"""Requests with mistakes: the client's exception, and the field it names."""

import json
import re
from typing import Any

import httpx
import openai as package
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from openai import OpenAI

from server.app import MAX_BODY, create_app
from server.bundle import Bundle
from server.completions import parsed_request
from server.engine import Engine, EngineConfig, Request, Sampling
from server.engine.model.cache import BLOCK
from server.engine.model.loading import RESUMED
from server.engine.model.runner import Runner
from server.settings import Settings
from tests.server.completions.conftest import MODEL, connected
from tests.server.live import LiveServer, wait_until_idle
from tests.server.reading import PROMPT

ENDLESS = Sampling(max_tokens=100, ignore_end=True)


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"prompt": ""}, "prompt", "empty"),
        ({"prompt": []}, "prompt", "empty list"),
        ({"prompt": ["A fox", ""]}, "prompt", r"^prompt\[1\]: the prompt is empty"),
        ({"prompt": [[]]}, "prompt", "the prompt is empty"),
        ({"prompt": ["A fox", 5]}, "prompt", "mixed"),
        ({"prompt": [5, "A fox"]}, "prompt", "mixed"),
        ({"prompt": [[5], "A fox"]}, "prompt", "mixed"),
        ({"prompt": [400]}, "prompt", "outside the vocabulary"),
        ({"prompt": [10**30]}, "prompt", "outside the vocabulary|out of range"),
        ({"prompt": [-1]}, "prompt", ">= 0"),
        ({"prompt": 5}, "prompt", "expected"),
        ({"prompt": ["A fox"] * 9}, "prompt", "9 prompts; .* takes 8"),
        ({"max_tokens": -1}, "max_tokens", ">= 0"),
        ({"max_tokens": "5"}, "max_tokens", "got `str`"),
        ({"max_tokens": 1.5}, "max_tokens", "got `float`"),
        ({"max_tokens": True}, "max_tokens", "got `bool`"),
        ({"temperature": -0.1}, "temperature", ">= 0"),
        ({"temperature": 10.1}, "temperature", "<= 10"),
        ({"top_p": 0}, "top_p", "> 0"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 5}, "n", "writes 4 at once"),
        ({"n": 3, "genre": "Horror"}, "n", "writes 2 at once"),
        ({"best_of": 5}, "best_of", "writes 4 at once"),
        ({"n": 2, "best_of": 1}, "best_of", "less than n"),
        ({"best_of": 2, "stream": True}, "best_of", "known only at the end"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "go only with stream"),
        ({"stream_options": True}, "stream_options", "expected"),
        ({"logprobs": 21}, "logprobs", "<= 20"),
        ({"logprobs": True}, "logprobs", "got `bool`"),
        ({"echo": "yes"}, "echo", "got `str`"),
        ({"stop": ""}, "stop", "length >= 1"),
        ({"stop": ["x"] * 17}, "stop", "length <= 16"),
        ({"stop": ["x" * 257]}, "stop", "length <= 256"),
        ({"seed": -2}, "seed", ">= -1"),
        ({"presence_penalty": 2.1}, "presence_penalty", "<= 2"),
        ({"frequency_penalty": -2.1}, "frequency_penalty", ">= -2"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "expected `int`"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", ">= 0"),
        ({"logit_bias": {"400": 1}}, "logit_bias", "outside the vocabulary"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "<= 100"),
        ({"logit_bias": {str(token): 0 for token in range(1025)}}, "logit_bias", "length <= 1024"),
        ({"suffix": "the end"}, "suffix", "leave suffix out"),
        ({"user": 5}, "user", "got `int`"),
        ({"top_k": -2}, "top_k", ">= -1"),
        ({"min_p": 1.5}, "min_p", "<= 1"),
        ({"repetition_penalty": 0}, "repetition_penalty", ">= 0.1"),
        ({"genre": "Opera"}, "genre", "knows Comedy, Drama, Horror, and 'any'"),
        ({"genre": "Horror", "prompt": [5]}, "genre", "go only with prompts of text"),
        ({"genre": "Horror", "prompt": ""}, "prompt", "empty"),
    ],
)
def test_a_bad_field_is_named(client: TestClient[Litestar], fields: dict[str, Any], param: str, says: str) -> None:
    answer = client.post("/v1/completions", json={"model": MODEL, "prompt": PROMPT} | fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    assert error["message"].startswith(param)
    assert re.search(says, error["message"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON|Invalid"),
        (b'{"model": "plotify-tiny", "more": ' + b"[" * 100_000, "not JSON"),
        (b'{"model": "\xff"}', "not JSON"),
        (b'{"model": "plotify-tiny", "prompt": "\xc3"}', "not JSON"),
        (b"[]", "^The body: expected `object`"),
        (b'"A fox"', "expected `object`"),
        (b"{}", "^model: this field is missing"),
        (b'{"model": "plotify-tiny", "temperature": NaN}', "not JSON"),
        (b'{"model": "plotify-tiny", "temperature": 1e999}', "out of range"),
        (b'{"model": "plotify-tiny", "prompt": "\\ud800"}', "not JSON|surrogate"),
        (b'{"model": "plotify-tiny", "seed": ' + b"9" * 5000 + b"}", "range|digits|expected"),
        (b'{"model": "plotify-tiny", "prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}", "."),
    ],
)
def test_a_body_that_makes_no_sense(client: TestClient[Litestar], body: bytes, says: str) -> None:
    answer = client.post("/v1/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert re.search(says, answer.json()["error"]["message"])


def test_another_model_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(
        package.NotFoundError, match="there is no 'gpt-4' here; this server has 'plotify-tiny'"
    ) as caught:
        openai.completions.create(model="gpt-4", prompt=PROMPT)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_the_openai_client_raises_bad_request_with_its_field(openai: OpenAI, live: LiveServer) -> None:
    with pytest.raises(package.BadRequestError, match="temperature") as caught:
        openai.completions.create(model=MODEL, prompt=PROMPT, temperature=11)
    assert (caught.value.param, caught.value.type) == ("temperature", "invalid_request_error")
    context = live.engine.bundle.manifest.model.context
    with pytest.raises(package.BadRequestError, match=f"{context} tokens long, this model reads at most") as caught:
        openai.completions.create(model=MODEL, prompt=[5] * context, stream=True)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


def test_chat_and_other_addresses_are_not_found(openai: OpenAI, live: LiveServer) -> None:
    for call in (
        lambda: openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "A fox"}]),
        lambda: openai.embeddings.create(model=MODEL, input="A fox"),
        lambda: openai.responses.create(model=MODEL, input="A fox"),
    ):
        with pytest.raises(package.NotFoundError, match="completes text and does nothing else: POST /v1/completions"):
            call()
    for method, address, status in (
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("DELETE", "/v1/models/x/y", 404),
        ("GET", "/v1/completions", 405),
        ("DELETE", "/v1/models/plotify-tiny", 405),
    ):
        answer = httpx.request(method, live.address + address)
        assert answer.status_code == status
        assert "/v1/completions" in answer.json()["error"]["message"]
    assert "html" in httpx.get(f"{live.address}/v11").headers["content-type"]


def test_a_body_that_is_too_large(client: TestClient[Litestar]) -> None:
    answer = client.post("/v1/completions", json={"model": MODEL, "prompt": "x" * MAX_BODY})
    assert answer.status_code == 413
    assert "far larger" in answer.json()["error"]["message"]


def test_the_type_of_the_body_is_not_looked_at(client: TestClient[Litestar]) -> None:
    """By default, curl sends form-urlencoded."""
    content = json.dumps({"model": MODEL, "prompt": PROMPT})
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/msgpack", ""):
        answer = client.post("/v1/completions", content=content, headers={"Content-Type": kind})
        assert answer.status_code == 200


def test_more_log_probabilities_than_are_told(client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed_request, "MAX_LOGPROBS_RETURNED", 2 * (3 + 5) * 2 * (1 + 1))
    fields = {"model": MODEL, "prompt": [[5] * 3] * 2, "max_tokens": 5, "n": 2, "logprobs": 1, "echo": True}
    assert client.post("/v1/completions", json=fields).status_code == 200
    for more in ({"prompt": [[5] * 3] * 3}, {"max_tokens": 6}, {"n": 3}, {"logprobs": 2}, {"best_of": 3}):
        answer = client.post("/v1/completions", json=fields | more)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "logprobs"
    for less in ({"echo": False, "max_tokens": 8}, {"logprobs": None, "n": 4}):
        assert client.post("/v1/completions", json=fields | less).status_code == 200


def test_a_full_queue_takes_nothing_of_a_request_and_says_when_to_come_again(slow_live: LiveServer) -> None:
    """The engine has two rows, and room for four requests in the queue."""
    engine, openai = slow_live.engine, connected(slow_live)
    running = engine.submit_several(Request(PROMPT, ENDLESS), 2)
    next(running[0])
    with pytest.raises(package.InternalServerError, match="are waiting already") as caught:
        openai.completions.create(model=MODEL, prompt=["A fox"] * 5)
    assert (caught.value.status_code, caught.value.code) == (503, "server_busy")
    assert caught.value.response.headers["retry-after"] == "5"
    assert (engine.running, engine.queued) == (2, 0)
    for stream in running:
        stream.cancel()
    wait_until_idle(engine)
    assert len(openai.completions.create(model=MODEL, prompt=["A fox"] * 6, max_tokens=1).choices) == 6


def test_an_engine_that_fails(live: LiveServer, openai: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Runner.decode

    def fail(runner: Runner, tokens: list[int], lengths: list[int]) -> Any:
        if BLOCK + RESUMED <= max(lengths) < runner.cache.capacity - BLOCK:  # not the checks of a new session
            raise RuntimeError("out of memory")
        return decode(runner, tokens, lengths)

    monkeypatch.setattr(Runner, "decode", fail)
    with pytest.raises(package.InternalServerError, match="The model failed: out of memory") as caught:
        openai.completions.create(model=MODEL, prompt=[PROMPT, "A fox"], n=2)
    assert (caught.value.status_code, caught.value.type) == (500, "server_error")
    stream = openai.completions.create(model=MODEL, prompt=[PROMPT, "A fox"], n=2, stream=True)
    seen = []
    with pytest.raises(package.APIError, match="The model failed: out of memory"):
        seen += list(stream)
    wait_until_idle(live.engine)
    answer = httpx.post(f"{live.address}/v1/completions", json={"model": MODEL, "prompt": PROMPT, "stream": True})
    last = answer.text.rstrip("\n").split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: ")) == {
        "error": {"message": "The model failed: out of memory.", "type": "server_error", "param": None, "code": None}
    }


def test_a_request_that_takes_too_long(bundle: Bundle, slow_decoding: float) -> None:
    with (
        Engine(bundle, EngineConfig(threads=1, deadline=1)) as engine,
        TestClient(create_app(engine, Settings())) as client,
    ):
        asked = {"model": MODEL, "prompt": PROMPT, "max_tokens": 100, "ignore_eos": True}
        error = {
            "message": "The request took longer than the server allows.",
            "type": "server_error",
            "param": None,
            "code": "deadline_exceeded",
        }
        answer = client.post("/v1/completions", json=asked)
        assert (answer.status_code, answer.json()) == (504, {"error": error})
        *chunks, last = client.post("/v1/completions", json=asked | {"stream": True}).text.rstrip("\n").split("\n\n")
        assert chunks
        assert json.loads(last.removeprefix("data: ")) == {"error": error}


def test_an_unexpected_exception_is_not_shown_to_the_client(
    client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(Engine, "submit_several", fail)
    with TestClient(client.app, raise_server_exceptions=False) as safe:
        answer = safe.post("/v1/completions", json={"model": MODEL, "prompt": PROMPT})
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "Something went wrong here."
