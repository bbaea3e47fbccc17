"""Drawing the next token of many sequences, on several cores.

Sorting 50,257 tokens for each draw would cost more than all else beside the model, so nothing here sorts them. Top-k
and min-p first find a score that every kept token reaches, and look only at the tokens that do. Top-p draws from all of
them and asks of the token drawn whether it belongs to the likeliest; if it does not, the next is drawn from those above
it. That is exact, and at the usual top-p one round in ten needs another (the rejection sampling of FlashInfer:
"Sorting-Free GPU Kernels for LLM Sampling", flashinfer.ai, 2025).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, get_type_hints

import numpy as np

from server.cores import cores
from server.engine.errors import DeviceError
from server.engine.sampling.kernels import Floats, draw, kept_in, likeliest, log_sum_exp

LEAST_ROWS = 8
"""Rows that are worth waking another thread for."""


class Turn(NamedTuple):
    """What is to be drawn for one sequence.

    row: of the logits; size: how many ids, from 0 on, there are to draw from. seed: 64 bits; drawn: how many tokens
    were drawn with it before. temperature: 0 for the likeliest token. top_k: 0 for all. top_p, min_p: as in `Sampling`.
    """

    row: int
    size: int
    seed: int
    drawn: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float


TURN = np.dtype([(name, "u8" if name in ("seed", "drawn") else kind) for name, kind in get_type_hints(Turn).items()])
"""A turn as numpy has it: whole numbers of 64 bits, without a sign where their bits are meant, and float64."""


class Drawing:
    """Draws on so many threads, the caller's among them; 0 for one for each core that this process may use.

    Compiles the loops now, so that no request waits for them. Raises DeviceError where that cannot be done.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or cores()
        self._others = ThreadPoolExecutor(max(1, self._threads - 1), "plotify-drawing")
        zero = np.zeros((1, 1), np.float32)
        try:
            self.draw(zero, [Turn(0, 1, 0, 0, 1.0, 0, 1.0, 0.0)])
            likeliest(zero[0], 1, np.float32(log_sum_exp(zero[0])))
        except Exception as error:  # Numba lets through whatever the file system and pickle raise
            folder = kept_in(draw)
            kept = f", or what is kept of them in {folder} not read or written; empty it" if folder else ""
            reason = f"{type(error).__name__}: {error}"
            raise DeviceError(f"the loops that draw tokens cannot be compiled{kept} ({reason})") from error

    def draw(self, logits: Floats, turns: Sequence[Turn]) -> list[int]:
        """A token for each turn, from contiguous float32 logits [rows, vocab]; each row is for one turn.

        -1 where a row has no highest score: it holds NaN or +inf, or nothing but -inf. A token is a function of its
        row and its turn alone. What is left in the rows has no meaning.
        """
        entries, tokens = np.array(turns, dtype=TURN), np.empty(len(turns), np.intp)
        parts = max(1, min(self._threads, len(turns) // LEAST_ROWS))
        ends = [len(turns) * part // parts for part in range(1, parts + 1)]
        others = [
            self._others.submit(draw, logits, entries[start:end], tokens[start:end]) for start, end in pairwise(ends)
        ]
        draw(logits, entries[: ends[0]], tokens[: ends[0]])
        for each in others:
            each.result()
        return tokens.tolist()

    def close(self) -> None:
        """Ends its threads; nothing is drawn afterwards."""
        self._others.shutdown()
