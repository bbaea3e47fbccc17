"""Finding out whether a model repeats what it has read."""

from collections.abc import Iterable, Sequence

from export.diversity import words


def longest_shared_run(read: Iterable[str], written: Iterable[str]) -> list[str]:
    """Return the longest run of words that a written text shares with one that was read.

    Words are compared in lower case, without punctuation. The run is empty if no word is shared.
    """
    sources = [words(text) for text in read]
    samples = [words(text) for text in written]
    longest: list[str] = []
    while True:
        length = len(longest) + 1
        known = {run for source in sources for run in runs(source, length)}
        shared = next((run for sample in samples for run in runs(sample, length) if run in known), None)
        if shared is None:
            return longest
        longest = list(shared)


def runs(sequence: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    """Return all runs of `length` words."""
    return zip(*(sequence[start:] for start in range(length)), strict=False)
