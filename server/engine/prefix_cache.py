"""Prompts that were read before, kept for those who ask again or go on from there."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from server.engine.model.cache import BLOCK, Cache

LEAST = 2 * BLOCK
"""A prompt of fewer tokens is read again as quickly as it is looked up."""

WIDTH = 4
"""Bytes a token: a prompt is compared with each that is kept, and memory is compared soonest."""


class Prefixes:
    """The prompts in rows `first` to `first + count - 1` of a cache; the one unused for longest makes room.

    Only what was read as a prompt is kept, in whole blocks: its keys and values are, to the last bit, those of reading
    it again, so a request gives the same tokens whether or not it found a prefix.
    """

    def __init__(self, cache: Cache, first: int, count: int) -> None:
        self._cache = cache
        self._free = list(range(first, first + count))
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def find(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The row that shares the longest beginning with `prompt`, and how many tokens of it are of use; (0, 0): none.

        At least the last token is left to be read, since its logits are what the reading is for.
        """
        wanted = _as_bytes(prompt)
        best, length = 0, 0
        for row, kept in self._kept.items():
            # Most share nothing. One more block at a time for the others: a few comparisons, each of memory as it is.
            while (end := length + BLOCK) < len(prompt) and kept[: end * WIDTH] == wanted[: end * WIDTH]:
                best, length = row, end
        if length:
            self._kept.move_to_end(best)
        return best, length

    def keep(self, prompt: Sequence[int], row: int) -> None:
        """Copies what `row` holds of `prompt`, all of it read, in place of what that makes superfluous."""
        length = len(prompt) // BLOCK * BLOCK
        if length < LEAST or not (self._free or self._kept):
            return
        tokens = _as_bytes(prompt[:length])
        for kept, other in list(self._kept.items()):
            if other.startswith(tokens):
                self._kept.move_to_end(kept)
                return
            if tokens.startswith(other):
                del self._kept[kept]
                self._free.append(kept)
        target = self._free.pop() if self._free else self._kept.popitem(last=False)[0]
        self._cache.copy(row, target, length)
        self._kept[target] = tokens

    def clear(self) -> None:
        """Forgets everything, after an error that may have left rows half written."""
        self._free.extend(self._kept)
        self._kept.clear()


def _as_bytes(tokens: Sequence[int]) -> bytes:
    return np.array(tokens, dtype=f"i{WIDTH}").tobytes()
