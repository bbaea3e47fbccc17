"""What is drawn, and how often."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.engine import InvalidRequest, Sampling
from server.engine.sampler import Sampler

Logits = npt.NDArray[np.float32]

logits_of_20 = arrays(np.float32, 20, elements=st.floats(-50, 50, width=32))
samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0.0), st.floats(1e-12, 10)),
    top_k=st.integers(0, 30),
    top_p=st.floats(1e-6, 1),
    repetition_penalty=st.floats(0.1, 10),
)


def draws(sampling: Sampling, logits: Logits, count: int, prompt: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
    """`count` first tokens, each of a sequence with its own seed."""
    tokens = [Sampler(sampling, seed, prompt, logits.size).draw(logits) for seed in range(count)]
    return np.bincount(tokens, minlength=logits.size)


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


@given(logits_of_20, samplings, st.integers(0, 2**63), st.lists(st.integers(0, 19)))
def test_the_same_seed_draws_the_same_tokens(logits: Logits, sampling: Sampling, seed: int, prompt: list[int]) -> None:
    one, other = (Sampler(sampling, seed, prompt, 20) for _ in range(2))
    drawn = [one.draw(logits) for _ in range(5)]
    assert drawn == [other.draw(logits) for _ in range(5)]
    assert all(0 <= token < 20 for token in drawn)


@given(logits_of_20, st.integers(1, 20), st.integers(0, 1000))
def test_top_k_draws_among_the_k_likeliest(logits: Logits, top_k: int, seed: int) -> None:
    token = Sampler(Sampling(temperature=5, top_k=top_k), seed, (), 20).draw(logits)
    assert np.count_nonzero(logits > logits[token]) < top_k


@given(logits_of_20, st.floats(0.01, 1), st.integers(0, 1000))
def test_top_p_draws_among_the_likeliest_that_reach_it(logits: Logits, top_p: float, seed: int) -> None:
    token = Sampler(Sampling(top_p=top_p), seed, (), 20).draw(logits)
    probabilities = softmax(logits.astype(np.float64))
    assert probabilities[logits > logits[token]].sum() < top_p + 1e-9


@given(logits_of_20, st.integers(0, 1000))
def test_temperature_towards_zero_is_greedy(logits: Logits, seed: int) -> None:
    assert logits[Sampler(Sampling(temperature=1e-300), seed, (), 20).draw(logits)] == logits.max()
    assert Sampler(Sampling(temperature=0), seed, (), 20).draw(logits) == logits.argmax()
    assert logits[Sampler(Sampling(temperature=10, top_k=1), seed, (), 20).draw(logits)] == logits.max()
    assert logits[Sampler(Sampling(temperature=10, top_p=1e-9), seed, (), 20).draw(logits)] == logits.max()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(temperature=0.5), [0.16 / 0.3, 0.09 / 0.3, 0.04 / 0.3, 0.01 / 0.3]),
        (Sampling(top_k=2), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.6), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(top_k=3, top_p=0.7), [4 / 7, 3 / 7, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(sampling: Sampling, expected: list[float]) -> None:
    count, logits = 4000, np.log(np.array([0.4, 0.3, 0.2, 0.1], dtype=np.float32))
    found = draws(sampling, logits, count)
    for times, probability in zip(found, expected, strict=True):
        deviation = math.sqrt(count * probability * (1 - probability))
        assert abs(times - count * probability) <= 4.5 * deviation


def test_repetition_penalty_divides_positive_logits_and_multiplies_negative_ones() -> None:
    logits, penalised = np.array([2, -1, 0.5, -2], dtype=np.float32), Sampling(repetition_penalty=2.0)
    expected = softmax(np.array([1, -2, 0.5, -2]))
    count = 4000
    found = draws(penalised, logits, count, prompt=(0, 1, 1))
    assert np.all(np.abs(found - count * expected) <= 4.5 * np.sqrt(count * expected * (1 - expected)))


def test_tokens_that_were_drawn_are_penalised_too() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=3), 0, (), 3)
    assert [sampler.draw(np.array([3, 2, 0], dtype=np.float32)) for _ in range(2)] == [0, 1]


def test_ids_beyond_the_tokenizer_are_never_drawn() -> None:
    logits = np.array([0, 1, 9, 9], dtype=np.float32)
    assert draws(Sampling(temperature=10), logits[:2], 200).all()
    assert all(Sampler(Sampling(temperature=10), seed, (), 2).draw(logits) < 2 for seed in range(200))


def test_logits_are_left_as_they_were() -> None:
    logits = np.arange(5, dtype=np.float32)
    Sampler(Sampling(repetition_penalty=2), 1, (4,), 5).draw(logits)
    assert logits.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_logits_are_refused(broken: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        Sampler(Sampling(), 1, (), 2).draw(np.array([0, broken], dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_tokens", value) for value in (0, -1, 1.5, "9", True, None)],
        *[("temperature", value) for value in (-0.1, 10.1, math.nan, math.inf, "1", None, True)],
        *[("top_k", value) for value in (-1, 0.5, None)],
        *[("top_p", value) for value in (0, 0.0, -0.5, 1.01, math.nan, "x")],
        *[("repetition_penalty", value) for value in (0, 0.01, 11, math.nan, math.inf)],
        *[("seed", value) for value in (-1, 1.5, "1", False)],
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name} must be .*got "):
        Sampling(**{name: value})
