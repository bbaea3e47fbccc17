"""Guidance: the arithmetic, and the two prompts of a guided pair in the engine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, InvalidRequest, Request, Sampling
from server.engine.model.runner import Runner
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sampling.guidance import PLAUSIBLE, guide
from server.engine.sampling.sampler import Sampler
from server.engine.sequence import Sequence
from server.engine.stats import Observer, SequenceStats
from server.engine.text.output import OutputText


def probabilities(*values: float) -> np.ndarray:
    return np.log(np.array(values, dtype=np.float32))


def test_strength_one_gives_the_prompts_own_probabilities() -> None:
    own, plain = probabilities(0.5, 0.3, 0.2), probabilities(0.2, 0.3, 0.5)
    assert np.exp(guide(own + 7, plain - 3, 1.0)) == pytest.approx([0.5, 0.3, 0.2], rel=1e-5)


def test_strength_multiplies_what_the_genre_adds() -> None:
    own, plain = probabilities(0.5, 0.3, 0.2), probabilities(0.25, 0.3, 0.45)
    guided = guide(own, plain, 3.0)
    expected = [0.25 * (0.5 / 0.25) ** 3, 0.3 * (0.3 / 0.3) ** 3, 0.45 * (0.2 / 0.45) ** 3]
    assert np.exp(guided) == pytest.approx(expected, rel=1e-4)


def test_tokens_implausible_before_guidance_stay_out() -> None:
    tail = 0.9 * PLAUSIBLE * 0.5
    guided = guide(probabilities(0.5, tail, 0.4), probabilities(0.5, 1e-6, 0.4), 5.0)
    assert guided[1] == -np.inf
    assert np.isfinite(guided[[0, 2]]).all()


@given(st.integers(0, 2**32), st.floats(0, 15), st.floats(1, 10))
def test_a_vocabulary_is_guided_as_it_is_in_float64(seed: int, spread: float, strength: float) -> None:
    logits = (np.random.default_rng(seed).normal(size=(2, 600)) * spread).astype(np.float32)
    own, plain = (row - np.log(np.exp(row).sum()) for row in logits.astype(np.float64))
    plausible = own >= own.max() + np.log(PLAUSIBLE)
    before = logits.copy()
    guided = guide(logits[0], logits[1], strength)
    assert guided.dtype == np.float32
    assert np.array_equal(logits, before)
    # Very close to the bound, rounding decides.
    clear = np.abs(own - own.max() - np.log(PLAUSIBLE)) > 1e-4
    assert np.array_equal(np.isfinite(guided)[clear], plausible[clear])
    kept = np.isfinite(guided)
    assert guided[kept] == pytest.approx((plain + strength * (own - plain))[kept], abs=1e-3, rel=1e-4)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_broken_logits_stay_broken(side: int, broken: float) -> None:
    sides = [probabilities(0.5, 0.3, 0.2), probabilities(0.2, 0.3, 0.5)]
    sides[side][1] = broken
    assert not np.isfinite(guide(sides[0], sides[1], 2.0).max())


def test_a_guided_continuation_is_led_by_both_prompts_step_by_step(bundle: Bundle) -> None:
    runner, prompt, against = Runner(bundle, "fp32", 1, rows=1), [5, 6, 7, 8], [9, 10]
    sampling = Sampling(max_tokens=6, temperature=0, guidance=2.5, ignore_end=True)
    with Engine(bundle, EngineConfig("fp32", threads=1)) as engine:
        stream = engine.submit(Request(prompt, sampling, against))
        written = [token for chunk in stream for token in chunk.token_ids]
    assert len(written) == 6
    for step, token in enumerate(written):
        own, plain = (runner.prefill(0, 0, [[*start, *written[:step]]])[0].copy() for start in (prompt, against))
        guided = guide(own, plain, 2.5)
        guided[bundle.manifest.model.end_of_text] = -np.inf
        assert guided[token] == pytest.approx(guided.max(), abs=1e-3)


def test_a_genre_that_is_no_different_changes_nothing(bundle: Bundle) -> None:
    prompt, sampling = "Horror: A door", Sampling(max_tokens=12, temperature=0, guidance=4.0)
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        alone, same = (
            [token for chunk in engine.submit(Request(prompt, sampling, against)) for token in chunk.token_ids]
            for against in (None, prompt)
        )
        other = engine.submit(Request(prompt, sampling, "Plot: A door"))
        guided = [token for chunk in other for token in chunk.token_ids]
    assert alone == same != guided


def test_the_longer_prompt_bounds_the_context(bundle: Bundle) -> None:
    context = bundle.manifest.model.context
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        sampling = Sampling(max_tokens=50, temperature=0, guidance=2.0)
        stream = engine.submit(Request([5] * 4, sampling, [6] * (context - 3)))
        assert sum(len(chunk.token_ids) for chunk in stream) <= 3
        with pytest.raises(InvalidRequest, match="shorten it"):
            engine.submit(Request([5] * 4, sampling, [6] * context))


@pytest.mark.parametrize("guidance", [0.5, 11, float("nan")])
def test_guidance_has_bounds(guidance: float) -> None:
    with pytest.raises(InvalidRequest, match="guidance must be a number from 1 to 10"):
        Sampling(guidance=guidance)


def test_an_excluded_token_leaves_others_plausible() -> None:
    """A model sure of the end goes on if min_tokens demands it."""
    sampling, batch_sampler = Sampling(temperature=0, min_tokens=1, guidance=2.0), BatchSampler(1)
    sampler, text = Sampler(sampling, 0, [], 3, 2), OutputText([b"a", b"b", b""], ())
    sequence = Sequence(sampling, 9, 2, sampler, text, SequenceStats(Observer()))
    found = []
    for _ in range(2):
        logits = np.array([[0.0, 1.0, 50.0], [0.0, 0.0, 0.0]], np.float32)
        (token,) = batch_sampler.sample(logits, [sequence.prepare(logits, (0, 1))])
        sequence.append(token)
        found.append(token)
    assert found == [1, 2]
