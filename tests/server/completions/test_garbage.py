"""The server responds to any request, or explains its mistake."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import fields

from server.completions.schema import CompletionRequest
from tests.server.completions.conftest import MODEL

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
likely = {
    "model": st.just(MODEL),
    "prompt": st.text(max_size=20)
    | st.lists(st.integers(-1, 450), max_size=5)
    | st.lists(st.text(max_size=9), max_size=3),
    "max_tokens": st.integers(0, 3),
    "temperature": st.floats(0, 2),
    "n": st.integers(0, 4),
    "best_of": st.integers(0, 4),
    "logprobs": st.integers(-1, 21),
    "echo": st.booleans(),
    "stream": st.booleans(),
    "genre": st.sampled_from(["Horror", "any", "Opera"]),
    "stop": st.text(max_size=2) | st.lists(st.text(max_size=2), max_size=3),
    "logit_bias": st.dictionaries(st.integers(-1, 450).map(str), st.floats(-101, 101), max_size=3),
}
NAMES = [field.name for field in fields(CompletionRequest)]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"model": st.just(MODEL)}, optional={name: likely.get(name, anything) | anything for name in NAMES[1:]}
    )
)
def test_no_request_is_a_failure_of_the_server(client: TestClient[Litestar], body: dict[str, Any]) -> None:
    if isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 3:
        body["max_tokens"] = 3
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.json()["error"]["message"]
        assert answer.json()["error"]["param"] in (*NAMES, None)
    elif body.get("stream"):
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_no_body_is_a_failure_of_the_server(client: TestClient[Litestar], body: bytes) -> None:
    answer = client.post("/v1/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
