"""Failures of the session and the model: their streams raise, and the engine continues as before."""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineBusy, EngineConfig, EngineError, Request, Sampling, Stream
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from tests.server.reading import PROMPT, one_by_one, some_requests, tokens_of
from tests.server.runs import meddle

pytestmark = pytest.mark.timeout(60)

ENDLESS = Sampling(max_tokens=30, temperature=0, ignore_end=True)
LONG = Request([7] * 70, ENDLESS)


def spoil(runner: Runner) -> None:
    """Fill the cache with garbage, as an interrupted run might."""
    for side in runner.cache.sides:
        side.values[...] = 3


def tokens_or_error(stream: Stream) -> list[int] | str:
    try:
        return tokens_of(stream)
    except EngineError as error:
        return str(error)


def test_a_decode_that_fails_ends_those_it_was_for_and_no_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queued requests find no rows and no cached prompts from before the failure."""
    requests = [LONG, *some_requests(7, seed=5)]
    with Engine(bundle, EngineConfig(threads=1, kept=0)) as engine:
        expected = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(threads=1, rows=2)) as engine:
        assert one_by_one(engine, [LONG]) == expected[:1]

        def fail_once(count: int, decode: Callable[[], Floats], runner: Runner) -> Floats:
            if count == 5:
                spoil(runner)
                raise RuntimeError("out of memory")
            return decode()

        meddle(monkeypatch, fail_once)
        failing = engine.submit_several(LONG, 2)
        following = [engine.submit(request) for request in requests]
        for stream in failing:
            with pytest.raises(EngineError, match="the model failed: out of memory"):
                list(stream)
            assert list(stream) == []
        assert [tokens_of(stream) for stream in following] == expected


def test_an_error_of_the_session_itself_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = one_by_one(engine, [LONG])
    decode, calls = Runner.decode, iter(range(1000))

    def fail_once(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        # A token outside the vocabulary makes ONNX Runtime fail.
        return decode(runner, [10**6] if next(calls) == 3 else tokens, lengths)

    monkeypatch.setattr(Runner, "decode", fail_once)
    with pytest.raises(EngineError, match="the model failed"):
        list(engine.submit(LONG))
    assert one_by_one(engine, [LONG]) == expected


def test_a_reading_that_fails_ends_who_arrives_and_who_is_written(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill = Runner.prefill
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        expected = one_by_one(engine, [LONG])

        def fail_for_eights(runner: Runner, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Floats:
            if pieces[0][0] == 8 and start:
                spoil(runner)
                raise RuntimeError("out of memory")
            return prefill(runner, row, start, pieces)

        monkeypatch.setattr(Runner, "prefill", fail_for_eights)
        arriving: list[Stream] = []

        def let_one_arrive(count: int, decode: Callable[[], Floats], _: Runner) -> Floats:
            if count == 3:
                arriving.append(engine.submit(Request([8] * 100, ENDLESS)))
            return decode()

        meddle(monkeypatch, let_one_arrive)
        running = engine.submit(LONG)
        for stream in (running, *arriving):
            with pytest.raises(EngineError, match="out of memory"):
                list(stream)
        assert len(arriving) == 1
        with pytest.raises(EngineError, match="out of memory"):
            list(arriving[0])
        assert one_by_one(engine, [LONG]) == expected


def test_a_request_that_ended_before_its_step_failed_is_complete(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request for one token ends after its prefill, even if the decode of the others then fails."""
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        arriving: list[Stream] = []

        def arrive_then_fail(count: int, decode: Callable[[], Floats], _: Runner) -> Floats:
            if count == 3:
                arriving.append(engine.submit(Request(PROMPT, replace(ENDLESS, max_tokens=1))))
            if count == 4:
                raise RuntimeError("out of memory")
            return decode()

        meddle(monkeypatch, arrive_then_fail)
        with pytest.raises(EngineError, match="out of memory"):
            list(engine.submit(LONG))
        (chunk,) = arriving[0]
        assert len(chunk.token_ids) == 1
        assert chunk.finish_reason == "length"


