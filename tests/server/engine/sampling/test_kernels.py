"""The sampling kernels, compared with float64 and with sorting."""

import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.engine.arrays import Floats
from server.engine.sampling import compilation, kernels
from server.engine.sampling.batch_sampler import BatchSampler, SamplingInput
from server.engine.sampling.compilation import Installed, compiled, processor
from server.engine.sampling.kernels import BLOCK, likeliest, log_sum_exp

VOCABULARY = 50_257

njit: Any = numba.njit

sizes = st.sampled_from([1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 1000])
tied_scores = sizes.flatmap(
    lambda size: arrays(np.float32, size, elements=st.sampled_from([-math.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 7.0]))
)
any_scores = sizes.flatmap(lambda size: arrays(np.float32, size, elements=st.floats(-(2.0**99), 2.0**99, width=32)))


def random_scores(rows: int, spread: float = 3.0) -> Floats:
    return (np.random.default_rng(rows).normal(size=(rows, VOCABULARY)) * spread).astype(np.float32)


def inputs(rows: int) -> list[SamplingInput]:
    """Return sampling inputs of all kinds."""
    choices = [(0.0, 0, 1.0, 0.0), (1.0, 0, 0.9, 0.0), (0.7, 40, 1.0, 0.0), (1.2, 0, 0.8, 0.05), (1.0, 300, 0.5, 0.01)]
    return [SamplingInput(row, VOCABULARY, row, 7, *choices[row % len(choices)]) for row in range(rows)]


