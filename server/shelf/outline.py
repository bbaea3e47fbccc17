"""The outline of a plot's tree: the passages near one of them, arranged to be drawn.

A strand is a line of passages, each the continuation of the one before it. Where the text could go several ways, one
way stays in the strand, and the others are strands beside it. The way that stays is the path to the current passage,
else the one with the most passages: so strands lie in each other no deeper than the logarithm of their number.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.shelf.authorship import By, Run, part, shared
from server.shelf.errors import NotOnShelf
from server.shelf.models import PassageRow, PlotRow

NEAR = 100
"""Passages in an outline. The others are folded into gaps."""

EXCERPT = 160
"""Characters of a passage in an outline."""

READ = 8_000
"""Characters to read of a passage, to find where it differs from others."""

CONTEXT = 30
"""Characters before a difference, or up to a word more."""

SPACE = re.compile(r"\s+")


class Gap(Struct, frozen=True):
    """Passages that are too far away to be shown. count: their number. number: the nearest of them."""

    number: int
    count: int


class Twig(Struct, frozen=True):
    """A passage in an outline.

    words: its beginning, with an ellipsis if there is more: pieces of text, each with its author. After a change in the
    middle of a plot, the new passage begins like the old one. Then this is the part that differs, behind an ellipsis.
    on_path: it is a part of the plot's text. ways: the ways on from it, besides the next passage in its strand.
    beside: the number of these ways. unfolded: they are shown at once.
    """

    number: int
    words: list[tuple[By, str]]
    on_path: bool
    ways: "list[Strand | Gap]"
    beside: int
    unfolded: bool

    @property
    def text(self) -> str:
        """Its words, whoever wrote them."""
        return "".join(text for _, text in self.words)


class Strand(Struct, frozen=True):
    """Passages, each the continuation of the one before it."""

    twigs: list[Twig]


class Outline(Struct, frozen=True):
    """The passages near one of them.

    current: the number of the plot's last passage. current_shown: it is among these. earlier: the passages before and
    beside the first one.
    """

    strand: Strand
    current: int
    current_shown: bool
    earlier: Gap | None


def outline(session: Session, plot: PlotRow, number: int | None) -> Outline:
    """Return what is near a passage, by default the current one. Raises NotOnShelf."""
    at = plot.current if number is None else number
    found = select(PassageRow.number, PassageRow.parent).where(PassageRow.plot_id == plot.id)
    parents: dict[int, int | None] = dict(session.execute(found.order_by(PassageRow.number)).all())
    if at not in parents:
        raise NotOnShelf(f"There is no passage {at} in this plot, which has {plot.passages:,} passages.")
    return _Drawing(session, plot, parents, at).outline()


class _Drawing:
    """Arranges the passages. at: the passage in the middle."""

    def __init__(self, session: Session, plot: PlotRow, parents: dict[int, int | None], at: int) -> None:
        self.plot, self.parents, self.at = plot, parents, at
        self.children: defaultdict[int | None, list[int]] = defaultdict(list)
        for number, parent in parents.items():
            self.children[parent].append(number)
        self.path = set(self._way(plot.current))
        self.middle = set(self._way(at))
        self.shown = set(self._nearest())
        self.sizes = self._sizes(parents)
        self.shown_sizes = self._sizes(self.shown)
        beginning = func.substr(PassageRow.text, 1, READ)
        texts = select(PassageRow.number, PassageRow.by, PassageRow.runs, beginning).where(
            PassageRow.plot_id == plot.id, PassageRow.number.in_(self.shown)
        )
        self.texts: dict[int, str] = {}
        self.authors: dict[int, list[Run]] = {}
        for each, by, runs, text in session.execute(texts):
            self.texts[each], self.authors[each] = text, runs or [(len(text), by)]

    def outline(self) -> Outline:
        top = min(self.shown)  # a passage is newer than its parent, so its number is higher
        above, before = self.parents[top], len(self.parents) - self.sizes[top]
        earlier = Gap(above, before) if above is not None else None
        return Outline(self._strand(top), self.plot.current, self.plot.current in self.shown, earlier)

    def _way(self, number: int | None) -> Iterator[int]:
        while number is not None:
            yield number
            number = self.parents[number]

    def _nearest(self) -> Iterator[int]:
        """Yield the nearest passages, over the branches of the tree."""
        seen, waiting = {self.at}, deque([self.at])
        while waiting and len(seen) <= NEAR:
            number = waiting.popleft()
            beside = sorted(self.children[number], key=lambda child: abs(child - self.at))
            for each in (self.parents[number], *beside):
                if each is not None and each not in seen and len(seen) < NEAR:
                    seen.add(each)
                    waiting.append(each)
        yield from seen

    def _sizes(self, numbers: "dict[int, int | None] | set[int]") -> dict[int, int]:
        """Return the number of passages from each of these on, as far as they are among these."""
        sizes = dict.fromkeys(numbers, 1)
        for number in sorted(numbers, reverse=True):
            parent = self.parents[number]
            if parent in sizes:
                sizes[parent] += sizes[number]
        return sizes

    def _strand(self, number: int) -> Strand:
        twigs = []
        step: int | None = number
        while step is not None:
            following = self._following(step)
            twigs.append(self._twig(step, following))
            step = following
        return Strand(twigs)

    def _following(self, number: int) -> int | None:
        """Return the passage that stays in the strand after another one, if any."""
        shown = [child for child in self.children[number] if child in self.shown]
        for child in shown:
            if child in self.path:
                return child
        if not shown or number == self.plot.current:
            return None
        largest = max(shown, key=lambda child: (self.shown_sizes[child], -child))
        # Among several that lead no further, none stands out.
        return largest if len(self.children[number]) == 1 or self.shown_sizes[largest] > 1 else None

    def _twig(self, number: int, following: int | None) -> Twig:
        others = [child for child in self.children[number] if child != following]
        near = number in {self.at, self.plot.current, self.parents[self.plot.current]}
        return Twig(
            number,
            list(self._words(number)),
            number in self.path,
            ways=list(self._ways(others)),
            beside=len(others),
            unfolded=near or any(child in self.middle for child in others),
        )

    def _words(self, number: int) -> Iterator[tuple[By, str]]:
        """Yield the pieces of an excerpt, on one line, with their authors."""
        text, start = self.texts[number], self._start(number)
        shown = self._cut(text[start:])
        begin, last = 0, len(shown.rstrip())
        for length, by in part(self.authors[number], start, start + len(shown)):
            piece = SPACE.sub(" ", shown[begin : begin + length])
            before = "…" if start and not begin else ""
            after = "…" if begin + length >= len(shown) and start + len(shown) < len(text) else ""
            piece = piece.lstrip() if not begin else piece
            piece = piece.rstrip() if begin + length >= last else piece
            yield by, before + piece + after
            begin += length

    def _cut(self, text: str) -> str:
        """Return the beginning of a text, cut between two words if it can be."""
        if len(text) <= EXCERPT:
            return text
        return text[: max(text.rfind(" ", 0, EXCERPT + 1), 0) or EXCERPT]

    def _start(self, number: int) -> int:
        """Return where a passage differs from the older ones at its place, or 0 if it does at once."""
        text = self.texts[number]
        older = (each for each in self.children[self.parents[number]] if each < number and each in self.shown)
        same = max((shared(text, self.texts[each]) for each in older), default=0)
        return text.rfind(" ", 0, same - CONTEXT) + 1 if same > 2 * CONTEXT else 0

    def _ways(self, children: list[int]) -> "Iterator[Strand | Gap]":
        """Yield the strands that begin with these passages, and a gap for each row of them that is not shown."""
        hidden: list[int] = []
        for child in [*children, None]:
            if child is not None and child not in self.shown:
                hidden.append(child)
                continue
            if hidden:
                nearest = min(hidden, key=lambda number: abs(number - self.at))
                yield Gap(nearest, sum(self.sizes[number] for number in hidden))
                hidden = []
            if child is not None:
                yield self._strand(child)
