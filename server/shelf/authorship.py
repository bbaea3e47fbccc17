"""Authors of the parts of a text: runs of characters, each by the writer or by the model."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

By = Literal["writer", "model"]
"""An author."""

Run = tuple[int, By]
"""A number of characters, and their author."""


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the same runs with neighbours of one author as one, without empty ones."""
    return [
        (sum(length for length, _ in group), by)
        for by, group in groupby(((length, by) for length, by in runs if length), lambda run: run[1])
    ]


def part(runs: Iterable[Run], start: int, end: int) -> list[Run]:
    """Return the runs of the characters from `start` to `end`."""
    found: list[Run] = []
    begin = 0
    for length, by in runs:
        found.append((max(min(begin + length, end) - max(begin, start), 0), by))
        begin += length
    return joined(found)


def replaced(runs: Sequence[Run], start: int, end: int, put: Run) -> list[Run]:
    """Return the runs of a text with other words in place of the characters from `start` to `end`."""
    whole = sum(length for length, _ in runs)
    return joined([*part(runs, 0, start), put, *part(runs, end, whole)])


def changed(before: str, after: str, caret: int | None = None) -> tuple[int, int]:
    """Return the numbers of characters that two texts share at the beginning, and then at the end.

    caret: the place in the second text where the writer is. If they may as well have typed the new words there, they
    did: of "a a fox" and "a fox", the first or the second "a " can be new.
    """
    start = shared(before, after)
    same = shared(before[start:][::-1], after[start:][::-1])
    if caret is not None:
        at = caret - (len(after) - same - start)
        if 0 <= at <= start and before.endswith(after[caret:]) and len(after) - caret == same + start - at:
            return at, same + start - at
    return start, same


def shared(one: str, other: str) -> int:
    """Return the number of characters at the beginning of both texts."""
    most = min(len(one), len(other))
    return bisect_left(range(1, most + 1), True, key=lambda length: one[:length] != other[:length])