def test_weights_are_those_of_float64() -> None:
    scores = np.concatenate((np.linspace(-79.9, 0, 100_000), [-80.1, -1000, -np.inf])).astype(np.float32)
    weights, sums = scores.copy(), np.empty(-(-scores.size // BLOCK), np.float32)
    kernels._weigh(weights, np.float32(0), np.float32(1), sums)
    exact = np.exp(scores.astype(np.float64))
    assert np.abs(weights[:-3] / exact[:-3] - 1).max() < 2e-7
    assert weights[-3:].tolist() == [0, 0, 0]
    assert sums.sum() == pytest.approx(exact.sum(), rel=1e-6)


@given(any_scores)
def test_log_sum_exp_is_that_of_float64(scores: Floats) -> None:
    exact = scores.astype(np.float64)
    assert log_sum_exp(scores) == pytest.approx(
        exact.max() + math.log(np.exp(exact - exact.max()).sum()), rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", [0, 5, BLOCK, 2 * BLOCK])
def test_broken_scores_have_no_sum_and_nothing_to_draw(sign: int, place: int) -> None:
    batch_sampler = BatchSampler(1)
    for broken in (math.copysign(math.nan, sign), math.inf):
        for choice in inputs(5):
            scores = np.zeros((1, 2 * BLOCK + 1), np.float32)
            scores[0, place] = broken
            assert math.isnan(log_sum_exp(scores[0]))
            assert batch_sampler.sample(scores, [choice._replace(row=0, vocab_size=scores.shape[1])]) == [-1]


@given(tied_scores | any_scores, st.integers(1, 1200), st.sampled_from([-math.inf, -1.5, 0.0, 3.0]))
def test_the_likeliest_are_those_that_sorting_finds(scores: Floats, count: int, least: float) -> None:
    highest = np.argsort(-scores, kind="stable")[:count]
    expected = np.sort(highest[scores[highest] >= least])
    assert likeliest(scores, count, np.float32(least)).tolist() == expected.tolist()


def test_a_stream_of_numbers_is_that_of_splitmix64() -> None:
    # The first numbers for the seed 1234567, from the reference implementation.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    drawn = [kernels._uniform(np.uint64(1234567), np.uint64(number)) for number in range(4)]
    assert drawn == [(bits >> 11) * 2.0**-53 for bits in expected]


@given(tied_scores, st.floats(0, 1), st.data())
def test_a_point_is_covered_by_one_of_those_that_are_left(scores: Floats, share: float, data: st.DataObject) -> None:
    """Among all weights, and among those above another: higher, or equal and before it. Also at the end."""
    weights = (np.exp(np.maximum(scores, -100)) * np.isfinite(scores)).astype(np.float32)
    last = data.draw(st.integers(0, scores.size - 1))
    bound = data.draw(st.sampled_from([np.float32(0), weights[last]]))
    above = weights * ((weights > bound) | ((weights == bound) & (np.arange(scores.size) < last)))
    sums = np.empty(-(-scores.size // BLOCK), np.float32)
    kernels._add_up_above(weights, sums, last, bound)
    assert sums == pytest.approx([above[at : at + BLOCK].sum() for at in range(0, scores.size, BLOCK)], rel=1e-5)
    if not above.any():
        return
    point = share * float(sums.sum(dtype=np.float64))
    place = kernels._pick(weights, sums, point, last, bound)
    assert above[place] > 0
    before = above[:place].sum(dtype=np.float64)
    assert before * (1 - 1e-6) <= point <= (before + above[place]) * (1 + 1e-6)


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_a_token_is_the_same_on_any_thread_and_in_any_company(threads: int) -> None:
    scores, asked, alone = random_scores(40), inputs(40), BatchSampler(1)
    expected = []
    for each in asked:
        row = scores[each.row : each.row + 1].copy()
        expected += alone.sample(row, [each._replace(row=0)])
    assert BatchSampler(threads).sample(scores.copy(), asked) == expected
    backwards = BatchSampler(threads).sample(scores.copy(), asked[::-1])
    assert backwards[::-1] == expected


def test_only_the_rows_of_the_turns_are_touched() -> None:
    scores = random_scores(3)
    before = scores.copy()
    BatchSampler(1).sample(scores, [inputs(3)[1]])
    assert np.array_equal(scores[[0, 2]], before[[0, 2]])


def test_each_try_of_each_token_has_a_number_of_its_own() -> None:
    """With equal weights a random number is a place: first among all, then among those before it."""
    batch_sampler, half = BatchSampler(1), VOCABULARY // 2
    tries = []
    for number in range(60):
        (token,) = batch_sampler.sample(
            np.zeros((1, VOCABULARY), np.float32),
            [SamplingInput(0, VOCABULARY, 5, number, 1.0, 0, half / VOCABULARY, 0.0)],
        )
        place, tried = VOCABULARY, 0
        while place == VOCABULARY or place >= half:
            place = int(kernels._uniform(np.uint64(5), np.uint64(number + (tried << 32))) * place)
            tried += 1
        assert token == place
        tries.append(tried)
    assert 1 in tries
    assert max(tries) > 2


def test_without_a_cache_on_disk_the_loops_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_place(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_a_place)

    def twice(number: int) -> int:
        return 2 * number

    assert compiled()(twice)(21) == 42


DRAWING = "from server.engine.sampling.batch_sampler import BatchSampler; BatchSampler(2).close()"


def test_an_unreadable_cache_on_disk_is_named(tmp_path: Path) -> None:
    def start() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", DRAWING], env=environment, capture_output=True, text=True)

    assert start().returncode == 0
    kept = list(tmp_path.rglob("*.nbi"))
    assert kept
    for index in kept:
        index.write_bytes(b"")
    stopped = start()
    assert stopped.returncode == 1
    assert (
        f"their cache in {kept[0].parent} cannot be read or written; empty this folder"
        in stopped.stderr.splitlines()[-1]
    )


def test_a_cache_on_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", full + DRAWING], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cannot be kept for the next start: [Errno" in done.stderr


def test_without_a_home_nothing_is_kept_in_the_working_directory(tmp_path: Path) -> None:
    """The program is where its user cannot write."""
    homeless = "import pwd; pwd.getpwuid = {}.__getitem__; import numba.core.caching as caching; "
    read_only = "caching.InTreeCacheLocator.from_function = classmethod(lambda *_: None); "
    omitted = ("HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in omitted}
    environment |= {"PYTHONPATH": str(Path(kernels.__file__).parents[3])}
    command = [sys.executable, "-c", homeless + read_only + DRAWING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_start_says_that_it_compiles_and_the_second_has_nothing_to_say(tmp_path: Path) -> None:
    told = "import logging; logging.basicConfig(level=logging.INFO, format='%(message)s'); "
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", told + DRAWING]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr for _ in range(2)
    )
    assert first.count("Compiling the sampler for this processor") == 1
    assert f"later starts find it in {tmp_path}" in first
    assert second == ""


@pytest.mark.parametrize("same", [True, False])
def test_code_compiled_at_installation_serves_the_same_kind_of_processor(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "processor.txt"
    monkeypatch.setattr(compilation, "PROCESSOR", note)
    note.write_text(processor() if same else "another one")
    found = Installed.from_function(compilation.processor, compilation.__file__)
    assert isinstance(found, Installed) == same


def test_threads_end_with_the_engine_that_draws_on_them() -> None:
    batch_sampler = BatchSampler(2)
    batch_sampler.sample(random_scores(40), inputs(40))
    assert any(thread.name.startswith("plotify-sampler") for thread in threading.enumerate())
    batch_sampler.close()
    assert not any(thread in threading.enumerate() for thread in batch_sampler._others._threads)
