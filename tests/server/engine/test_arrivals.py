"""Prompts that arrive during decode: prefill in pieces, steady decodes, the same tokens as alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling, Stream
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from tests.server.reading import PRECISIONS, one_by_one, some_requests, tokens_of
from tests.server.runs import Run, meddle

ENDLESS = Sampling(max_tokens=40, ignore_end=True)


def arrive_among(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, running: list[Request], arriving: list[Request]
) -> list[list[int]]:
    """Return the tokens of all requests. Once all `running` run, the `arriving` come every fifth token."""
    late: list[Stream] = []

    def arrive(count: int, decode: Callable[[], Floats], _: Runner) -> Floats:
        logits = decode()
        if count % 5 == 0 and len(late) < len(arriving) and (late or engine.running == len(running)):
            late.append(engine.submit(arriving[len(late)]))
        return logits

    with monkeypatch.context() as patched:
        meddle(patched, arrive)
        first = [engine.submit(request) for request in running]
        written = [tokens_of(stream) for stream in first]
        assert len(late) == len(arriving)
        return written + [tokens_of(stream) for stream in late]


def test_a_long_prompt_is_read_in_pieces_between_the_others_tokens(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, runs: list[Run]
) -> None:
    running = [Request([number], replace(ENDLESS, seed=number)) for number in range(16)]
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        runs.clear()
        arrive_among(monkeypatch, engine, running, [Request([9] * 100, ENDLESS)])
    reading = [at for at, run in enumerate(runs) if run.kind == "prefill" and run.tokens > 1]
    *pieces, last = [runs[at].tokens for at in reading]
    assert sum(pieces) + last == 100
    assert len(pieces) >= 3
    assert all(piece <= 32 and piece % 16 == 0 for piece in pieces)
    assert reading == list(range(reading[0], reading[-1] + 1, 2)), "one token of each stream between any two"
    assert {runs[at + 1] for at in reading[:-1]} == {Run("decode", 16, 1)}
    assert runs[reading[-1] + 1] == Run("decode", 17, 1), "the newcomer's second token is written with the others'"


def test_a_prompt_is_read_at_once_where_nobody_is_written(bundle: Bundle, runs: list[Run]) -> None:
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        runs.clear()
        one_by_one(engine, [Request([9] * 100, replace(ENDLESS, max_tokens=2))])
        assert runs == [Run("prefill", 1, 100), Run("decode", 1, 1)]


def test_continuations_of_one_prompt_read_it_once(bundle: Bundle, runs: list[Run]) -> None:
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        runs.clear()
        sampling = replace(ENDLESS, max_tokens=3, guidance=2.0)
        for stream in engine.submit_several(Request([9] * 40, sampling, against=[8] * 20), 5):
            assert len(tokens_of(stream)) == 3
        assert runs == [Run("prefill", 2, 40), Run("decode", 10, 1), Run("decode", 10, 1)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pieces_and_company_change_no_token(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, runs: list[Run], precision: str
) -> None:
    """Long prompts, some guided, are prefilled in pieces while streams end at different times."""
    running = [Request([number] * 3, replace(ENDLESS, max_tokens=20 + 5 * number, seed=number)) for number in range(20)]
    arriving = [
        replace(request, prompt=[*request.prompt, *range(90 + number, 150 + number)])
        for number, request in enumerate(some_requests(12, seed=3))
    ]
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        expected = one_by_one(engine, [*running, *arriving])
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0, queue=40)) as engine:
        runs.clear()
        found = arrive_among(monkeypatch, engine, running, arriving)
    pieces = {run.tokens for run in runs if run.kind == "prefill" and run.tokens % 16 == 0}
    assert len(pieces) > 1, "the pieces have several lengths"
    assert found == expected
