"""Lists of plots have an order, and leave out plots in which nothing was written."""

import pytest

from server.shelf import SORTS, Shelf, Sort

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
