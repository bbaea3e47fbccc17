"""Rows of documents with and without their genres, to learn guidance from (`training/guidance.py`)."""

from functools import cached_property

import numpy as np

from training.batches import Batch, Prefixes, Rows


class GuidedRows(Rows):
    """Rows to learn guidance from.

    A batch has its rows twice: as others have them, then without genres. Each text begins at the same place in both,
    whatever the lengths of the two prefixes. Only the first half has targets.
    """

    @cached_property
    def genres(self) -> list[list[int]]:
        """The tokens of each genre at the beginning of a prefix, longest first.

        They don't depend on what follows: the tokenizer splits at the punctuation behind a genre.
        """
        return sorted(self.encode(self.prompt.genres), key=len, reverse=True)

    @cached_property
    def any_genre(self) -> list[int]:
        (tokens,) = self.encode([self.prompt.any_genre])
        return tokens

    def plain(self, prefix: list[int]) -> list[int]:
        """Return a prefix without its genre."""
        genre = next((each for each in self.genres if prefix[: len(each)] == each), None)
        return prefix if genre is None else self.any_genre + prefix[len(genre) :]

    def width(self, prefix: list[int]) -> int:
        return max(len(prefix), len(self.plain(prefix)))

    def assemble(self, rows: list[list[int]], prefixes: Prefixes) -> Batch:
        own = {number: prefixes[number] for row in rows for number in row}
        plain = {number: self.plain(prefix) for number, prefix in own.items()}
        widths = {number: self.width(prefix) for number, prefix in own.items()}
        first, second = self.laid(rows, own, widths), self.laid(rows, plain, widths)
        return Batch(
            np.concatenate([first.ids, second.ids]),
            np.concatenate([first.starts, second.starts]),
            np.concatenate([first.mask, np.zeros_like(second.mask)]),
        )
