"""Bad words: no spelling of them appears in a text."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.engine.sampling.sampler import Sampler
from server.engine.text.tokenizer import Tokenizer
from server.settings import SHIPPED_MODEL
from tests.server.engine.sampling.drawn import draw

spellings = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), max_size=4)


@given(spellings, st.integers(0, 1000))
def test_no_spelling_is_drawn_whatever_the_logits(bad_words: list[list[int]], seed: int) -> None:
    """The last two of six tokens are in no word, so one is always left to draw."""
    random = np.random.default_rng(seed)
    sampler = Sampler(Sampling(), seed, [], 6, 5, bad_words)
    drawn = [draw(sampler, random.normal(size=6).astype(np.float32)).token for _ in range(60)]
    for spelling in bad_words:
        pieces = [drawn[start : start + len(spelling)] for start in range(len(drawn))]
        assert spelling not in pieces


def test_the_beginning_of_a_word_is_drawn_still() -> None:
    logits = np.array([0, 9, 8, 0], np.float32)
    sampler = Sampler(Sampling(temperature=0), 0, [], 4, 3, [[1, 1]])
    assert [draw(sampler, logits).token for _ in range(4)] == [1, 2, 1, 2]


@pytest.mark.parametrize(("least", "first"), [(0.2, 0), (0.8, 0), (0.9, 2), (1.0, 2)])
def test_the_first_token_lengthens_a_word_only_if_that_is_likely_enough(least: float, first: int) -> None:
    """The first two tokens would do so, with 0.4 and 0.44 of the probability."""
    logits = np.log(np.array([0.44, 0.4, 0.1, 0.06], np.float32))
    lengthening = np.array([0, 1])
    sampler = Sampler(Sampling(temperature=0, min_lengthening=least), 0, [], 4, 3, lengthening=lengthening)
    assert [draw(sampler, logits.copy()).token for _ in range(2)] == [first, 0]


def test_guidance_does_not_decide_about_lengthening() -> None:
    """The first token is likely enough without guidance, and not with it."""
    own, guided = (np.log(np.array(each, np.float32)) for each in ([0.6, 0.3, 0.1], [0.4, 0.3, 0.3]))
    sampling = Sampling(temperature=0, min_lengthening=0.5)
    for steps, first in (([guided], 1), ([own, guided], 0)):
        sampler = Sampler(sampling, 0, [], 3, 2, lengthening=np.array([0]))
        for logits in steps[:-1]:
            sampler.exclude(logits.copy())
        assert draw(sampler, guided.copy()).token == first


def test_a_word_is_spelled_as_it_may_stand_in_a_text(bundle: Bundle) -> None:
    tokenizer = Tokenizer(bundle.tokenizer, 50)
    spelled = {b"".join(map(tokenizer.spell, ids)) for ids in tokenizer.spellings("fox")}
    assert spelled == {b"fox", b" fox", b"Fox", b" Fox"}
    assert b" Anna" in {b"".join(map(tokenizer.spell, ids)) for ids in tokenizer.spellings("Anna")}


@pytest.mark.parametrize("genre", [None, "Crime"])
def test_the_shipped_model_avoids_a_word_that_it_would_write(genre: str | None) -> None:
    with Engine(Bundle.load(SHIPPED_MODEL), EngineConfig(threads=1, queue=4, rows=4)) as engine:
        prompt = engine.bundle.manifest.prompt

        def written(bad_words: tuple[str, ...]) -> str:
            sampling = Sampling(max_tokens=40, temperature=0, bad_words=bad_words, guidance=2)
            against = prompt.fill("A detective") if genre else None
            request = Request(prompt.fill("A detective", genre), sampling, against=against)
            return "".join(chunk.text for chunk in engine.submit(request))

        plain = written(())
        words = sorted(set(re.findall(r"[a-z]{3,}", plain)))
        assert len(words) >= 3
        avoided = written(tuple(words[:3]))
        assert not set(words[:3]) & set(re.findall(r"[a-z]+", avoided.lower()))
        assert written(("zyzzyva",)) == plain, "a word that is not written anyway changes nothing"
