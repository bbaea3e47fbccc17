"""The API as the `openai` package sees it."""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Any

import openai as package
import pytest
from msgspec.structs import fields
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion, CompletionChoice

from server.bundle import Bundle
from server.completions.schema import CompletionRequest
from server.engine import Request, Sampling
from tests.server.completions.conftest import MODEL
from tests.server.live import LiveServer
from tests.server.reading import PROMPT, text_of, tokens_of


def gathered(chunks: Iterable[Completion]) -> dict[int, list[CompletionChoice]]:
    """Return the choices of the chunks, by index."""
    found: dict[int, list[CompletionChoice]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            found.setdefault(choice.index, []).append(choice)
    return found


def text(choices: list[CompletionChoice]) -> str:
    return "".join(choice.text for choice in choices)


def test_the_model_is_listed_and_shown(openai: OpenAI) -> None:
    (model,) = openai.models.list()
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "plotify")
    assert abs(model.created - time.time()) < 24 * 3600
    assert openai.models.retrieve(MODEL) == model
    with pytest.raises(package.NotFoundError, match="there is no 'gpt-4'") as caught:
        openai.models.retrieve("gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_completion_is_what_the_engine_writes(openai: OpenAI, live: LiveServer) -> None:
    answer = openai.completions.create(model=MODEL, prompt=PROMPT, seed=4)
    stream = live.engine.submit(Request(PROMPT, Sampling(max_tokens=16, seed=4)))
    chunks = list(stream)
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", MODEL)
    assert abs(answer.created - time.time()) < 600
    (choice,) = answer.choices
    assert (choice.text, choice.index, choice.logprobs) == (text_of(chunks), 0, None)
    assert choice.finish_reason == chunks[-1].finish_reason
    assert answer.usage is not None
    written = len(tokens_of(chunks))
    assert answer.usage.prompt_tokens == stream.prompt_tokens
    assert answer.usage.completion_tokens == written
    assert answer.usage.total_tokens == stream.prompt_tokens + written


def test_every_form_of_prompt(openai: OpenAI, bundle: Bundle) -> None:
    ids = bundle.tokenizer.encode(PROMPT).ids

    def texts(prompt: Any) -> list[str]:
        answer = openai.completions.create(model=MODEL, prompt=prompt, temperature=0)
        return [choice.text for choice in answer.choices]

    (one,) = texts(PROMPT)
    assert texts(ids) == texts([ids]) == texts([PROMPT]) == [one]
    other = texts("A fox")[0]
    assert texts([PROMPT, "A fox"]) == texts([ids, bundle.tokenizer.encode("A fox").ids]) == [one, other]
    assert texts(None) == texts([bundle.manifest.model.end_of_text])


def test_minus_one_is_any_seed_and_every_token(openai: OpenAI) -> None:
    def text(seed: int, top_k: int, genre: str = "Horror") -> str:
        extra = {"top_k": top_k, "genre": genre}
        answer = openai.completions.create(model=MODEL, prompt=PROMPT, max_tokens=20, seed=seed, extra_body=extra)
        return answer.choices[0].text

    assert text(3, -1) == text(3, 0) == text(3, 0, "horror")
    assert len({text(-1, 0) for _ in range(4)}) > 1


def test_genres_are_the_same_in_upper_and_lower_case(openai: OpenAI) -> None:
    texts = {
        openai.completions.create(model=MODEL, prompt=PROMPT, max_tokens=20, seed=3, extra_body={"genre": genre})
        .choices[0]
        .text
        for genre in ("any", "Any", "ANY")
    }
    assert len(texts) == 1


def test_choices_come_prompt_by_prompt(openai: OpenAI, live: LiveServer) -> None:
    prompts = [PROMPT, "A fox", "The miner"]
    answer = openai.completions.create(model=MODEL, prompt=prompts, n=2, max_tokens=6, seed=9)
    assert [choice.index for choice in answer.choices] == list(range(6))
    expected = [
        text_of(stream)
        for prompt in prompts
        for stream in live.engine.submit_several(Request(prompt, Sampling(max_tokens=6, seed=9)), 2)
    ]
    assert [choice.text for choice in answer.choices] == expected
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(len(live.engine.tokenizer.encode(prompt)) for prompt in prompts)


def test_the_best_are_those_with_the_highest_mean_log_probability(openai: OpenAI) -> None:
    given: dict[str, Any] = {"model": MODEL, "prompt": [PROMPT, "A fox"], "max_tokens": 8, "seed": 1}
    every = openai.completions.create(**given, n=4, logprobs=0)
    best = openai.completions.create(**given, n=2, best_of=4)

    def mean(choice: CompletionChoice) -> float:
        assert choice.logprobs is not None
        assert choice.logprobs.token_logprobs
        return math.fsum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    expected = [
        choice.text
        for of_prompt in (every.choices[:4], every.choices[4:])
        for choice in sorted(of_prompt, key=mean, reverse=True)[:2]
    ]
    assert [choice.text for choice in best.choices] == expected
    assert [choice.index for choice in best.choices] == [0, 1, 2, 3]
    assert all(choice.logprobs is None for choice in best.choices)
    assert every.usage == best.usage, "what was written and not given counts too"


def test_a_stream_says_what_the_whole_answer_says(openai: OpenAI) -> None:
    given: dict[str, Any] = {
        "model": MODEL,
        "prompt": [PROMPT, "A fox"],
        "n": 2,
        "max_tokens": 24,
        "seed": 5,
        "echo": True,
        "logprobs": 2,
    }
    whole = openai.completions.create(**given)
    chunks = list(openai.completions.create(**given, stream=True, stream_options={"include_usage": True}))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    *others, last = chunks
    assert last.choices == []
    assert last.usage == whole.usage
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in others)
    found = gathered(others)
    assert sorted(found) == [0, 1, 2, 3]
    for expected in whole.choices:
        pieces = found[expected.index]
        assert text(pieces) == expected.text
        assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + [expected.finish_reason]
        assert expected.logprobs is not None
        for name, values in expected.logprobs.model_dump().items():
            assert [value for piece in pieces for value in getattr(piece.logprobs, name)] == values
        assert pieces[0].text.startswith((PROMPT, "A fox"))


