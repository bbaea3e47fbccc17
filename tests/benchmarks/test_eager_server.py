"""The eager baseline's API, with OpenAI's client, on the tiny checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from benchmarks.process import Serving, serving
from export.checkpoint import read_checkpoint
from tests.server.reading import PROMPT

NEW_TOKENS = 12


@pytest.fixture(scope="module", params=["tensorflow", "pytorch"])
def eager(
    request: pytest.FixtureRequest, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    flags = ("--model", str(tiny_checkpoint), "--framework", request.param, "--port", "0")
    log = tmp_path_factory.mktemp("eager") / "log"
    with serving(["-m", "benchmarks.eager_server", *flags], log) as running:
        yield running


@pytest.fixture(scope="module")
def client(eager: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{eager.address}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_the_model_is_listed(client: openai.OpenAI, eager: Serving) -> None:
    assert [model.id for model in client.models.list()] == [eager.model] == ["plotify-tiny"]


def test_the_stream_is_the_answer_and_both_are_counted(client: openai.OpenAI, eager: Serving) -> None:
    before = httpx.get(f"{eager.address}/healthz").json()["written"]
    order: dict[str, Any] = {"model": eager.model, "prompt": PROMPT, "max_tokens": NEW_TOKENS, "temperature": 0}
    more = {"ignore_eos": True}
    whole = client.completions.create(**order, extra_body=more)
    chunks = list(
        client.completions.create(**order, stream=True, stream_options={"include_usage": True}, extra_body=more)
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text != ""
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.completion_tokens == NEW_TOKENS
    assert len(chunks) == NEW_TOKENS + 2  # one for each token, the end, the usage
    assert httpx.get(f"{eager.address}/healthz").json()["written"] == before + 2 * NEW_TOKENS


def test_token_ids_are_the_same_prompt(client: openai.OpenAI, eager: Serving, tiny_checkpoint: Path) -> None:
    order: dict[str, Any] = {"model": eager.model, "max_tokens": NEW_TOKENS, "temperature": 0}
    ids = read_checkpoint(tiny_checkpoint).encode(PROMPT)
    texts = [client.completions.create(prompt=prompt, **order).choices[0].text for prompt in (PROMPT, ids)]
    assert texts[0] == texts[1]


def test_a_client_that_leaves_ends_the_work(client: openai.OpenAI, eager: Serving) -> None:
    order: dict[str, Any] = {"model": eager.model, "prompt": [1, 2, 3], "extra_body": {"ignore_eos": True}}
    with client.completions.create(**order, max_tokens=100, stream=True) as stream:
        next(iter(stream))
    answer = client.completions.create(**order, max_tokens=4)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


@pytest.mark.parametrize(
    ("field", "message"),
    [({"prompt": [99999]}, "prompt"), ({"n": 2}, "one plain continuation"), ({"prompt": ""}, "0 tokens")],
)
def test_unserved_requests_are_refused(
    client: openai.OpenAI, eager: Serving, field: dict[str, object], message: str
) -> None:
    order: dict[str, Any] = {"model": eager.model, "prompt": "A fox", **field}
    with pytest.raises(openai.BadRequestError, match=message):
        client.completions.create(**order)


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="another", prompt="A fox")


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    flags = ("--model", str(tmp_path / "nowhere"), "--port", "0")
    with (
        pytest.raises(ChildProcessError, match="nowhere"),
        serving(["-m", "benchmarks.eager_server", *flags], tmp_path / "log"),
    ):
        pass
