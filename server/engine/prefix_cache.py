"""The prefix cache: keeps prompts in the KV cache for later requests of the same client."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from server.engine.model.cache import Cache

MIN_BLOCKS = 2
"""Prompts of fewer blocks are not kept: their prefill takes no longer than a look-up."""

OWNER, WIDTH = 16, 4
"""Bytes of a client and of a token in a kept prompt. Bytes compare faster than lists of tokens."""


class PrefixCache:
    """Keeps prompts in rows `first` to `first + count - 1` of a KV cache.

    Each client finds only its own prompts. Otherwise the time to the first token would tell a client the prompts of
    others. A new prompt replaces the least recently used, of any client. Only prompts are kept, never generated tokens,
    and only whole blocks. Another prefill would compute the same keys and values to the last bit, so a request gives
    the same tokens with and without a hit.
    """

    def __init__(self, cache: Cache, first: int, count: int) -> None:
        self._cache = cache
        self._block_size = cache.block_size
        self._free = list(range(first, first + count))
        self._prompts: OrderedDict[int, bytes] = OrderedDict()

    def find(self, prompt: Sequence[int], client: str) -> tuple[int, int]:
        """Return the client's row with the longest prefix of `prompt`, and the number of tokens to reuse.

        Return (0, 0) without a hit. At least the last token stays to be prefilled, because the next one is sampled from
        its logits.
        """
        wanted = _key(client, prompt)
        best, length = 0, 0
        for kept_row, kept in self._prompts.items():
            # A row is better than the best so far if it shares one block more. Most rows share nothing, and fail here.
            while (end := length + self._block_size) < len(prompt) and kept[: _size(end)] == wanted[: _size(end)]:
                best, length = kept_row, end
        if length:
            self._prompts.move_to_end(best)
        return best, length

    def store(self, prompt: Sequence[int], row: int, client: str) -> None:
        """Copy the keys and values of `prompt` from `row`. Drop the client's prompts that are a prefix of it."""
        blocks = len(prompt) // self._block_size
        if blocks < MIN_BLOCKS or not (self._free or self._prompts):
            return
        length = blocks * self._block_size
        key = _key(client, prompt[:length])
        for kept_row, kept in list(self._prompts.items()):
            if kept.startswith(key):
                self._prompts.move_to_end(kept_row)
                return
            if key.startswith(kept):
                del self._prompts[kept_row]
                self._free.append(kept_row)
        target = self._free.pop() if self._free else self._prompts.popitem(last=False)[0]
        self._cache.copy(row, target, length)
        self._prompts[target] = key

    def clear(self) -> None:
        """Drop all prompts, after an error that may have left rows half written."""
        self._free.extend(self._prompts)
        self._prompts.clear()


def _key(client: str, tokens: Sequence[int]) -> bytes:
    """Return a client and a prompt as bytes. Only keys of the same client have a common beginning."""
    return blake2b(client.encode(), digest_size=OWNER).digest() + np.array(tokens, dtype=f"i{WIDTH}").tobytes()


def _size(tokens: int) -> int:
    """Return the bytes of a key with so many tokens."""
    return OWNER + tokens * WIDTH