def test_a_stream_without_the_usage_never_speaks_of_it(openai: OpenAI) -> None:
    chunks = list(openai.completions.create(model=MODEL, prompt=PROMPT, stream=True))
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_log_probabilities_come_with_tokens_and_their_places(openai: OpenAI, live: LiveServer) -> None:
    prompt = "Zoë in 東京"
    answer = openai.completions.create(model=MODEL, prompt=prompt, max_tokens=40, logprobs=3, echo=True, seed=2)
    (choice,) = answer.choices
    assert choice.text.startswith(prompt)
    logprobs = choice.logprobs
    assert logprobs is not None
    assert logprobs.tokens
    assert logprobs.token_logprobs
    assert logprobs.top_logprobs
    assert logprobs.text_offset
    count = len(live.engine.tokenizer.encode(prompt)) + 40
    lists = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)
    assert {len(each) for each in lists} == {count}
    assert logprobs.token_logprobs[0] is None
    assert logprobs.top_logprobs[0] is None
    assert any(token.startswith("bytes:\\x") for token in logprobs.tokens)
    for token, logprob, top, offset in zip(*(each[1:] for each in lists), strict=True):
        assert 3 <= len(top) <= 4
        assert top[token] == logprob <= max(top.values()) <= 0
        if not token.startswith("bytes:"):
            assert choice.text[offset : offset + len(token)] == token


def test_the_prompt_alone_has_its_log_probabilities(openai: OpenAI, live: LiveServer) -> None:
    ids = list(range(5, 5 + live.engine.bundle.manifest.model.context))
    answer = openai.completions.create(model=MODEL, prompt=ids, max_tokens=0, echo=True, logprobs=0)
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs
    assert len(choice.logprobs.token_logprobs) == len(ids)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), 0)
    assert openai.completions.create(model=MODEL, prompt=ids[:5], max_tokens=0).choices[0].text == ""


