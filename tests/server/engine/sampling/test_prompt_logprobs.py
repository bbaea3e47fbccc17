"""The log probabilities of a prompt's own tokens."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, EngineError, InvalidRequest, PromptTooLong, Request, Sampling, Stream
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from server.engine.sampling.logprobs import TokenLogprobs
from tests.server.checkpoints import logprobs_of
from tests.server.live import wait_until_idle
from tests.server.reading import PRECISIONS, PROMPT, one_by_one, some_requests, text_of, tokens_of
from tests.server.runs import Run

LONG = [number * 7 % 399 for number in range(100)]
Pieces = Sequence[Sequence[int]]
READ_ONLY = Sampling(max_tokens=0)
FP32_TOLERANCE = 1e-4
"""Nats between two float32 implementations of the same network, with logits of up to 30."""


def found(stream: Stream) -> tuple[TokenLogprobs | None, ...]:
    first, *others = stream
    assert not any(chunk.prompt_logprobs for chunk in others)
    return first.prompt_logprobs


@pytest.mark.parametrize("tokens", [LONG, LONG[:16], LONG[:17], LONG[:2], [0, *LONG, 0]])
def test_prompt_logprobs_are_those_of_the_checkpoint(bundle: Bundle, tiny_checkpoint: Path, tokens: list[int]) -> None:
    expected = logprobs_of(tiny_checkpoint, tokens)
    with Engine(bundle, EngineConfig("fp32", threads=1, rows=4, kept=0)) as engine:
        first, *scored = found(engine.submit(Request(tokens, READ_ONLY, prompt_logprobs=20)))
    assert first is None
    assert len(scored) == len(tokens) - 1
    for each, row, token in zip(scored, expected, tokens[1:], strict=True):
        assert each is not None
        assert each.logprob == pytest.approx(row[token], abs=FP32_TOLERANCE)
        assert len(each.top) == 20
        values = [value for _, value in each.top]
        assert values == pytest.approx(np.sort(row)[-20:][::-1], abs=FP32_TOLERANCE)
        assert values == pytest.approx([row[other] for other, _ in each.top], abs=FP32_TOLERANCE)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_company_and_pieces_change_no_bit(bundle: Bundle, precision: str) -> None:
    """A runner with few rows has room for the logits of 16 tokens, one with many rows for 96."""
    request = Request(LONG, replace(READ_ONLY, max_tokens=8, seed=3), prompt_logprobs=3)
    with Engine(bundle, EngineConfig(precision, threads=1, rows=4, kept=0)) as engine:
        alone = list(engine.submit(request))
    with Engine(bundle, EngineConfig(precision, threads=1, rows=80, kept=16)) as engine:
        engine.submit(Request(LONG, READ_ONLY))
        others = [engine.submit(each) for each in some_requests(8, seed=4)]
        among = engine.submit(request)
        behind = [engine.submit(each) for each in some_requests(8, seed=5)]
        assert list(among) == alone
        assert all(list(other) for other in (*others, *behind))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_prompts_that_wait_together_are_scored_in_one_run_and_that_changes_no_bit(
    bundle: Bundle, precision: str, runs: list[Run]
) -> None:
    """There is room for 96 tokens, padding included."""
    prompts = [LONG[:20], LONG[5:37], LONG[2:33], LONG[3:20], LONG]
    requests = [Request(prompt, READ_ONLY, prompt_logprobs=2) for prompt in prompts]
    with Engine(bundle, EngineConfig(precision, threads=1, rows=80, kept=16)) as engine:
        alone = [found(engine.submit(request)) for request in requests]
        writing = engine.submit(Request(PROMPT, Sampling(max_tokens=100, ignore_end=True)))
        next(writing)
        runs.clear()
        with engine._changed:  # between two steps
            streams = [engine.submit(each) for each in (*requests, *some_requests(3, seed=4))]
        assert [found(stream) for stream in streams[: len(requests)]] == alone
        assert all(list(stream) for stream in streams[len(requests) :])
        writing.cancel()
    scored = [(run.rows, run.tokens) for run in runs if run.kind == "score"]
    assert scored[:2] == [(3, 32), (1, 17)]
    assert sum(tokens for _, tokens in scored[2:]) >= len(LONG)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_asking_for_them_changes_nothing_that_is_written(bundle: Bundle, precision: str) -> None:
    requests = [request for request in some_requests(12, seed=6) if not request.against]
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        plain = one_by_one(engine, requests)
        assert one_by_one(engine, [replace(request, prompt_logprobs=1) for request in requests]) == plain


def test_all_continuations_tell_the_same_and_a_guided_one_of_its_prompt_alone(engine: Engine) -> None:
    scored = Request(LONG, Sampling(max_tokens=3, guidance=2.0), prompt_logprobs=2)
    (expected,) = map(found, [engine.submit(replace(scored, sampling=READ_ONLY))])
    assert [found(stream) for stream in engine.submit_several(scored, 4)] == [expected] * 4
    assert found(engine.submit(replace(scored, against=[5] * 40))) == expected


def test_a_prompt_that_is_only_read_writes_nothing(engine: Engine) -> None:
    for request in (Request(PROMPT, READ_ONLY), Request(PROMPT, replace(READ_ONLY, guidance=2.0), against=[5])):
        (chunk,) = engine.submit(request)
        assert (chunk.text, chunk.token_ids, chunk.finish_reason) == ("", (), "length")
    assert engine.running == 0


def test_a_prompt_that_is_only_read_may_fill_the_context(bundle: Bundle, engine: Engine) -> None:
    context = bundle.manifest.model.context
    assert len(found(engine.submit(Request([5] * context, READ_ONLY, prompt_logprobs=0)))) == context
    with pytest.raises(PromptTooLong, match=f"reads at most {context};"):
        engine.submit(Request([5] * (context + 1), READ_ONLY))
    with pytest.raises(PromptTooLong, match=f"reads at most {context - 1};"):
        engine.submit(Request([5] * context, Sampling(max_tokens=1)))


def test_a_prompt_that_was_scored_is_kept_and_one_that_was_kept_is_scored(engine: Engine, runs: list[Run]) -> None:
    request = Request(LONG, Sampling(max_tokens=1), prompt_logprobs=0)
    first = found(engine.submit(request))
    tokens_of(engine.submit(replace(request, prompt_logprobs=None)))
    assert found(engine.submit(request)) == first
    assert [(run.kind, run.tokens) for run in runs] == [("score", 100), ("prefill", 4), ("score", 100)]


def test_a_prompt_that_is_only_scored_takes_the_place_of_no_other(bundle: Bundle, runs: list[Run]) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=4, kept=1)) as engine:
        runs.clear()
        tokens_of(engine.submit(Request(LONG, Sampling(max_tokens=1))))
        found(engine.submit(Request(LONG[10:], READ_ONLY, prompt_logprobs=0)))
        tokens_of(engine.submit(Request(LONG, Sampling(max_tokens=1))))
    assert [(run.kind, run.tokens) for run in runs] == [("prefill", 100), ("score", 90), ("prefill", 4)]


def test_a_long_prompt_is_scored_in_pieces_between_the_steps_of_others(
    bundle: Bundle, slow_decoding: float, runs: list[Run]
) -> None:
    with Engine(bundle, EngineConfig(threads=1, rows=4)) as engine:
        writing = engine.submit(Request(PROMPT, Sampling(max_tokens=100, ignore_end=True)))
        next(writing)
        assert len(found(engine.submit(Request(LONG, READ_ONLY, prompt_logprobs=0)))) == 100
        writing.cancel()
    kinds = [run.kind for run in runs]
    scored = [run.tokens for run in runs if run.kind == "score"]
    assert sum(scored) >= 100
    assert max(scored) <= 32
    first, last = kinds.index("score"), len(kinds) - 1 - kinds[::-1].index("score")
    assert kinds[first : last + 1 : 2] == ["score"] * len(scored)


def test_leaving_stops_the_reading(engine: Engine, runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    writing = engine.submit(Request(PROMPT, Sampling(max_tokens=100, ignore_end=True)))
    next(writing)
    score = Runner.prefill_all_logits
    submitted = threading.Event()

    def score_and_leave(runner: Runner, row: int, start: int, pieces: Pieces) -> Iterator[list[Floats]]:
        submitted.wait()
        stream.cancel()
        return score(runner, row, start, pieces)

    monkeypatch.setattr(Runner, "prefill_all_logits", score_and_leave)
    stream = engine.submit(Request(LONG, READ_ONLY, prompt_logprobs=0))
    submitted.set()
    assert [chunk.finish_reason for chunk in stream] == ["cancelled"]
    writing.cancel()
    wait_until_idle(engine)
    assert len([run for run in runs if run.kind == "score"]) == 1


def test_logits_that_are_not_finite_end_the_request_and_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Runner.prefill_all_logits

    def spoilt(runner: Runner, row: int, start: int, pieces: Pieces) -> Iterator[list[Floats]]:
        for (logits,) in score(runner, row, start, pieces):
            logits[0, 5] = np.nan
            yield [logits]

    monkeypatch.setattr(Runner, "prefill_all_logits", spoilt)
    for most in (0, 1):
        other = engine.submit(Request(PROMPT, Sampling(max_tokens=20, ignore_end=True)))
        with pytest.raises(EngineError, match="logits are not finite"):
            list(engine.submit(Request(LONG, Sampling(max_tokens=most), prompt_logprobs=0)))
        assert text_of(other)


@pytest.mark.parametrize("count", [-1, 21, 1.0, "1", True])
def test_a_wrong_count_is_refused_by_name(count: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^prompt_logprobs must be a whole number, 0 to 20; got"):
        Request(PROMPT, prompt_logprobs=count)


def test_the_end_of_the_text_has_its_log_probability(bundle: Bundle, engine: Engine) -> None:
    end = bundle.manifest.model.end_of_text
    sampling = Sampling(max_tokens=5, logprobs=1, temperature=0, logit_bias={end: 100.0})
    (chunk,) = engine.submit(Request(PROMPT, sampling))
    assert (chunk.text, chunk.token_ids, chunk.finish_reason) == ("", (), "stop")
    assert len(chunk.logprobs) == 1
