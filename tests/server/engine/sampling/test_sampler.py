"""The sampler: the drawn tokens and their frequencies."""

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from server.engine import Sampling
from server.engine.arrays import Floats
from server.engine.sampling.sampler import Sampler
from tests.server.engine.sampling.drawn import draw
from tests.server.engine.sampling.exact import Exact, exact, penalised, softmax

VOCABULARY = 50_257

logits_of_20 = arrays(np.float32, 20, elements=st.floats(-50, 50, width=32))
tied_logits_of_20 = arrays(np.float32, 20, elements=st.sampled_from([-math.inf, -1.0, 0.0, 0.5]))
samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.just(0.0), st.floats(1e-12, 10)),
    top_k=st.integers(0, 30),
    top_p=st.floats(1e-6, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.1, 10),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    logit_bias=st.dictionaries(st.integers(0, 19), st.floats(-100, 100), max_size=3),
    ignore_end=st.booleans(),
    logprobs=st.none() | st.integers(0, 20),
)


def sampler(sampling: Sampling, size: int, seed: int = 0, prompt: tuple[int, ...] | list[int] = ()) -> Sampler:
    """Return a sampler with the last token as the end of text."""
    return Sampler(sampling, seed, prompt, size, size - 1)


def draws(sampling: Sampling, logits: Floats, count: int, prompt: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
    """Return how often each token is the first one of `count` sequences with different seeds."""
    tokens = [draw(sampler(sampling, logits.size, seed, prompt), logits).token for seed in range(count)]
    return np.bincount(tokens, minlength=logits.size)


def assert_as_often(found: npt.NDArray[np.int64], expected: Exact) -> None:
    count = found.sum()
    assert not found[expected == 0].any()
    assert np.all(np.abs(found - count * expected) <= 4.5 * np.sqrt(count * expected * (1 - expected)) + 1e-9)


@given(logits_of_20, samplings, st.integers(0, 2**63), st.lists(st.integers(0, 19)))
def test_the_same_seed_draws_the_same_tokens(logits: Floats, sampling: Sampling, seed: int, prompt: list[int]) -> None:
    one, other = (sampler(sampling, 20, seed, prompt) for _ in range(2))
    drawn = [draw(one, logits) for _ in range(5)]
    # Another sequence draws in between, and must not change anything.
    neighbour = sampler(Sampling(top_p=0.5, repetition_penalty=2), 30, 1)
    again = []
    for _ in range(5):
        again.append(draw(other, logits))
        draw(neighbour, np.linspace(0, 1, 30, dtype=np.float32))
    assert drawn == again
    assert all(0 <= each.token < 20 for each in drawn)


@given(logits_of_20 | tied_logits_of_20, samplings, st.integers(0, 1000))
def test_a_drawn_token_is_among_the_kept_ones(logits: Floats, sampling: Sampling, seed: int) -> None:
    assume(logits[:19].max() > -math.inf)
    scores = penalised(sampling, logits, [], [], 19)
    token = draw(sampler(sampling, 20, seed), logits).token
    higher = scores > scores[token] + 1e-4
    if sampling.temperature < 1e-5:
        assert not higher.any()
        return
    probabilities = softmax(scores / sampling.temperature)
    assert probabilities[token] > 0
    assert probabilities[token] >= sampling.min_p * probabilities.max() * 0.999
    assert not sampling.top_k or np.count_nonzero(higher) < sampling.top_k
    assert probabilities[higher].sum() < sampling.top_p + 1e-5


@given(tied_logits_of_20, st.integers(1, 20), st.integers(0, 1000))
def test_among_equals_the_smaller_ids_are_kept(logits: Floats, top_k: int, seed: int) -> None:
    assume(logits.max() > -math.inf)
    for sampling in (Sampling(top_k=top_k), Sampling(top_p=0.999 * top_k / 20), Sampling(top_k=top_k, top_p=0.7)):
        assert exact(sampling, logits)[draw(sampler(sampling, 20, seed), logits).token] > 0


@given(logits_of_20, st.integers(0, 1000))
def test_temperature_towards_zero_is_greedy(logits: Floats, seed: int) -> None:
    def drawn(sampling: Sampling) -> int:
        return draw(sampler(sampling, 20, seed), logits).token

    for temperature in (0.0, 5e-324, 1e-300, 1e-6):
        assert drawn(Sampling(temperature=temperature)) == logits.argmax()
    assert drawn(Sampling(temperature=10, top_k=1)) == logits.argmax()
    for sampling in (Sampling(temperature=10, top_p=1e-9), Sampling(temperature=0.1, min_p=1)):
        # Logits are equal if they differ by less than float32's precision.
        assert logits[drawn(sampling)] == pytest.approx(logits.max(), abs=1e-4)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.5),
        Sampling(temperature=2.5),
        Sampling(top_k=2),
        Sampling(top_p=0.65),
        Sampling(top_p=0.75),
        Sampling(top_p=0.05),
        Sampling(min_p=0.3),
        Sampling(min_p=0.3, temperature=3),
        Sampling(top_k=3, top_p=0.7),
        Sampling(top_k=5, min_p=0.2),
        Sampling(min_p=0.15, top_p=0.8),
        Sampling(temperature=1.5, top_k=6, top_p=0.85, min_p=0.05),
    ],
    ids=repr,
)
def test_tokens_are_drawn_as_often_as_they_are_likely(sampling: Sampling) -> None:
    logits = np.log(np.array([0.3, 0.02, 0.2, 0.1, 0.1, 0.1, 0.08, 0.05, 0.05], dtype=np.float32))
    assert_as_often(draws(sampling, logits, 3000), exact(sampling, logits))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=0.5), [0.16 / 0.3, 0.09 / 0.3, 0.04 / 0.3, 0.01 / 0.3]),
        (Sampling(top_k=2), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.6), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(top_k=3, top_p=0.7), [4 / 7, 3 / 7, 0, 0]),
        (Sampling(min_p=0.4), [4 / 9, 3 / 9, 2 / 9, 0]),
        (Sampling(min_p=0.4, top_p=0.5), [4 / 7, 3 / 7, 0, 0]),
    ],
    ids=repr,
)
def test_the_exact_probabilities_are_these(sampling: Sampling, expected: list[float]) -> None:
    assert exact(sampling, np.log([0.4, 0.3, 0.2, 0.1])) == pytest.approx(expected)


