"""Bad words: keep words out of a text by excluding the last token of their spellings."""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


class BadWords:
    """Excludes the last token of a word right after all its other tokens, as vLLM's `bad_words` does.

    A word begun in the prompt can still be completed.

    Args:
        spellings: the token ids of each word; none is empty.
    """

    def __init__(self, spellings: Iterable[Sequence[int]]) -> None:
        self._spellings = [(tuple(beginning), last) for *beginning, last in spellings]
        self._drawn: deque[int] = deque(maxlen=max((len(beginning) for beginning, _ in self._spellings), default=0))

    def add(self, token: int) -> None:
        """Record a drawn token."""
        self._drawn.append(token)

    def exclude(self, scores: npt.NDArray[np.float32], lowest: np.float32) -> None:
        """Set the scores, float32 [vocab], of tokens that would complete a word to `lowest`."""
        drawn = tuple(self._drawn)
        for beginning, last in self._spellings:
            if drawn[len(drawn) - len(beginning) :] == beginning:
                scores[last] = lowest