def test_after_a_failure_the_model_is_loaded_anew_for_those_who_wait(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the engine is not ready, and the counts of the old session remain."""
    with Engine(bundle, EngineConfig(threads=1, rows=1)) as engine:
        expected = one_by_one(engine, [LONG])
        written, seconds, first = engine.generated, engine.model_seconds, engine._batch
        loading, go_on = threading.Event(), threading.Event()

        def fail_once(count: int, decode: Callable[[], Floats], runner: Runner) -> Floats:
            if count == 3:
                raise MemoryError("no memory")
            if count == 4:  # the first run of the new session
                loading.set()
                go_on.wait(30)
            return decode()

        meddle(monkeypatch, fail_once)
        failing, waiting = engine.submit(LONG), engine.submit(LONG)
        with pytest.raises(EngineError, match="the model failed: no memory"):
            list(failing)
        assert loading.wait(30)
        assert (engine.state, engine.ready, engine.running, engine.queued) == ("restarting", False, 0, 1)
        late = engine.submit(LONG)
        go_on.set()
        assert [tokens_of(waiting), tokens_of(late)] == expected * 2
        assert (engine.state, engine.restarts) == ("ready", 1)
        assert engine._batch is not first
        assert engine.generated >= written + 2 * len(expected[0])
        assert engine.model_seconds > seconds


def test_a_model_that_cannot_be_loaded_again_lets_nobody_wait_and_is_tried_again(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = (folder / "bundle.json").read_bytes()
    monkeypatch.setattr("server.engine.engine.MIN_PAUSE", 0.05)
    with Engine(Bundle.load(folder), EngineConfig(threads=1, rows=1)) as engine:
        expected = one_by_one(engine, [LONG])

        def fail_once(count: int, decode: Callable[[], Floats], runner: Runner) -> Floats:
            if count == 3:
                (folder / "bundle.json").write_bytes(manifest.replace(b"plotify-tiny", b"another-tiny"))
                raise RuntimeError("out of memory")
            return decode()

        meddle(monkeypatch, fail_once)
        failing, waiting = engine.submit(LONG), engine.submit(LONG)
        with pytest.raises(EngineError, match="the model failed: out of memory"):
            list(failing)
        with pytest.raises(EngineError, match="the model failed and cannot be loaded again"):
            list(waiting)
        with pytest.raises(EngineBusy, match="the model failed, and is being loaded again; try again"):
            engine.submit(LONG)
        (folder / "bundle.json").write_bytes(manifest)
        deadline = time.monotonic() + 30
        while not engine.ready:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert one_by_one(engine, [LONG]) == expected


def test_an_engine_that_cannot_load_its_model_can_be_closed(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    engine = Engine(Bundle.load(folder), EngineConfig(threads=1))
    (folder / "bundle.json").unlink()

    def fail(count: int, decode: Callable[[], Floats], runner: Runner) -> Floats:
        raise RuntimeError("out of memory")

    meddle(monkeypatch, fail)
    with pytest.raises(EngineError, match="out of memory"):
        list(engine.submit(LONG))
    engine.close()
    assert engine.state == "closed"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_not_finite_end_one_sequence_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    requests = [Request([number] * 9, replace(ENDLESS, temperature=1.0, seed=number)) for number in range(1, 7)]
    guided = Request(PROMPT, replace(ENDLESS, guidance=2.0), against="A detective in Lisbon")
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        expected = one_by_one(engine, [*requests, guided])

        def spoil_a_row(count: int, decode: Callable[[], Floats], _: Runner) -> Floats:
            logits = decode()
            if len(logits) == 8 and not spoiled:
                logits[2, 100] = logits[7, 100] = wrong
                spoiled.append(count)
            return logits

        spoiled: list[int] = []
        meddle(monkeypatch, spoil_a_row)
        streams = [engine.submit(request) for request in (*requests, guided)]
        ends = [tokens_or_error(stream) for stream in streams]
        assert spoiled
        failed = [end for end in ends if isinstance(end, str)]
        assert failed == ["the model failed: the model's logits are not finite"] * 2
        assert all(end == tokens for end, tokens in zip(ends, expected, strict=True) if end not in failed)
        assert one_by_one(engine, [*requests, guided]) == expected


def test_a_prompt_whose_logits_are_not_finite_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    prefill = Runner.prefill

    def spoil_sevens(runner: Runner, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Floats:
        logits = prefill(runner, row, start, pieces)
        for line, piece in zip(logits, pieces, strict=True):
            if piece[0] == 7:
                line[:] = np.nan
        return logits

    other = Request([8] * 30, ENDLESS)
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        expected = one_by_one(engine, [other])
        monkeypatch.setattr(Runner, "prefill", spoil_sevens)
        streams = [engine.submit(request) for request in (Request([7] * 30, ENDLESS), other)]
        with pytest.raises(EngineError, match="not finite"):
            list(streams[0])
        assert [tokens_of(streams[1])] == expected


def test_numbers_of_any_size_fail_nobody(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig("fp32", threads=1)) as engine:
        beside = engine.submit(LONG)
        asked = [Sampling(max_tokens=5, top_k=2**70, seed=2**70), Sampling(max_tokens=5, top_k=2**63, top_p=5e-324)]
        streams = [engine.submit(Request(PROMPT, replace(each, ignore_end=True))) for each in asked]
        assert [len(tokens_of(list(stream))) for stream in streams] == [5, 5]
        assert len(tokens_of(list(beside))) == 30
        assert engine.restarts == 0
