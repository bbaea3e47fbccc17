"""Random edits, undos and redos give the right text and lose no passage."""

import asyncio
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from server.shelf import Shelf, Volume

TEXTS = st.text("ab é", max_size=6)


class Walk(RuleBasedStateMachine):
    """A plot, and a simple model of it.

    texts, parents: by passage. authors: a letter for each character of these texts, w or m. before, last: the targets
    of undo and redo, by passage. current: the current passage. typed_to: the place at which it takes up what is typed
    next. visited_from, visited: the targets of undo and redo after a visit.
    """

    def __init__(self, runner: asyncio.Runner, shelf: Shelf) -> None:
        super().__init__()
        self.runner, self.shelf = runner, shelf
        self.id = runner.run(shelf.begin("me")).id
        self.texts = {0: ""}
        self.authors = {0: ""}
        self.parents: dict[int, int] = {}
        self.before: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.current = 0
        self.typed_to: int | None = None
        self.visited_from: int | None = None
        self.visited: int | None = None

    def way(self, number: int) -> list[int]:
        """Return the passages from the blank page to one."""
        return [*self.way(self.parents[number]), number] if number else [0]

    def add(self, parent: int, number: int, text: str, authors: str) -> None:
        assert self.parents.setdefault(number, parent) == parent
        assert self.before.setdefault(number, parent) < number
        assert self.texts.setdefault(number, text) == text
        # Words that stand there already keep their first author.
        self.authors.setdefault(number, self.authors[parent] + authors[len(self.texts[parent]) :])

    def go(self, number: int) -> None:
        way = self.way(number)
        self.last.update(pairwise(way))
        self.current = number
        self.typed_to = self.visited_from = self.visited = None

    def put(self, number: int, start: int, end: int, words: str, author: str) -> bool:
        """Replace a part of the text. Return True if that makes a new passage."""
        old, authors, new = self.texts[self.current], self.authors[self.current], number not in self.texts
        text = old[:start] + words + old[end:]
        if text == old:
            assert number == self.current
            self.typed_to = None
            return False
        parent = [each for each in self.way(self.current) if len(self.texts[each]) <= start][-1]
        if self.texts[parent] == text:
            assert number == parent
        else:
            self.before.setdefault(number, self.current)
            self.add(parent, number, text, authors[:start] + author * len(words) + authors[end:])
        self.go(number)
        return new

    def typed(self, text: str) -> int:
        """Type until the text is this one. Return the last passage."""
        old, at = self.texts[self.current], self.typed_to
        number = self.runner.run(self.shelf.keep("me", self.id, text, "writer")).current
        if (
            at is not None
            and len(text) >= len(old)
            and text == old[:at] + text[at : len(text) - len(old) + at] + old[at:]
        ):
            assert number == self.current
            authors = self.authors[number]
            self.texts[number] = text
            self.authors[number] = authors[:at] + "w" * (len(text) - len(old)) + authors[at:]
            self.typed_to = at + len(text) - len(old)
            return number
        start = next(
            (place for place, (a, b) in enumerate(zip(old, text, strict=False)) if a != b), min(map(len, (old, text)))
        )
        same = 0
        while same < min(len(old), len(text)) - start and old[-1 - same] == text[-1 - same]:
            same += 1
        if self.put(number, start, len(old) - same, text[start : len(text) - same], "w"):
            self.typed_to = len(text) - same
        return number

    @rule(start=st.integers(0, 30), end=st.integers(0, 30), put=TEXTS)
    def edit(self, start: int, end: int, put: str) -> None:
        """Replace any part of the text, or append to it."""
        text = self.texts[self.current]
        self.typed(text[:start] + put + text[max(start, end) :])

    @rule(put=TEXTS)
    def type_on(self, put: str) -> None:
        """Type more where the last word was typed."""
        text, at = self.texts[self.current], self.typed_to
        if at is not None:
            before = self.current
            assert self.typed(text[:at] + put + text[at:]) == before

    @rule(at=st.integers(0, 30), skip=st.integers(0, 3), taken=TEXTS, typed=TEXTS)
    def take(self, at: int, skip: int, taken: str, typed: str) -> None:
        """Type something at a place, and take words of the model behind it, or in place of others."""
        old = self.texts[self.current]
        at = min(at, len(old))
        before, rest = old[:at] + typed, old[at + skip :]
        stop = len(old) - len(rest)
        if typed and not (len(before) <= stop and old.startswith(before)):
            self.typed(before + rest)  # the same as `Shelf.take` does first
            stop = len(before)
        volume = self.runner.run(self.shelf.take("me", self.id, before, taken, rest))
        self.put(volume.current, len(before), stop, taken, "m")

    @rule(data=st.data(), texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=3))
    def offer(self, data: st.DataObject, texts: list[str]) -> None:
        after = data.draw(st.sampled_from(sorted(self.texts)))
        offered = self.runner.run(self.shelf.offer("me", self.id, after, texts))
        assert [passage.text for passage in offered] == texts
        self.typed_to = None
        for passage in offered:
            text = self.texts[after] + passage.text
            self.add(after, passage.number, text, "m" * len(text))

    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.texts)))
        self.runner.run(self.shelf.choose("me", self.id, number))
        self.visit(number)

    def visit(self, number: int) -> None:
        origin = self.current if self.visited_from is None else self.visited_from
        onward = self.before.get(number) == self.current
        self.go(number)
        self.visited_from = None if onward or origin == number else origin

    @rule()
    def undo(self) -> None:
        self.runner.run(self.shelf.undo("me", self.id))
        undone = self.current
        if self.visited_from is not None:
            self.go(self.visited_from)
            self.visited = undone
        elif undone:
            self.go(self.before[undone])
            self.last[self.current] = undone

    @precondition(lambda walk: walk.visited is not None or walk.current in walk.last)
    @rule()
    def redo(self) -> None:
        self.runner.run(self.shelf.redo("me", self.id))
        if self.visited is not None:
            self.visit(self.visited)
        else:
            self.go(self.last[self.current])

    @invariant()
    def is_as_the_model_says(self) -> None:
        volume: Volume = self.runner.run(self.shelf.read("me", self.id))
        way = self.way(self.current)
        assert (volume.current, volume.text) == (self.current, self.texts[self.current])
        assert [passage.number for passage in volume.path] == way[1:]
        assert "".join(passage.text for passage in volume.path) == volume.text
        undo = self.before.get(self.current) if self.visited_from is None else self.visited_from
        redo = self.last.get(self.current) if self.visited is None else self.visited
        assert (volume.undo, volume.redo) == (undo, redo)
        assert "".join(by[0] * length for length, by in volume.authors) == self.authors[self.current]
        assert [child.number for child in volume.children] == self.children(self.current)

    def children(self, parent: int) -> list[int]:
        return sorted(number for number, above in self.parents.items() if above == parent)


def test_a_walk_through_a_plot(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        opened = Shelf.open(str(tmp_path / "shelf.sqlite"))
        shelf = runner.run(opened.__aenter__())

        class WalkHere(Walk):
            def __init__(self) -> None:
                super().__init__(runner, shelf)

        try:
            run_state_machine_as_test(
                WalkHere,
                settings=settings(
                    max_examples=25,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))
