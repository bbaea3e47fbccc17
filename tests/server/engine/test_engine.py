"""The engine from request to stream: the same tokens as without a cache, finish reasons, refusals."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, InvalidRequest, PromptTooLong, Request, Sampling
from server.engine.sequence import SequenceGroup
from tests.server.reading import GREEDY, PRECISIONS, PROMPT, one_by_one, recomputed, text_of, tokens_of

GUIDED = Sampling(max_tokens=4, guidance=2.0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_greedy_tokens_are_those_of_a_run_without_a_cache(bundle: Bundle, precision: str) -> None:
    prompt = bundle.tokenizer.encode(PROMPT).ids
    expected = recomputed(bundle, precision, prompt, GREEDY.max_tokens)
    assert bundle.manifest.model.end_of_text not in expected
    with Engine(bundle, EngineConfig(precision, threads=1)) as engine:
        first, second = (list(engine.submit(Request(PROMPT, GREEDY))) for _ in range(2))
    assert tokens_of(first) == tokens_of(second) == expected
    assert text_of(first) == bundle.tokenizer.decode(expected)


def test_text_and_token_ids_are_the_same_prompt(bundle: Bundle, engine: Engine) -> None:
    prompt = bundle.tokenizer.encode(PROMPT).ids
    as_text, as_tokens = engine.submit(Request(PROMPT, GREEDY)), engine.submit(Request(prompt, GREEDY))
    assert as_text.prompt_tokens == as_tokens.prompt_tokens == len(prompt)
    assert tokens_of(as_text) == tokens_of(as_tokens)


def test_the_prompt_is_counted_without_what_was_written(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue = Engine._enqueue

    def enqueue_and_wait_until_written(engine: Engine, groups: list[SequenceGroup]) -> None:
        enqueue(engine, groups)
        while engine.running or engine.queued:
            pass

    monkeypatch.setattr(Engine, "_enqueue", enqueue_and_wait_until_written)
    given = [5] * 40
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        assert engine.submit(Request(given, GREEDY)).prompt_tokens == 40
    assert given == [5] * 40


def test_a_seed_gives_the_same_text_and_another_seed_another(engine: Engine) -> None:
    texts = [text_of(engine.submit(Request(PROMPT, Sampling(seed=seed)))) for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


def test_a_drawn_seed_gives_its_text_again(engine: Engine) -> None:
    stream = engine.submit(Request(PROMPT, Sampling()))
    again = engine.submit(Request(PROMPT, Sampling(seed=stream.seed)))
    assert text_of(stream) == text_of(again)
    assert len({engine.submit(Request(PROMPT, Sampling(max_tokens=1))).seed for _ in range(3)}) == 3


def test_continuations_are_what_requests_with_the_seeds_that_follow_give(engine: Engine) -> None:
    for request in (
        Request(PROMPT, Sampling(max_tokens=20, seed=7)),
        Request([3] * 50, Sampling(max_tokens=20, seed=7, repetition_penalty=1.3)),
        Request([3] * 50, Sampling(max_tokens=20, seed=7, guidance=2.0), against=[4] * 37),
    ):
        count = 4 if request.against is None else 2
        streams = engine.submit_several(request, count)
        assert [stream.seed for stream in streams] == list(range(7, 7 + count))
        alone = [replace(request, sampling=replace(request.sampling, seed=7 + k)) for k in range(count)]
        together = [tokens_of(stream) for stream in streams]
        assert together == one_by_one(engine, alone)
        assert len({tuple(tokens) for tokens in together}) == count


def test_the_repetition_penalty_leaves_out_the_beginning_of_the_prompt_that_is_named(engine: Engine) -> None:
    (named,), (other,) = (engine.tokenizer.encode(letter) for letter in "bz")
    favoured = Sampling(
        max_tokens=1, temperature=0, repetition_penalty=10, logit_bias={named: 100, other: 50}, ignore_end=True
    )
    for prompt, unpenalised, drawn in (("b: a", "", other), ("b: a", "b:", named), ("b:b", "b:", other)):
        stream = engine.submit(Request(prompt, favoured, unpenalised=unpenalised))
        assert tokens_of(stream) == [drawn], (prompt, unpenalised)


def test_continuations_with_drawn_seeds_come_again(engine: Engine) -> None:
    streams = engine.submit_several(Request(PROMPT), 3)
    first = streams[0].seed
    again = engine.submit_several(Request(PROMPT, Sampling(seed=first)), 3)
    assert [tokens_of(stream) for stream in streams] == [tokens_of(stream) for stream in again]


def test_a_stream_ends_with_length_at_max_tokens(engine: Engine) -> None:
    for most in (1, 5):
        chunks = list(engine.submit(Request(PROMPT, replace(GREEDY, max_tokens=most))))
        assert len(tokens_of(chunks)) == most
        assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]


@pytest.mark.parametrize("missing", [1, 2, 7, 16, 17])
def test_a_stream_ends_with_length_where_the_context_ends(bundle: Bundle, engine: Engine, missing: int) -> None:
    """The longer prompt of a guided pair decides."""
    prompt = [5] * (bundle.manifest.model.context - missing)
    endless = Sampling(max_tokens=50, temperature=0, ignore_end=True)
    for request in (
        Request(prompt, endless),
        Request(prompt, replace(endless, guidance=2.0), against=[5]),
        Request([5], replace(endless, guidance=2.0), against=prompt),
    ):
        chunks = list(engine.submit(request))
        assert len(tokens_of(chunks)) == missing
        assert chunks[-1].finish_reason == "length"


def test_a_stream_ends_with_stop_at_the_end_of_text(bundle: Bundle) -> None:
    third = recomputed(bundle, "fp32", bundle.tokenizer.encode(PROMPT).ids, 3)[2]
    ended_there = replace(bundle.manifest, model=replace(bundle.manifest.model, end_of_text=third))
    with Engine(replace(bundle, manifest=ended_there), EngineConfig("fp32", threads=1)) as engine:
        chunks = list(engine.submit(Request(PROMPT, GREEDY)))
    assert chunks[-1].finish_reason == "stop"
    assert third not in tokens_of(chunks)
    assert len(tokens_of(chunks)) <= 2


def test_a_stop_string_ends_the_text_wherever_tokens_end(engine: Engine) -> None:
    """Every pair of characters across two tokens is a stop string once."""
    across = 0
    for seed in range(8):
        sampling = Sampling(max_tokens=16, seed=seed, ignore_end=True)
        chunks = list(engine.submit(Request(PROMPT, sampling)))
        text, border = text_of(chunks), 0
        for chunk in chunks[:-1]:
            border += len(chunk.text)
            stop = text[border - 1 : border + 1]
            stopped = list(engine.submit(Request(PROMPT, replace(sampling, stop=(stop,)))))
            assert text_of(stopped) == text[: text.index(stop)]
            assert stopped[-1].finish_reason == "stop"
            ids = tokens_of(stopped)
            assert ids == tokens_of(chunks)[: len(ids)]
            across += 1
    assert across > 30


def test_log_probabilities_come_with_their_tokens(engine: Engine) -> None:
    """Also if one character needs several tokens and they come in one chunk."""
    sampling = Sampling(max_tokens=60, seed=3, logprobs=5, repetition_penalty=1.3, ignore_end=True)
    chunks = list(engine.submit(Request(PROMPT, sampling)))
    assert max(len(chunk.token_ids) for chunk in chunks) > 1
    context = engine.submit(Request(PROMPT, replace(sampling, logprobs=None))).prompt_tokens
    ids = tokens_of(chunks)
    found = [each for chunk in chunks for each in chunk.logprobs]
    assert [len(chunk.logprobs) for chunk in chunks] == [len(chunk.token_ids) for chunk in chunks]
    assert len(found) == 60
    prompt = engine.bundle.tokenizer.encode(PROMPT).ids
    assert len(prompt) == context
    for at in (0, 1, 17, 59):
        # Generate the same position as the first one of a greedy request: its likeliest tokens must be the same.
        (again,) = engine.submit(Request(prompt + ids[:at], Sampling(max_tokens=1, temperature=0, logprobs=5)))
        expected = dict(again.logprobs[0].top)
        assert [token for token, _ in found[at].top] == list(expected)
        assert [value for _, value in found[at].top] == pytest.approx(list(expected.values()), abs=0.05)
    for token, each in zip(ids, found, strict=True):
        assert each.logprob == dict(each.top).get(token, each.logprob)
        assert each.logprob <= each.top[0][1] <= 0
        assert math.fsum(math.exp(value) for _, value in each.top) <= 1 + 1e-6


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "empty"),
        ([], "empty"),
        ([-1], "outside the vocabulary"),
        ([10**6], "outside"),
        ([10**30], "outside"),
        ("\ud800", "not Unicode"),
        ([1.5], "neither text nor a list of token ids"),
        (["a"], "neither text nor"),
        ([[1]], "neither text nor"),
        (None, "neither text nor"),
        (7, "neither text nor"),
    ],
)
@pytest.mark.parametrize("against", [False, True])
def test_prompts_that_cannot_be_served(engine: Engine, prompt: Any, says: str, against: bool) -> None:
    request = Request([5], GUIDED, against=prompt) if against else Request(prompt, GREEDY)
    if against and prompt is None:
        assert len(tokens_of(engine.submit(request))) <= 4, "none to lead away from"
        return
    with pytest.raises(InvalidRequest, match=says):
        engine.submit(request)


def test_a_prompt_that_is_too_long_says_by_how_much(bundle: Bundle, engine: Engine) -> None:
    context = bundle.manifest.model.context
    says = f"is {context} tokens long, this model reads at most {context - 1}"
    with pytest.raises(PromptTooLong, match=says):
        engine.submit(Request([5] * context, GREEDY))
    with pytest.raises(PromptTooLong, match=says):
        engine.submit(Request([5], GUIDED, against=[5] * context))


def test_a_bias_of_a_token_that_is_none(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match=r"logit_bias: .* outside the vocabulary"):
        engine.submit(Request(PROMPT, Sampling(logit_bias={10**6: 1.0})))


@pytest.mark.parametrize(("count", "against"), [(0, None), (-1, None), (5, None), (3, [4])])
def test_as_many_continuations_as_there_are_rows(engine: Engine, count: int, against: Sequence[int] | None) -> None:
    most = 2 if against else 4
    with pytest.raises(InvalidRequest, match=f"{count} continuations at once: this engine allows 1 to {most} of such"):
        engine.submit_several(Request(PROMPT, GUIDED, against), count)
    assert len(engine.submit_several(Request(PROMPT, GUIDED, against), most)) == most


def test_a_guided_request_needs_two_rows(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=1)) as engine:
        with pytest.raises(InvalidRequest, match="needs two rows, and this engine has only one"):
            engine.submit(Request(PROMPT, GUIDED, against="A detective in Lisbon"))
        unguided = replace(GREEDY, guidance=1.0)
        assert len(tokens_of(engine.submit(Request(PROMPT, unguided, against="A detective in Lisbon")))) == 30


def test_the_engine_has_no_web_code_in_it() -> None:
    for module in (Path(__file__).parents[3] / "server" / "engine").rglob("*.py"):
        assert "litestar" not in module.read_text()
