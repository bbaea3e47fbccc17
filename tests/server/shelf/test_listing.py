"""Lists of plots have an order, can be searched, and leave out plots in which nothing was written."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, event

from server.shelf import SORTS, Shelf, Sort, bounds
from server.shelf.transactions import Transactions

pytestmark = pytest.mark.anyio


async def titles(shelf: Shelf, sort: Sort, search: str = "") -> list[str]:
    entries, _ = await shelf.browse("me", search, sort=sort)
    return [entry.title for entry in entries]


async def test_a_shelf_is_sorted(shelf: Shelf) -> None:
    begun = [await shelf.begin("me", text, title=title) for text, title in (("b fox", ""), ("x fox", "É"), ("a", "A"))]
    await shelf.begin("you", "0 fox")
    await shelf.keep("me", begun[0].id, "b fox ran", "writer")
    assert await titles(shelf, "changed") == ["b fox ran", "A", "É"]
    assert await titles(shelf, "begun") == ["A", "É", "b fox ran"]
    assert await titles(shelf, "title") == ["A", "b fox ran", "É"]
    assert await titles(shelf, "title", "fox") == ["b fox ran", "É"]


@pytest.mark.parametrize("sort", SORTS)
async def test_every_part_of_a_list_continues_the_one_before(shelf: Shelf, sort: Sort) -> None:
    for number in range(5):
        await shelf.begin("me", f"Plot {number % 2}")
    whole, count = await shelf.browse("me", sort=sort)
    parts = [await shelf.browse("me", skip=skip, limit=2, sort=sort) for skip in (0, 2, 4, 6)]
    assert [entry for part, _ in parts for entry in part] == whole
    assert {count, *(each for _, each in parts)} == {5}


async def test_a_plot_in_which_nothing_was_written_is_not_listed(shelf: Shelf) -> None:
    await shelf.begin("me", " \n\t ")
    plot = await shelf.begin("me")
    (offered,) = await shelf.offer("me", plot.id, 0, ["A fox"])
    assert await shelf.browse("me") == ([], 0)
    assert await shelf.ids("me") == []
    await shelf.choose("me", plot.id, offered.number)
    await shelf.undo("me", plot.id)
    assert await titles(shelf, "changed") == ["Untitled"], "it has something to redo"
    assert await shelf.ids("me") == [plot.id]


async def test_another_picture_has_another_address(shelf: Shelf) -> None:
    id = (await shelf.begin("me", "A fox")).id
    seen = {(await shelf.entry("me", id)).picture}
    for change in (
        shelf.cover("me", id),
        shelf.illustrate("me", id, "image/png", b"...", ""),
        shelf.illustrate("me", id, "image/png", b"....", ""),
        shelf.cover("me", id),
        shelf.rename("me", id, "The Fox"),
    ):
        await change
        seen.add((await shelf.entry("me", id)).picture)
    assert len(seen) == 6
    assert not await shelf.illustrated("me", id)


async def test_a_search_is_one_pass_over_each_text(shelf: Shelf) -> None:
    id = (await shelf.begin("me", "a" * bounds.TEXT)).id
    statements: list[str] = []

    def note(*executed: Any) -> None:
        statements.append(executed[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert await shelf.browse("me", "a" * 199 + "b") == ([], 0)
        assert [entry.id for entry in (await shelf.browse("me", "A" * 200))[0]] == [id]
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert statements
    assert not [statement for statement in statements if "LIKE" in statement.upper()]


async def test_a_writer_searches_once_at_a_time_beside_others(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in ("me", "you"):
        await shelf.begin(owner, "It rained.")
    run, searching, most = Transactions.run, [0], [0]

    async def counted(transactions: Transactions, transaction: Any, *, writes: bool) -> Any:
        searching[0] += 1
        most[0] = max(most[0], searching[0])
        try:
            await asyncio.sleep(0)
            return await run(transactions, transaction, writes=writes)
        finally:
            searching[0] -= 1

    monkeypatch.setattr(Transactions, "run", counted)
    found = await asyncio.gather(*(shelf.browse("me", "rain") for _ in range(5)))
    assert ([count for _, count in found], most) == ([1] * 5, [1])
    await asyncio.gather(*(shelf.browse(owner, "rain") for owner in ("me", "you") * 2))
    assert most == [2]


@pytest.mark.parametrize(
    ("title", "text", "rest"),
    [
        ("", "A fox\nruns.", ""),
        ("", "A fox runs. " * 9, "…A fox runs. A fox runs. A fox runs. A fox runs."),
        ("", "A fox runs…", ""),
        ("A fox", "A fox runs.", "A fox runs."),
        ("The end", "A  fox runs.", "A fox runs."),
        ("", "", ""),
    ],
)
async def test_the_opening_of_a_plot_goes_on_behind_its_title(shelf: Shelf, title: str, text: str, rest: str) -> None:
    begun = await shelf.begin("me", text, title=title)
    assert (await shelf.entry("me", begun.id)).rest == rest


async def test_plots_are_listed_newest_first_in_parts(shelf: Shelf) -> None:
    ids = [(await shelf.begin("me", f"Plot {number}")).id for number in range(5)]
    await shelf.keep("me", ids[1], "Plot 1 goes on", "model")
    order = [ids[1], ids[4], ids[3], ids[2], ids[0]]
    entries, total = await shelf.browse("me")
    assert ([entry.id for entry in entries], total) == (order, 5)
    assert (entries[0].title, entries[0].opening) == ("Plot 1 goes on", "Plot 1 goes on")
    entries, total = await shelf.browse("me", skip=1, limit=2)
    assert ([entry.id for entry in entries], total) == (order[1:3], 5)
    assert (await shelf.browse("me", skip=10**30))[0] == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", {0, 1, 2, 3, 4}),
        ("RAIN", {0}),
        ("storm", {1}),
        ("100%", {1}),
        ("0% o", {1}),
        ("%", {1}),
        ("_", {2}),
        ("under_score", {2}),
        ("it's \"so", {3}),
        ("'", {3}),
        ("\\", {3}),
        ("éTÉ", {2}),
        ("e\u0301te\u0301", {2}),
        ("ete", set()),
        ("kalt und nass", {4}),
        ("STRASSE", {4}),
        ("ﬁel", {4}),
        ("storm it", set()),
        ("a.b", set()),
        ("abandoned", set()),
        ("'; DROP TABLE plots; --", set()),
    ],
)
async def test_title_and_text_are_searched(shelf: Shelf, search: str, found: set[int]) -> None:
    ids = []
    for title, text in [
        ("", "The rain fell."),
        ("Storm", "It was 100% over. aXb"),
        ("under_score", "Un été."),
        ("", 'It\'s "so" \\ he said'),
        ("", "Kalt  und\nnass fiel Regen auf die Straße."),
    ]:
        ids.append((await shelf.begin("me", text, title=title)).id)
        await shelf.keep("me", ids[-1], text + " abandoned", "model")
        await shelf.undo("me", ids[-1])
    entries, total = await shelf.browse("me", search)
    assert {entry.id for entry in entries} == {ids[number] for number in found}
    assert total == len(found)
