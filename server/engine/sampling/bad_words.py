"""Words that are not to be written, as the tokens that spell them."""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


class BadWords:
    """The last token of a word is not drawn where all of its others just were, as in vLLM's `bad_words`.

    spellings: the token ids of each; none is empty. A word that the prompt has begun can still be ended.
    """

    def __init__(self, spellings: Iterable[Sequence[int]]) -> None:
        self._spellings = [(tuple(beginning), last) for *beginning, last in spellings]
        self._drawn: deque[int] = deque(maxlen=max((len(beginning) for beginning, _ in self._spellings), default=0))

    def add(self, token: int) -> None:
        """Takes note of a token that was drawn."""
        self._drawn.append(token)

    def exclude(self, scores: npt.NDArray[np.float32], lowest: np.float32) -> None:
        """Gives the tokens that would end a word the lowest score, in float32 scores [vocab]."""
        drawn = tuple(self._drawn)
        for beginning, last in self._spellings:
            if drawn[len(drawn) - len(beginning) :] == beginning:
                scores[last] = lowest
