"""Guidance: the arithmetic, and that the engine's two caches are the two prompts'."""

import numpy as np
import pytest

from server.bundle import Bundle
from server.engine import Engine, InvalidRequest, Request, Sampling
from server.engine.guidance import PLAUSIBLE, guide
from server.engine.runner import Runner


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


def test_what_was_implausible_before_stays_out() -> None:
    tail = 0.9 * PLAUSIBLE * 0.5
    guided = guide(probabilities(0.5, tail, 0.4), probabilities(0.5, 1e-6, 0.4), 5.0)
    assert guided[1] == -np.inf
    assert np.isfinite(guided[[0, 2]]).all()


def test_decoding_keeps_a_cache_for_each_prompt(bundle: Bundle) -> None:
    runner, plain = Runner(bundle, "fp32", 1), Runner(bundle, "fp32", 1)
    prompt, against, continuation = [5, 6, 7, 8], [9, 10], [11, 12]
    logits = runner.prefill(prompt, against, 2.5)
    for step in range(3):
        written = continuation[:step]
        expected = guide(plain.prefill([*prompt, *written]), plain.prefill([*against, *written]), 2.5)
        finite = np.isfinite(expected)
        assert np.array_equal(finite, np.isfinite(logits))
        assert logits[finite] == pytest.approx(expected[finite], abs=1e-3)
        if step < 2:
            logits = runner.decode(continuation[step])


def test_a_genre_that_is_no_different_changes_nothing(bundle: Bundle) -> None:
    prompt, sampling = "Horror: A door", Sampling(max_tokens=12, temperature=0, guidance=4.0)
    with Engine(bundle, threads=1) as engine:
        alone, same = (
            [token for chunk in engine.submit(Request(prompt, sampling, against)) for token in chunk.token_ids]
            for against in (None, prompt)
        )
        other = engine.submit(Request(prompt, sampling, "Plot: A door"))
        guided = [token for chunk in other for token in chunk.token_ids]
    assert alone == same != guided


def test_the_longer_prompt_bounds_the_context(bundle: Bundle) -> None:
    context = bundle.manifest.model.context
    with Engine(bundle, threads=1) as engine:
        sampling = Sampling(max_tokens=50, temperature=0, guidance=2.0)
        stream = engine.submit(Request([5] * 4, sampling, [6] * (context - 3)))
        assert sum(len(chunk.token_ids) for chunk in stream) <= 3
        with pytest.raises(InvalidRequest, match="shorten it"):
            engine.submit(Request([5] * 4, sampling, [6] * context))


@pytest.mark.parametrize("guidance", [0.5, 11, float("nan")])
def test_guidance_has_bounds(guidance: float) -> None:
    with pytest.raises(InvalidRequest, match="guidance must be a number from 1 to 10"):
        Sampling(guidance=guidance)
