"""The engine on a GPU, compared with the processor. Skipped, with the reason, without a GPU."""

from collections.abc import Callable

import numpy as np
import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.engine.arrays import Floats
from server.engine.model.device import what_cuda_lacks
from server.engine.model.device_cache import DeviceCache
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.runner import Runner

MISSING = what_cuda_lacks()

pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"cuda: {MISSING}")

HALF = 0.02
"""The largest difference between logits in float16 and float32, in standard deviations of the logits."""

STEPS = 12


def written(runner: Runner, rows: int) -> list[Floats]:
    """Return the logits of prefills, one of them in pieces, and of decodes with fewer and fewer rows."""
    numbers = np.random.default_rng(1)
    prompts = numbers.integers(1, 300, (rows, 32)).tolist()
    logits = [runner.prefill(0, 0, prompts[:-1]).copy()] if rows > 1 else []
    logits.append(runner.prefill(rows - 1, 0, [prompts[-1][:16]]).copy())
    logits.append(runner.prefill(rows - 1, 16, [prompts[-1][16:]]).copy())
    for step in range(STEPS):
        tokens = numbers.integers(1, 300, max(1, rows - step)).tolist()
        logits.append(runner.decode(tokens, [32 + step] * len(tokens)).copy())
    return logits


def farthest(given: list[Floats], expected: list[Floats]) -> float:
    """Return the largest difference between logits, in standard deviations of the expected ones."""
    return max(float(np.abs(one - other).max() / other.std()) for one, other in zip(given, expected, strict=True))


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("capture", [False, True], ids=["without graphs", "with graphs"])
def test_logits_are_those_of_the_processor(bundle: Bundle, rows: int, capture: bool) -> None:
    on_gpu = written(DeviceRunner(bundle, "fp16", 0, rows, capture=capture), rows)
    assert all(np.isfinite(logits).all() for logits in on_gpu)
    assert farthest(on_gpu, written(Runner(bundle, "fp32", 0, rows), rows)) < HALF


def test_decodes_are_captured_and_the_same_as_without(bundle: Bundle) -> None:
    """The second round replays every graph, after prefills in between."""
    with_graphs, without = (DeviceRunner(bundle, "fp16", 0, 5, capture=capture) for capture in (True, False))
    assert with_graphs.captures
    assert not without.captures
    for _ in range(2):
        for one, other in zip(written(with_graphs, 5), written(without, 5), strict=True):
            np.testing.assert_array_equal(one, other)


def test_rows_of_different_lengths_do_not_see_each_other(bundle: Bundle) -> None:
    """A decode gets the whole capacity as its total length, but each row's own length must count."""
    runner, alone = (DeviceRunner(bundle, "fp16", 0, 3) for _ in range(2))
    prompts = [[5, 6, 7], [8] * 30, [9]]
    for row, prompt in enumerate(prompts):
        runner.prefill(row, 0, [prompt])
    together = runner.decode([1, 2, 3], [3, 30, 1])
    for row, (prompt, token) in enumerate(zip(prompts, (1, 2, 3), strict=True)):
        alone.prefill(0, 0, [prompt])
        assert farthest([together[row]], [alone.decode([token], [len(prompt)])[0]]) < HALF


def test_a_row_is_copied_within_the_gpu(bundle: Bundle) -> None:
    shape = bundle.manifest.model
    cache, numbers = DeviceCache(shape, 3, np.float16, "cuda"), np.random.default_rng(1)
    before = [numbers.random((3, shape.heads, cache.capacity, shape.head_dim)).astype(np.float16) for _ in cache.sides]
    for side, values in zip(cache.sides, before, strict=True):
        side.values.update_inplace(values)  # type: ignore[union-attr]
    cache.copy(2, 0, shape.context)
    for side, values in zip(cache.sides, before, strict=True):
        np.testing.assert_array_equal(side.values.numpy(), values[[2, 1, 2]])  # type: ignore[union-attr]


def tokens_of(engine: Engine, count: int) -> list[list[int]]:
    """Return the tokens of `count` requests at once, with long and short prompts, and prefix cache hits."""
    prompts = ["A detective in Lisbon", "Two sisters and a lighthouse " * 4]
    requests = [
        Request(prompts[seed % 2], Sampling(max_tokens=30, seed=seed, ignore_end=True)) for seed in range(count)
    ]
    streams = [engine.submit(request) for request in requests]
    return [[token for chunk in stream for token in chunk.token_ids] for stream in streams]


@pytest.fixture
def on_cuda(bundle: Bundle) -> Callable[[], Engine]:
    return lambda: Engine(bundle, EngineConfig(rows=32, kept=8, device="cuda"))


def test_an_engine_takes_the_gpu_by_itself(bundle: Bundle) -> None:
    with Engine(bundle, EngineConfig(rows=2, kept=0)) as engine:
        assert (engine.device, engine.precision) == ("cuda", "fp16")
        assert all(tokens_of(engine, 2))


def test_an_engine_captures_graphs_unless_told_not_to(bundle: Bundle) -> None:
    written = []
    for capture in (True, False):
        with Engine(bundle, EngineConfig(rows=1, kept=0, device="cuda", capture=capture)) as engine:
            assert engine.captures is capture
            written.append(tokens_of(engine, 2))
    assert written[0] == written[1]


def test_many_at_once_are_all_written(on_cuda: Callable[[], Engine]) -> None:
    """Most are the same as on the processor: float16 may change the choice between equally likely tokens."""
    with on_cuda() as engine:
        given, again = tokens_of(engine, 64), tokens_of(engine, 64)
        with Engine(engine.bundle, EngineConfig("fp32", rows=32, kept=8, device="cpu")) as processor:
            expected = tokens_of(processor, 64)
    assert {len(tokens) for tokens in given + again} == {30}
    first = [one[:5] == other[:5] for one, other in zip(given, expected, strict=True)]
    assert sum(first) >= 48
