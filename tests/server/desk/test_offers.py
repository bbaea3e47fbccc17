"""Offers: several texts at once, kept at their end, with or without readers and failures."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from server.desk.continuations import Piece
from server.desk.offers import Offer, Offers, Settled
from server.engine import EngineError
from server.shelf import Passage, ShelfError, ShelfFull
from tests.server.dictated import Dictated

pytestmark = pytest.mark.anyio


class Shelf:
    """Keeps texts, except empty ones, with numbers from 4 on; or refuses them."""

    def __init__(self, error: ShelfError | None = None) -> None:
        self.kept: list[str] = []
        self._error = error

    async def keep(self, texts: Sequence[str]) -> list[Passage]:
        if self._error:
            raise self._error
        self.kept = list(dict.fromkeys(filter(None, texts)))
        return [Passage(4 + index, 3, text, "model", datetime.now(UTC)) for index, text in enumerate(self.kept)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def plots() -> list[Dictated]:
    return [Dictated() for _ in range(3)]


def say(plots: list[Dictated], *texts: str) -> None:
    for plot, text in zip(plots, texts, strict=True):
        plot.say(text)


def end(plots: list[Dictated]) -> None:
    for plot in plots:
        plot.end("stop")


async def settled(offer: Offer) -> Settled:
    """Return the end of an offer."""
    async with asyncio.timeout(30):
        await offer.feed.until_ended()
    last = offer.feed.items[-1]
    assert isinstance(last, Settled)
    assert all(isinstance(item, Piece) for item in offer.feed.items[:-1])
    return last


async def until(there: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(30):
        while not there():
            await asyncio.sleep(0)


async def test_it_is_kept_at_its_end_though_nobody_reads(plots: list[Dictated]) -> None:
    shelf = Shelf()
    offer = Offer(plots, shelf.keep, bare=False)
    say(plots, " finds", " follows", " loses")
    say(plots, " a letter.", " a stranger.", " her café.")
    end(plots)
    assert await settled(offer) == Settled([4, 5, 6], None)
    assert shelf.kept == offer.texts == [" finds a letter.", " follows a stranger.", " loses her café."]


async def test_a_reader_who_comes_late_reads_all_of_it(plots: list[Dictated]) -> None:
    offer = Offer(plots, Shelf().keep, bare=False)
    say(plots, " one", " two", " three")
    await until(lambda: len(offer.feed.items) == 3)
    end(plots)
    read = [event async for events in offer.feed.follow() for event in events]
    assert {event.text for event in read if isinstance(event, Piece)} == {" one", " two", " three"}
    assert isinstance(read[-1], Settled)


async def test_what_was_written_until_it_was_stopped_is_kept(plots: list[Dictated]) -> None:
    shelf = Shelf()
    offer = Offer(plots, shelf.keep, bare=False)
    plots[0].say(" finds")
    await until(lambda: offer.texts[0] != "")
    offer.stop()
    assert await settled(offer) == Settled([4, None, None], None)
    assert shelf.kept == [" finds"]


async def test_two_that_are_the_same_are_one_passage(plots: list[Dictated]) -> None:
    offer = Offer(plots, Shelf().keep, bare=False)
    say(plots, " again", " again", " another")
    end(plots)
    assert (await settled(offer)).numbers == [4, 4, 5]


async def test_after_a_space_no_other_is_offered(plots: list[Dictated]) -> None:
    offer = Offer(plots, Shelf().keep, bare=True)
    say(plots, " finds", " ", "loses")
    say(plots, " a letter", " follows", " it")
    end(plots)
    await settled(offer)
    assert offer.texts == ["finds a letter", "follows", "loses it"]


async def test_a_text_area_gives_back_what_is_offered(plots: list[Dictated]) -> None:
    offer = Offer(plots, Shelf().keep, bare=False)
    say(plots, " one\r", " two\0\x1b", "\tthree\n\n")
    end(plots)
    await settled(offer)
    assert offer.texts == [" one\n", " two", "\tthree\n\n"]


async def test_where_the_engine_fails_what_was_written_is_kept(plots: list[Dictated]) -> None:
    shelf = Shelf()
    offer = Offer(plots, shelf.keep, bare=False)
    say(plots, " finds", " follows", " loses")
    plots[0].end("stop")
    for plot in plots[1:]:
        plot.fail(EngineError("the model failed"))
    assert await settled(offer) == Settled([4, 5, 6], "The plot broke off: the model failed.")


async def test_where_the_shelf_is_full_that_is_said(plots: list[Dictated]) -> None:
    offer = Offer(plots, Shelf(ShelfFull("There is no room for more.")).keep, bare=False)
    say(plots, " finds", " follows", " loses")
    end(plots)
    assert await settled(offer) == Settled([None, None, None], "There is no room for more.")


async def test_what_nobody_foresaw_is_no_wait_without_end(
    plots: list[Dictated], caplog: pytest.LogCaptureFixture
) -> None:
    offer = Offer(plots, Shelf().keep, bare=False)
    plots[1].fail(RuntimeError("no such thing"))
    assert await settled(offer) == Settled([None, None, None], "Something went wrong here.")
    assert "Continuations failed" in caplog.text
    say(plots, " finds", " follows", " loses")
    await asyncio.sleep(0.01)
    assert len(offer.feed.items) == 1


async def test_another_offer_for_a_plot_waits_until_the_first_is_kept(plots: list[Dictated]) -> None:
    offers, shelf = Offers(), Shelf()
    first = Offer(plots, shelf.keep, bare=False)
    offers.start("a plot", first)
    await offers.stop("another plot")
    assert not first.feed.ended
    plots[2].say(" loses")
    await until(lambda: first.texts[2] != "")
    await offers.stop("a plot")
    assert first.feed.ended
    assert shelf.kept == [" loses"]
    await offers.close()
    await offers.stop("a plot")
