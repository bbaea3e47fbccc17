"""The outline of a tree has what is near, marks the path, and leads to everything else."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from server.shelf import Gap, Outline, Shelf, Strand, Twig, bounds
from server.shelf.models import PassageRow, PlotRow
from server.shelf.outline import EXCERPT, NEAR

pytestmark = pytest.mark.anyio


def numbers(strand: Strand) -> list[int | list[object]]:
    """Return the numbers of a strand, with the ways beside each passage as lists."""
    found: list[int | list[object]] = []
    for twig in strand.twigs:
        found.append(twig.number)
        found += [[numbers(way) if isinstance(way, Strand) else way for way in twig.ways]] if twig.ways else []
    return found


def parts(strand: Strand, depth: int = 1) -> Iterator[tuple[int, Twig | Gap]]:
    """Yield every passage and gap, with the number of strands that it lies in."""
    for twig in strand.twigs:
        yield depth, twig
        for way in twig.ways:
            if isinstance(way, Strand):
                yield from parts(way, depth + 1)
            else:
                yield depth, way


async def test_a_small_tree_is_shown_whole(shelf: Shelf) -> None:
    plot = await shelf.begin("me", "One")
    first, *_ = await shelf.offer("me", plot.id, 1, [" two", " three", " four"])
    await shelf.choose("me", plot.id, first.number)
    (aside,) = await shelf.offer("me", plot.id, 2, [" five"])
    await shelf.choose("me", plot.id, aside.number)
    await shelf.offer("me", plot.id, 5, [" six", " seven"])
    outline = await shelf.outline("me", plot.id)
    assert (outline.current, outline.current_shown, outline.earlier) == (5, True, None)
    assert numbers(outline.strand) == [0, 1, [[3], [4]], 2, 5, [[6], [7]]]
    twigs = {part.number: part for _, part in parts(outline.strand) if isinstance(part, Twig)}
    assert {number for number, twig in twigs.items() if twig.on_path} == {0, 1, 2, 5}
    assert {number for number, twig in twigs.items() if twig.unfolded} == {2, 5}
    assert [(twigs[1].words, twigs[1].beside), twigs[2].words] == [([("writer", "One")], 2), [("model", "two")]]
    await shelf.choose("me", plot.id, 4)
    strand = (await shelf.outline("me", plot.id)).strand
    assert numbers(strand) == [0, 1, [[2, 5, [[6], [7]]], [3]], 4]
    assert strand.twigs[1].beside == 2


async def test_a_passage_that_begins_like_an_older_one_is_shown_from_where_it_differs(shelf: Shelf) -> None:
    beginning = "In the harbour of a small town " * 20
    plot = await shelf.begin("me", f"{beginning}a keeper waits for a ship that never comes.")
    await shelf.keep("me", plot.id, f"{beginning}a fisherman waits for a ship that never comes.", "writer")
    await shelf.keep("me", plot.id, "Nothing in common.", "writer")
    root, last = (await shelf.outline("me", plot.id)).strand.twigs
    ways = [way.twigs[0].text for way in root.ways if isinstance(way, Strand)]
    assert ways[0] == f"{beginning[:EXCERPT].rpartition(' ')[0]}…"
    assert ways[1] == "…the harbour of a small town a fisherman waits for a ship that never comes."
    assert last.text == "Nothing in common."


async def test_a_long_passage_is_cut(shelf: Shelf) -> None:
    plot = await shelf.begin("me", "x" * EXCERPT)
    await shelf.keep("me", plot.id, "x" * EXCERPT + "y" * EXCERPT + "\n z", "model")
    _, whole, cut = (await shelf.outline("me", plot.id)).strand.twigs
    assert (whole.text, cut.text) == ("x" * EXCERPT, "y" * EXCERPT + "…")


async def test_each_word_has_its_author(shelf: Shelf) -> None:
    """Also in a passage that a change inside the text has made."""
    plot = await shelf.begin("me", "A fox jumps over\n the dog. ")
    await shelf.take("me", plot.id, "A ", "hen", " jumps over\n the dog. ")
    _, changed = (await shelf.outline("me", plot.id)).strand.twigs
    assert changed.words == [("writer", "A "), ("model", "hen"), ("writer", " jumps over the dog.")]
    await shelf.keep("me", plot.id, f"{'x' * EXCERPT} jumps over\n the dog. ", "writer")
    _, cut = (await shelf.outline("me", plot.id)).strand.twigs
    assert cut.words == [("writer", "x" * EXCERPT + "…")]


SHAPES: dict[str, Callable[[int], int]] = {
    "a line": lambda number: number - 1,
    "a star": lambda number: 1,
    "a comb": lambda number: max(number - 1 - number % 2, 1),
    "a bush": random.Random(1).randrange,
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_largest_tree_is_shown_in_parts_that_lead_everywhere(shelf: Shelf, shape: str) -> None:
    most, parents = bounds.PASSAGES, SHAPES[shape]
    plot = await shelf.begin("me", "One")
    rows = [
        {"plot_id": plot.id, "number": number, "parent": max(parents(number), 1), "text": "…", "by": "model",
         "created": datetime.now(UTC)} for number in range(2, most + 1)
    ]  # fmt: skip

    def fill(session: Session) -> None:
        session.execute(insert(PassageRow), rows)
        session.execute(update(PlotRow).values(passages=most))

    await shelf.transactions.run(fill, writes=True)
    await shelf.choose("me", plot.id, most // 2)
    outline: Outline = await shelf.outline("me", plot.id)
    found = list(parts(outline.strand))
    shown = [part.number for _, part in found if isinstance(part, Twig)]
    gaps = [part for _, part in found if isinstance(part, Gap)] + ([outline.earlier] if outline.earlier else [])
    assert len(shown) == len(set(shown)) == NEAR
    assert most // 2 in shown
    assert sum(gap.count for gap in gaps) + NEAR == most + 1
    assert max(depth for depth, _ in found) <= 10
    # Each gap leads to passages that were not shown before.
    for gap in gaps:
        around = await shelf.outline("me", plot.id, gap.number)
        near = {part.number for _, part in parts(around.strand) if isinstance(part, Twig)}
        assert gap.number in near - set(shown)
