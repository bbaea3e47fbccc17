"""Choosing suggestions among candidates."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from server.desk.ranking import alike, best, chosen, scores
from server.engine import Engine, EngineBusy, EngineUnavailable, Request, Sampling
from server.writing.brief import Brief
from server.writing.plot import begin

pytestmark = pytest.mark.anyio

TEXTS = ["a fox ran home", "two hens sat still", "a fox ran home again", "rain fell on stones", "nobody came"]
WHOLE = [True] * 5


@pytest.mark.parametrize(
    ("scores", "whole", "first", "expected"),
    [
        ([-9, -3, -2, -1, -4], WHOLE, 0, [3, 2, 1]),
        ([-9, -3, -2, -1, -4], WHOLE, 1, [0, 3, 1]),  # 2 is like 0
        ([-1, -4, -2, -5, -3], WHOLE, 0, [0, 4, 1]),
        ([-9, -3, -2, -1, -4], [True, True, True, False, True], 0, [2, 1, 4]),
        ([-9, -3, -2, -1, -4], [False] * 5, 1, [0, 3, 1]),
    ],
)
def test_whole_texts_unlike_each_other_are_chosen_by_their_scores(
    scores: list[float], whole: list[bool], first: int, expected: list[int]
) -> None:
    assert chosen(TEXTS, whole, scores, 3, first) == expected


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("whole", product([True, False], repeat=5))
async def test_the_choice_is_the_same_if_only_the_scores_that_count_are_asked_for(
    whole: Sequence[bool], first: int
) -> None:
    draw = random.Random(f"{whole} {first}")
    values, asked = [draw.random() for _ in TEXTS], list[int]()

    async def score(indices: Sequence[int]) -> list[float]:
        asked.extend(indices)
        return [values[index] for index in indices]

    found = await best(TEXTS, whole, score, 3, first)
    assert found == chosen(TEXTS, whole, values, 3, first)
    needed = whole if all(whole[index] for index in found[first:]) else WHOLE
    assert sorted(asked) == [index for index in range(first, 5) if needed[index]]


def test_of_few_candidates_all_are_chosen() -> None:
    assert chosen(TEXTS[:2], WHOLE[:2], [-2, -1], 3, 0) == [1, 0]
    assert chosen([TEXTS[0]] * 3, WHOLE[:3], [-2, -1, -3], 3, 0) == [1, 0, 2]


def test_texts_are_alike_by_their_words() -> None:
    assert alike("A fox ran home.", "a fox ran home again")
    assert not alike("A fox ran home.", "A hen ran away.")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def brief(engine: Engine) -> Brief:
    return Brief.read({"prompt": "A fox", "length": "line", "seed": "7"}, engine.bundle.manifest)


async def written(engine: Engine, brief: Brief) -> tuple[list[Any], list[str]]:
    plots = begin(engine, brief, 12, count=2, scored=True)
    return plots, ["".join([piece async for piece in plot]) for plot in plots]


async def test_a_plot_counts_the_log_probabilities_of_its_tokens(engine: Engine, brief: Brief) -> None:
    request = brief.request(engine.bundle.manifest, 12)
    stream = engine.submit(replace(request, sampling=replace(request.sampling, logprobs=0)))
    chunks = [chunk async for chunk in stream]
    found = [each.logprob for chunk in chunks for each in chunk.logprobs[: len(chunk.token_ids)]]
    (plot, _), _ = await written(engine, brief)
    assert plot.tokens == len(found) > 0
    assert plot.logprob == pytest.approx(sum(found))


async def test_a_text_is_scored_by_its_likelihood_and_what_it_owes_to_the_prompt(engine: Engine, brief: Brief) -> None:
    plots, texts = await written(engine, brief)
    found = await scores(engine, brief, plots, texts, "", lambda: False)
    opening = engine.tokenizer.encode(engine.bundle.manifest.prompt.fill("", begins=False).rstrip())
    for plot, text, score in zip(plots, texts, found, strict=True):
        tokens = engine.tokenizer.encode(text)
        request = Request([*opening, *tokens], Sampling(max_tokens=0), prompt_logprobs=0)
        (chunk,) = [chunk async for chunk in engine.submit(request)]
        alone = sum(each.logprob for each in chunk.prompt_logprobs[len(opening) :] if each)
        assert score == pytest.approx((2 * plot.logprob - alone) / plot.tokens)


async def test_a_busy_engine_changes_no_score(engine: Engine, brief: Brief, monkeypatch: pytest.MonkeyPatch) -> None:
    plots, texts = await written(engine, brief)
    found = await scores(engine, brief, plots, texts, "", lambda: False)
    submit, refused = engine.submit, iter([True, False] * 9)

    def busy(request: Any) -> Any:
        if next(refused):
            raise EngineBusy("busy")
        return submit(request)

    monkeypatch.setattr(engine, "submit", busy)
    assert await scores(engine, brief, plots, texts, "", lambda: False) == found
    monkeypatch.setattr(engine, "submit", lambda request: (_ for _ in ()).throw(EngineUnavailable("draining")))
    with pytest.raises(EngineUnavailable):
        await scores(engine, brief, plots, texts, "", lambda: False)
    monkeypatch.setattr(engine, "submit", lambda request: (_ for _ in ()).throw(EngineBusy("busy")))
    assert await asyncio.wait_for(scores(engine, brief, plots, texts, "", lambda: True), 60) == [0.0, 0.0]
