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

    texts, parents: by passage. before, last: the targets of undo and redo, by passage. current: the current passage.
    growing: it takes up what is typed next.
    """

    def __init__(self, runner: asyncio.Runner, shelf: Shelf) -> None:
        super().__init__()
        self.runner, self.shelf = runner, shelf
        self.id = runner.run(shelf.begin("me")).id
        self.texts = {0: ""}
        self.parents: dict[int, int] = {}
        self.before: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.current = 0
        self.growing = False

    def way(self, number: int) -> list[int]:
        """Return the passages from the blank page to one."""
        return [*self.way(self.parents[number]), number] if number else [0]

    def add(self, parent: int, number: int, text: str) -> None:
        assert self.parents.setdefault(number, parent) == parent
        assert self.before.setdefault(number, parent) < number
        assert self.texts.setdefault(number, text) == text

    def go(self, number: int) -> None:
        way = self.way(number)
        self.last.update(pairwise(way))
        self.current = number
        self.growing = False

    @rule(start=st.integers(0, 30), end=st.integers(0, 30), put=TEXTS)
    def edit(self, start: int, end: int, put: str) -> None:
        """Replace any part of the text, or append to it."""
        text = self.texts[self.current]
        text = text[:start] + put + text[max(start, end) :]
        kept = self.runner.run(self.shelf.keep("me", self.id, text, "writer"))
        if self.growing and text.startswith(self.texts[self.current]):
            assert kept.number == self.current
            self.texts[self.current] = text
            return
        new = kept.number not in self.texts
        prefixes = [number for number in self.way(self.current) if text.startswith(self.texts[number])]
        if self.texts[prefixes[-1]] == text:
            assert kept.number == prefixes[-1]
        else:
            assert self.texts[prefixes[-1]] + kept.text == text
            self.before.setdefault(kept.number, self.current)
            self.add(prefixes[-1], kept.number, text)
        self.go(kept.number)
        self.growing = new

    @rule(data=st.data(), texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=3))
    def offer(self, data: st.DataObject, texts: list[str]) -> None:
        after = data.draw(st.sampled_from(sorted(self.texts)))
        offered = self.runner.run(self.shelf.offer("me", self.id, after, texts))
        assert [passage.text for passage in offered] == texts
        self.growing = False
        for passage in offered:
            self.add(after, passage.number, self.texts[after] + passage.text)

    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.texts)))
        self.runner.run(self.shelf.choose("me", self.id, number))
        self.go(number)

    @rule()
    def undo(self) -> None:
        self.runner.run(self.shelf.undo("me", self.id))
        undone = self.current
        self.go(self.before.get(undone, 0))
        if undone:
            self.last[self.current] = undone

    @precondition(lambda walk: walk.current in walk.last)
    @rule()
    def redo(self) -> None:
        self.runner.run(self.shelf.redo("me", self.id))
        self.current = self.last[self.current]
        self.growing = False

    @invariant()
    def is_as_the_model_says(self) -> None:
        volume: Volume = self.runner.run(self.shelf.read("me", self.id))
        way = self.way(self.current)
        assert (volume.current, volume.text) == (self.current, self.texts[self.current])
        assert [step.passage.number for step in volume.path] == way[1:]
        assert "".join(step.passage.text for step in volume.path) == volume.text
        assert (volume.undo, volume.redo) == (self.before.get(self.current), self.last.get(self.current))
        beside = [[other.number for other in step.siblings] for step in volume.path]
        assert beside == [[other for other in self.children(self.parents[step]) if other != step] for step in way[1:]]
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