@given(logits_of_20, samplings, st.integers(0, 1000), st.lists(st.integers(0, 19)))
def test_penalties_and_bias_are_those_of_the_whole_vocabulary(
    logits: Floats, sampling: Sampling, seed: int, prompt: list[int]
) -> None:
    greedy = Sampling(**{**vars(sampling), "temperature": 0.0})
    sequence, drawn = sampler(greedy, 20, seed, prompt), list[int]()
    for _ in range(30):
        scores = penalised(greedy, logits, prompt, drawn, 19)
        token = draw(sequence, logits).token
        assert scores[token] == pytest.approx(scores.max(), rel=1e-4, abs=1e-3)
        drawn.append(token)


def test_penalties_are_drawn_with_as_they_are_computed() -> None:
    sampling = Sampling(repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25, logit_bias={4: 1.5})
    logits, found = np.array([2, -1, 0.5, -2, -1], dtype=np.float32), Counter[tuple[int, int]]()
    for seed in range(4000):
        sequence = sampler(sampling, 5, seed, (0, 1, 1))
        found[draw(sequence, logits).token, draw(sequence, logits).token] += 1
    first = softmax(penalised(sampling, logits, [0, 1, 1], [], 4))
    for token in range(5):
        times = np.array([found[token, second] for second in range(5)])
        assert abs(times.sum() - 4000 * first[token]) <= 4.5 * math.sqrt(4000 * first[token])
        assert_as_often(times, softmax(penalised(sampling, logits, [0, 1, 1], [token], 4)))


def test_only_what_was_drawn_counts_for_presence_and_frequency() -> None:
    logits = np.array([3, 2, 0], dtype=np.float32)

    def drawn(**penalty: float) -> list[int]:
        sequence = sampler(Sampling(temperature=0, **penalty), 3, prompt=(0, 0, 0))  # type: ignore[arg-type]
        return [draw(sequence, logits).token for _ in range(4)]

    assert drawn(presence_penalty=1.5) == [0, 1, 0, 0]
    assert drawn(frequency_penalty=0.75) == [0, 0, 1, 0]
    assert drawn(repetition_penalty=3) == [1, 0, 0, 0]


def test_bias_bans_and_forces() -> None:
    logits = np.array([3, 2, 1], dtype=np.float32)
    assert draws(Sampling(logit_bias={0: -100}), logits, 200)[0] == 0
    assert draws(Sampling(logit_bias={2: 100}), logits, 200)[2] == 200
    assert draw(sampler(Sampling(temperature=0, logit_bias={0: -100, 2: 100}), 3), logits).token == 2


@given(logits_of_20, samplings, st.integers(0, 1000))
def test_an_ignored_end_is_never_drawn(logits: Floats, sampling: Sampling, seed: int) -> None:
    logits[19] = 60
    ignoring = Sampling(**{**vars(sampling), "ignore_end": True, "logit_bias": {19: 100}})
    sequence = sampler(ignoring, 20, seed, [19])
    assert all(draw(sequence, logits).token != 19 for _ in range(5))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_an_ignored_end_is_drawn_where_guidance_leaves_nothing_else(temperature: float) -> None:
    logits = np.array([-np.inf, -np.inf, 0], dtype=np.float32)
    assert draw(sampler(Sampling(temperature=temperature, ignore_end=True), 3), logits).token == 2