def test_the_end_of_the_text_is_told_among_the_log_probabilities(openai: OpenAI, bundle: Bundle) -> None:
    end = bundle.manifest.model.end_of_text
    given: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "temperature": 0, "logit_bias": {str(end): 100}}
    answer = openai.completions.create(**given, logprobs=0)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == ("", "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["<|endoftext|>"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0
    answer = openai.completions.create(**given, extra_body={"ignore_eos": True})
    assert (answer.choices[0].finish_reason, answer.usage and answer.usage.completion_tokens) == ("length", 16)


def test_the_text_ends_before_a_stop_string(openai: OpenAI) -> None:
    given: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "max_tokens": 30, "seed": 5, "logprobs": 0}
    given["extra_body"] = {"ignore_eos": True}
    (choice,) = openai.completions.create(**given).choices
    for stop in (choice.text[9:12], [choice.text[20:22], choice.text[9:12]]):
        (stopped,) = openai.completions.create(**given, stop=stop).choices
        first = stop if isinstance(stop, str) else min(stop, key=choice.text.index)
        assert stopped.text == choice.text[: choice.text.index(first)]
        assert stopped.finish_reason == "stop"
        streamed = gathered(openai.completions.create(**given, stop=stop, stream=True))
        assert text(streamed[0]) == stopped.text
        assert stopped.logprobs is not None
        assert choice.logprobs is not None
        assert stopped.logprobs.tokens is not None
        assert choice.logprobs.tokens is not None
        count = len(stopped.logprobs.tokens)
        assert stopped.logprobs.tokens == choice.logprobs.tokens[:count]
        assert all(offset < len(stopped.text) for offset in stopped.logprobs.text_offset or ())


def test_every_parameter_reaches_the_engine(openai: OpenAI, live: LiveServer) -> None:
    sampling = Sampling(
        max_tokens=20,
        temperature=1.4,
        top_k=30,
        top_p=0.9,
        min_p=0.01,
        repetition_penalty=1.2,
        presence_penalty=0.3,
        frequency_penalty=0.4,
        logit_bias={20: 4.0},
        seed=6,
    )
    answer = openai.completions.create(
        model=MODEL,
        prompt=PROMPT,
        max_tokens=20,
        temperature=1.4,
        top_p=0.9,
        presence_penalty=0.3,
        frequency_penalty=0.4,
        logit_bias={"20": 4},
        seed=6,
        user="someone",
        extra_body={"top_k": 30, "min_p": 0.01, "repetition_penalty": 1.2, "no_such_field": {}},
    )
    assert answer.choices[0].text == text_of(live.engine.submit(Request(PROMPT, sampling)))


def test_null_is_the_default(openai: OpenAI) -> None:
    nothing = {field.name: None for field in fields(CompletionRequest) if field.name not in ("model", "prompt", "seed")}
    first, second = (
        openai.completions.create(model=MODEL, prompt=PROMPT, seed=1, extra_body=extra) for extra in (nothing, {})
    )
    assert first.choices == second.choices


def test_a_genre_leads_as_on_the_page(openai: OpenAI, live: LiveServer) -> None:
    guided = Request("Horror: A fox", Sampling(max_tokens=16, guidance=3.0, seed=8), against="Plot: A fox")
    for genre, expected in (
        ("Horror", guided),
        ("any", Request("Plot: A fox", guided.sampling)),
        (None, Request("A fox", guided.sampling)),
    ):
        answer = openai.completions.create(model=MODEL, prompt="A fox", seed=8, extra_body={"genre": genre})
        assert answer.choices[0].text == text_of(live.engine.submit(expected))
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == len(live.engine.tokenizer.encode(str(expected.prompt)))


def test_the_asynchronous_client(live: LiveServer, openai: OpenAI) -> None:
    given: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "seed": 5}
    expected = openai.completions.create(**given).choices[0].text

    async def both() -> tuple[str, str]:
        async with AsyncOpenAI(base_url=f"{live.address}/v1", api_key="none", max_retries=0) as client:
            whole = await client.completions.create(**given)
            stream = await client.completions.create(**given, stream=True)
            chunks = [chunk async for chunk in stream]
            return whole.choices[0].text, text(gathered(chunks)[0])

    assert asyncio.run(both()) == (expected, expected)
