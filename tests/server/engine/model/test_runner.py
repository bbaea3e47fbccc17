"""The runner and its cache: a row's logits are the same, to the last bit, whatever rows run with it."""

import numpy as np
import pytest

from server.bundle import Bundle
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from tests.server.reading import PRECISIONS

PROMPT = [number * 7 % 399 for number in range(75)]
OTHERS = [[number * 31 % 399 for number in range(length)] for length in (3, 90, 16)]


@pytest.fixture(params=PRECISIONS)
def runner(bundle: Bundle, request: pytest.FixtureRequest) -> Runner:
    return Runner(bundle, request.param, threads=1, rows=8)


def held(runner: Runner, row: int, tokens: int) -> list[bytes]:
    return [side.values[row, :, :tokens].tobytes() for side in runner.cache.sides]


def read_alone(runner: Runner, prompt: list[int], row: int = 0) -> Floats:
    logits: Floats = runner.prefill(row, 0, [prompt])[0].copy()
    return logits


def test_company_changes_no_bit_of_what_is_read(runner: Runner) -> None:
    alone = read_alone(runner, PROMPT)
    among = runner.prefill(3, 0, [OTHERS[0], PROMPT, *OTHERS[1:]])[1]
    assert np.array_equal(among, alone)
    assert held(runner, 4, len(PROMPT)) == held(runner, 0, len(PROMPT))


@pytest.mark.parametrize("pieces", [(16,), (48, 16), (64,), (16, 16, 16, 16)])
def test_pieces_change_no_bit_of_what_is_read(runner: Runner, pieces: tuple[int, ...]) -> None:
    alone = read_alone(runner, PROMPT)
    start = 0
    for length in pieces:
        runner.prefill(5, start, [PROMPT[start : start + length]])
        start += length
    assert np.array_equal(runner.prefill(5, start, [PROMPT[start:]])[0], alone)
    assert held(runner, 5, len(PROMPT)) == held(runner, 0, len(PROMPT))


def test_old_content_of_a_row_changes_no_bit(runner: Runner) -> None:
    alone = read_alone(runner, PROMPT)
    fresh = held(runner, 0, len(PROMPT))
    for side in runner.cache.sides:
        side.values[...] = 77
    assert np.array_equal(read_alone(runner, PROMPT), alone)
    assert held(runner, 0, len(PROMPT)) == fresh


def test_a_copied_row_goes_on_like_the_one_it_was_copied_from(runner: Runner) -> None:
    read_alone(runner, PROMPT, row=1)
    runner.cache.copy(1, 0, len(PROMPT))
    first, second = runner.decode([5, 5], [len(PROMPT)] * 2)
    assert np.array_equal(first, second)


def test_company_changes_no_bit_of_what_is_decoded(runner: Runner) -> None:
    prompts = [PROMPT, *OTHERS]
    alone = []
    for prompt in prompts:
        read_alone(runner, prompt)
        alone.append(runner.decode([9], [len(prompt)])[0].copy())
    for row, prompt in enumerate(prompts * 2):
        read_alone(runner, prompt, row)
    for count in range(2, 9):
        among = runner.decode([9] * count, [len(prompt) for prompt in prompts * 2][:count])
        assert np.array_equal(among, (alone * 2)[:count])
