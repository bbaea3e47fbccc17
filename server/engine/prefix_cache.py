"""The prefix cache: prompts stay in the KV cache for the next request that begins like them."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from server.engine.model.cache import BLOCK, Cache

MIN_TOKENS = 2 * BLOCK
"""Prefill of fewer tokens takes no longer than a look-up."""

WIDTH = 4
"""Bytes of a token in a cached prompt: comparing memory is the fastest way to compare prompts."""


class PrefixCache:
    """The prompts in rows `first` to `first + count - 1` of a KV cache.

    The least recently used one makes room. Only prompts are stored, in whole blocks: their keys and values are, to the
    last bit, those of another prefill, so a request gives the same tokens with and without a hit.
    """

    def __init__(self, cache: Cache, first: int, count: int) -> None:
        self._cache = cache
        self._free = list(range(first, first + count))
        self._prompts: OrderedDict[int, bytes] = OrderedDict()

    def find(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The row with the longest prefix of `prompt`, and its tokens to reuse; (0, 0) without a hit.

        At least the last token is left to prefill, since the next one is sampled from its logits.
        """
        wanted = _as_bytes(prompt)
        best, length = 0, 0
        for row, cached in self._prompts.items():
            # Most share nothing. One more block at a time for the others: a few comparisons, each of memory as it is.
            while (end := length + BLOCK) < len(prompt) and cached[: end * WIDTH] == wanted[: end * WIDTH]:
                best, length = row, end
        if length:
            self._prompts.move_to_end(best)
        return best, length

    def store(self, prompt: Sequence[int], row: int) -> None:
        """Copies the keys and values of `prompt` from `row`, and drops prompts that are a prefix of it."""
        length = len(prompt) // BLOCK * BLOCK
        if length < MIN_TOKENS or not (self._free or self._prompts):
            return
        tokens = _as_bytes(prompt[:length])
        for cached, other in list(self._prompts.items()):
            if other.startswith(tokens):
                self._prompts.move_to_end(cached)
                return
            if tokens.startswith(other):
                del self._prompts[cached]
                self._free.append(cached)
        target = self._free.pop() if self._free else self._prompts.popitem(last=False)[0]
        self._cache.copy(row, target, length)
        self._prompts[target] = tokens

    def clear(self) -> None:
        """Drops all prompts, after an error that may have left rows half written."""
        self._free.extend(self._prompts)
        self._prompts.clear()


def _as_bytes(tokens: Sequence[int]) -> bytes:
    return np.array(tokens, dtype=f"i{WIDTH}").tobytes()
