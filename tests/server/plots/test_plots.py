"""The lives of plots. Time is virtual: it passes when all tasks wait."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import EngineError
from server.plots.generation import Generation
from server.plots.journal import Done, Failed, Journal
from server.plots.plots import Plots, UnknownPlot
from server.writing.brief import LENGTHS, WILDNESSES, Brief
from server.writing.plot import Plot
from tests.server.dictated import Dictated
from tests.server.virtual_time import run

GRACE, TTL = 30, 300


BRIEF = Brief("A fox", None, LENGTHS["line"], WILDNESSES[3], (), 7)


class Dictation(Generation):
    """Generates nothing: plots are dictated."""

    def __init__(self) -> None:
        self.records = None
        self.plot = Dictated()

    async def start(self, brief: Brief, client: str) -> tuple[Journal, Plot, None]:
        plot = self.plot
        return Journal(secrets.token_urlsafe(16), plot.opening, plot.seed, plot.prompt_tokens), plot, None


class DictatedPlots(Plots):
    """Plots that say what they are told."""

    def __init__(self, limit: int) -> None:
        self.dictation = Dictation()
        super().__init__(self.dictation, GRACE, TTL, limit)

    async def begin(self, plot: Dictated) -> Journal:
        self.dictation.plot = plot
        return await self.start(BRIEF, "me")


def plotted(scene: Callable[[DictatedPlots], Coroutine[Any, Any, None]], limit: int = 10) -> None:
    """Run a scene with plots, and close them."""

    async def play() -> None:
        plots = DictatedPlots(limit)
        await scene(plots)
        await plots.close()

    run(play())


def ending(journal: Journal) -> str | None:
    return journal.end.finish_reason if isinstance(journal.end, Done) else None


async def known(plots: Plots, journal: Journal) -> bool:
    try:
        return await plots.find(journal.id) is journal
    except UnknownPlot:
        return False


def test_ids_are_long_and_unlike_one_another() -> None:
    async def scene(plots: DictatedPlots) -> None:
        journals = [await plots.begin(Dictated()) for _ in range(100)]
        assert len({journal.id for journal in journals}) == 100
        assert min(len(journal.id) for journal in journals) == 22
        for journal in journals:
            await plots.cancel(journal.id)

    plotted(scene)


def test_a_plot_that_nobody_ever_follows_is_cancelled() -> None:
    async def scene(plots: DictatedPlots) -> None:
        journal = await plots.begin(Dictated())
        await asyncio.sleep(GRACE - 1)
        assert journal.end is None
        await asyncio.sleep(2)
        assert ending(journal) == "cancelled"
        assert await known(plots, journal)

    plotted(scene)


def test_a_plot_is_written_for_as_long_as_somebody_follows() -> None:
    async def scene(plots: DictatedPlots) -> None:
        journal = await plots.begin(Dictated())
        plots.join(journal)
        plots.join(journal)
        await asyncio.sleep(10 * GRACE)
        plots.leave(journal)
        await asyncio.sleep(10 * GRACE)
        plots.leave(journal)
        await asyncio.sleep(GRACE - 1)
        assert journal.end is None
        await asyncio.sleep(2)
        assert ending(journal) == "cancelled"

    plotted(scene)


@given(st.lists(st.tuples(st.integers(0, GRACE + 10), st.sampled_from(["find", "join", "leave"])), max_size=12))
def test_it_is_cancelled_when_there_was_no_sign_of_life_for_the_grace(life: list[tuple[int, str]]) -> None:
    async def scene(plots: DictatedPlots) -> None:
        journal = await plots.begin(Dictated())
        readers, now, sign = 0, 0.0, 0.0
        for seconds, act in life:
            pause = seconds + 0.01  # so that no sum of pauses is the grace itself
            await asyncio.sleep(pause)
            now += pause
            over = not readers and now > sign + GRACE
            assert (journal.end is not None) == over
            if over:
                return
            if act == "find":
                await plots.find(journal.id)
            elif act == "join":
                plots.join(journal)
                readers += 1
            elif readers:
                plots.leave(journal)
                readers -= 1
            else:
                continue
            sign = now
        await plots.cancel(journal.id)

    plotted(scene)


def test_a_plot_that_has_ended_can_be_read_for_its_time_and_no_longer() -> None:
    async def scene(plots: DictatedPlots) -> None:
        plot = Dictated()
        journal = await plots.begin(plot)
        plot.say(" ran off.")
        await asyncio.sleep(GRACE - 1)
        plot.end("stop")
        for _ in range(TTL - 1):
            await asyncio.sleep(1)
            assert await known(plots, journal)
        plots.join(journal)
        await asyncio.sleep(2)
        with pytest.raises(UnknownPlot, match=f"There is no plot {journal.id}: .* for 300 seconds after its end"):
            await plots.find(journal.id)
        # A reader who came in time reads on.
        assert [event async for events in journal.feed.follow(0, 15) for event in events] == journal.feed.items
        plots.leave(journal)

    plotted(scene)


def test_those_that_ended_longest_ago_go_first_and_none_that_is_written() -> None:
    async def scene(plots: DictatedPlots) -> None:
        first = await plots.begin(Dictated())
        plots.join(first)
        journals = [await plots.begin(Dictated()) for _ in range(4)]
        for journal in reversed(journals):
            await plots.cancel(journal.id)
            await asyncio.sleep(1)
        assert [await known(plots, journal) for journal in journals] == [True, True, False, False]
        assert await known(plots, first)
        await plots.cancel(first.id)
        await asyncio.sleep(0)
        assert [await known(plots, journal) for journal in journals] == [True, False, False, False]

    plotted(scene, limit=2)


def test_cancelling_keeps_what_was_written_and_may_be_done_again() -> None:
    async def scene(plots: DictatedPlots) -> None:
        plot = Dictated()
        journal = await plots.begin(plot)
        plot.say(" ran")
        await plots.cancel(journal.id)
        await plots.cancel(journal.id)
        assert (journal.text, ending(journal)) == (" ran", "cancelled")
        ended = await plots.begin(plot := Dictated())
        plot.end("stop")
        await ended.feed.until_ended()
        await plots.cancel(ended.id)
        assert ending(ended) == "stop"

    plotted(scene)


def test_closing_waits_for_the_ends_and_forgets() -> None:
    async def scene(plots: DictatedPlots) -> None:
        journal = await plots.begin(plot := Dictated())
        asyncio.get_running_loop().call_later(5, plot.fail, EngineError("the engine was closed"))
        await plots.close()
        assert journal.feed.items == [Failed("The plot broke off: the engine was closed.")]
        assert not await known(plots, journal)

    plotted(scene)
