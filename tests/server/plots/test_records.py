"""The records of plots, in both databases."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from server.plots.changes import Change
from server.plots.journal import Ending
from server.plots.place import START, Digest, Place
from server.plots.records import AT_MOST, FOR_EACH, LATER, SOON, Record, Records
from server.plots.shared_transaction import SharedTransaction
from server.shelf import Shelf
from server.shelf.models import RecordRow
from server.writing.brief import LENGTHS, WILDNESSES, Brief

pytestmark = pytest.mark.anyio

BRIEF = Brief('A fox \0 "☂"', "Horror", LENGTHS["line"], WILDNESSES[4], ("hen", "egg"), 7)
RECORD = Record("x" * 22, "key alice", BRIEF, 3, "plotify-mini", "abc", "int8")


def place(tokens: int) -> Place:
    return Place(tokens, Digest("a" * tokens).value)


async def test_every_server_with_the_database_finds_a_record_until_its_time_is_over(shelf: Shelf) -> None:
    async with Records.open(shelf, 100, 10) as one, Records.open(shelf, 100, 10) as other:
        await one.add(RECORD)
        assert await one.find(RECORD.id) == await other.find(RECORD.id) == RECORD
        assert await other.find("y" * 22) is None

        def age(session: Session) -> None:
            session.execute(update(RecordRow).values(forget=datetime.now(UTC) - timedelta(seconds=1)))

        await shelf.transactions.run(age, writes=True)
        assert await other.find(RECORD.id) is None
        assert not await other.stop(RECORD.id)


async def test_old_records_are_deleted(shelf: Shelf) -> None:
    async with Records.open(shelf, -1, -1) as records:
        await records.add(RECORD)
    async with Records.open(shelf, 100, 10):
        for _ in range(1000):
            if not await shelf.transactions.run(lambda session: session.get(RecordRow, RECORD.id), writes=False):
                return
            await asyncio.sleep(0.01)
    pytest.fail("the record is still there")


async def test_records_that_come_at_once_wait_for_the_disk_together(shelf: Shelf) -> None:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(shelf.engine, "commit", count)
    async with Records.open(shelf, 100, 10) as records:
        before = commits
        await asyncio.gather(*(records.add(replace(RECORD, id=f"{number:022}")) for number in range(64)))
        assert commits - before <= 4
        assert await records.find(f"{63:022}") == replace(RECORD, id=f"{63:022}")
        before, ending = commits, Ending("stop", place(5))
        await asyncio.gather(*(records.end(f"{number:022}", ending) for number in range(64)))
        assert commits - before <= 4
        assert await records.find(f"{63:022}") == replace(RECORD, id=f"{63:022}", ending=ending)


async def test_a_beginning_waits_the_longer_for_others_the_more_plots_are_in_progress(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Watched(SharedTransaction[Change, set[str]]):
        def __init__(
            self, make: Callable[[Sequence[Change]], Awaitable[set[str]]], seconds: Callable[[], float], enough: int
        ) -> None:
            super().__init__(make, lambda: waits.append(seconds()) or 0, enough)  # type: ignore[func-returns-value]

    async def began(records: Records, numbers: range) -> None:
        await asyncio.gather(*(records.add(replace(RECORD, id=f"{number:022}")) for number in numbers))

    monkeypatch.setattr("server.plots.records.SharedTransaction", Watched)
    async with Records.open(shelf, 100, 10) as records:
        await began(records, range(1))
        await began(records, range(1, 9))
        await began(records, range(9, 99))
        await asyncio.gather(*(records.end(f"{number:022}", Ending("stop", place(5))) for number in range(98)))
        await began(records, range(99, 100))
    assert waits == pytest.approx([SOON + FOR_EACH, SOON + 9 * FOR_EACH, AT_MOST, LATER, SOON + 2 * FOR_EACH])


async def test_the_end_that_is_furthest_in_the_text_counts(shelf: Shelf) -> None:
    async with Records.open(shelf, 100, 10) as one, Records.open(shelf, 100, 10) as other:
        await one.add(RECORD)
        await other.attempt(RECORD.id)
        assert await other.stop(RECORD.id)
        assert await one.ended() == await other.ended() == {RECORD.id: Ending("cancelled", START)}
        assert await one.end(RECORD.id, Ending("cancelled", place(5)))
        assert await one.ended() == {}
        assert await other.end(RECORD.id, Ending("deadline", place(4), "Too long."))
        found = await other.find(RECORD.id)
        assert found is not None
        assert found.ending == Ending("cancelled", place(5))


async def test_a_plot_without_a_reader_goes_on_while_another_server_generates_it(shelf: Shelf) -> None:
    async with Records.open(shelf, 100, 10) as one, Records.open(shelf, 100, 10) as other:
        await one.add(RECORD)
        await other.attempt(RECORD.id)
        assert not await one.end(RECORD.id, Ending("cancelled", place(5)), left=True)
        assert await one.find(RECORD.id) == RECORD
        assert await other.end(RECORD.id, Ending("cancelled", place(5)), left=True)


async def test_a_server_that_dies_counts_once_and_one_that_stops_does_not(shelf: Shelf) -> None:
    async with Records.open(shelf, 100, 10) as other:
        async with AsyncExitStack() as life:  # at its end the lock is gone, as after `kill -9`
            dying = await life.enter_async_context(Records.open(shelf, 100, 10))
            await dying.add(RECORD)
            assert (await other.find(RECORD.id)) == RECORD, "it is alive"
        for _ in range(2):
            assert await other.find(RECORD.id) == replace(RECORD, crashes=1)
        async with Records.open(shelf, 100, 10) as stopping:
            await stopping.attempt(RECORD.id)
            await stopping.leave()
        assert await other.find(RECORD.id) == replace(RECORD, crashes=1)
        assert await other.crashed(RECORD.id) == 2