@given(logits_of_20 | tied_logits_of_20, st.integers(0, 20), st.integers(0, 1000))
def test_logprobs_are_the_models_own(logits: Floats, count: int, seed: int) -> None:
    assume(logits.max() > -math.inf)
    sampling = Sampling(temperature=2, repetition_penalty=3, top_k=5, logprobs=count)
    drawn = draw(sampler(sampling, 20, seed, [1, 2, 3]), logits)
    with np.errstate(divide="ignore"):
        expected = logits - np.log(np.exp(logits.astype(np.float64)).sum())
    assert drawn.logprobs is not None
    assert drawn.logprobs.logprob == pytest.approx(expected[drawn.token], abs=1e-4)
    order = [token for token in np.argsort(-logits, kind="stable") if logits[token] > -math.inf][:count]
    assert [token for token, _ in drawn.logprobs.top] == order
    assert [logprob for _, logprob in drawn.logprobs.top] == pytest.approx(expected[order], abs=1e-4)


def test_logprobs_are_given_only_where_they_are_asked_for() -> None:
    logits = np.array([1, 2, 3], dtype=np.float32)
    assert draw(sampler(Sampling(), 3), logits).logprobs is None
    alone = draw(sampler(Sampling(logprobs=0), 3), logits).logprobs
    assert alone is not None
    assert alone.top == ()


def test_ids_beyond_the_tokenizer_are_never_drawn() -> None:
    logits = np.array([0, 1, 9, 9], dtype=np.float32)
    for sampling in (Sampling(temperature=10), Sampling(temperature=0), Sampling(top_k=3), Sampling(logprobs=4)):
        for seed in range(50):
            drawn = draw(Sampler(sampling, seed, (), 2, 0), logits)
            assert drawn.token < 2
            assert drawn.logprobs is None or [token for token, _ in drawn.logprobs.top] == [1, 0]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0), Sampling(top_k=1), Sampling(min_p=0.5)])
@pytest.mark.parametrize("broken", [[0, math.nan], [math.nan, 0], [math.inf, 0], [-math.inf, -math.inf]])
def test_broken_logits_are_refused(broken: list[float], sampling: Sampling) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(sampler(sampling, 2), np.array(broken, dtype=np.float32))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_p=0.5), Sampling(top_k=2), Sampling(min_p=0.01)])
def test_a_single_possible_token_is_drawn(sampling: Sampling) -> None:
    for rest in (-math.inf, float(np.finfo(np.float32).min), -1000.0):
        logits = np.full(700, rest, dtype=np.float32)
        logits[600] = 3
        assert draws(sampling, logits, 50)[600] == 50


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 12.0])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_p=0.9, temperature=0.8),
        Sampling(top_p=0.1),
        Sampling(top_k=50, top_p=0.9),
        Sampling(top_k=3000),
        Sampling(min_p=0.05, top_p=0.8),
    ],
    ids=repr,
)
def test_a_real_vocabulary_is_drawn_from_as_a_small_one_is(sampling: Sampling, spread: float) -> None:
    # Rounding makes many of them equal.
    logits = (np.random.default_rng(1).normal(size=VOCABULARY) * spread).round(2).astype(np.float32)
    sequence = sampler(sampling, VOCABULARY, 1)
    expected = exact(sampling, logits)
    drawn = np.array([draw(sequence, logits).token for _ in range(1500)])
    # Rounding in float32 decides about the last kept token.
    kept = expected > 0
    blurred = kept | (np.abs(logits - logits[kept].min()) <= 0.011)
    assert blurred[drawn].all()
    if sampling.top_p == 1:
        assert kept[drawn].all()
    # Sixteen equally likely groups are drawn equally often.
    groups = np.minimum((np.cumsum(expected) - expected / 2) * 16, 15).astype(np.int64)
    shares = np.bincount(groups, weights=expected, minlength=16)
    assert_as_often(np.bincount(groups[drawn], minlength=16), np.minimum(shares, 1))


@pytest.mark.parametrize("temperature", [0, 1])
def test_the_end_is_not_drawn_before_its_time(temperature: float) -> None:
    logits = np.array([0, 0, 50], np.float32)
    sampler = Sampler(Sampling(temperature=temperature, min_tokens=3), 0, [], 3, 2)
    assert [draw(sampler, logits).token == 2 for _ in range(5)] == [False, False, False, True, True]
