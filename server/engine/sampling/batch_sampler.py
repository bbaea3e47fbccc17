"""Samples the next token of many sequences, on several cores.

Sorting 50,257 tokens for each sample would cost more than all else beside the model, so nothing here sorts them. Top-k
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
from server.engine.sampling.kernels import Floats, cache_folder, likeliest, log_sum_exp, sample

MIN_ROWS_PER_THREAD = 8
"""Fewer rows for each thread are not worth waking it for."""


class SamplingInput(NamedTuple):
    """The parameters by which one sequence's next token is sampled.

    row: of the logits. vocab_size: sample from the ids below it. seed: 64 bits. generated: the number of tokens that
    were sampled with the seed before. temperature: 0 for the likeliest token. top_k: 0 for all. top_p, min_p: as in
    `Sampling`.
    """

    row: int
    vocab_size: int
    seed: int
    generated: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float


SAMPLING_INPUT = np.dtype(
    [(name, "u8" if name in ("seed", "generated") else kind) for name, kind in get_type_hints(SamplingInput).items()]
)
"""The same as a numpy dtype: integers of 64 bits, unsigned where their bits are meant, and float64."""


class BatchSampler:
    """Samples for many sequences on several threads.

    threads: with the caller's; 0 for one for each core that this process may use. Compiles the loops now, so that no
    request waits for them. Raises DeviceError if they cannot be compiled.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or cores()
        self._others = ThreadPoolExecutor(max(1, self._threads - 1), "plotify-sampler")
        zero = np.zeros((1, 1), np.float32)
        try:
            self.sample(zero, [SamplingInput(0, 1, 0, 0, 1.0, 0, 1.0, 0.0)])
            likeliest(zero[0], 1, np.float32(log_sum_exp(zero[0])))
        except Exception as error:  # Numba lets through whatever the file system and pickle raise
            folder = cache_folder(sample)
            kept = f", or what is kept of them in {folder} not read or written; empty it" if folder else ""
            reason = f"{type(error).__name__}: {error}"
            raise DeviceError(f"the loops that sample tokens cannot be compiled{kept} ({reason})") from error

    def sample(self, logits: Floats, inputs: Sequence[SamplingInput]) -> list[int]:
        """Samples a token for each input, from contiguous float32 logits [rows, vocab].

        Each input has a row of its own. The token is -1 for a row without a highest score: one that holds NaN or +inf,
        or nothing but -inf. A token is a function of its row and its input alone. The rows are overwritten.
        """
        entries, tokens = np.array(inputs, dtype=SAMPLING_INPUT), np.empty(len(inputs), np.intp)
        parts = max(1, min(self._threads, len(inputs) // MIN_ROWS_PER_THREAD))
        ends = [len(inputs) * part // parts for part in range(1, parts + 1)]
        others = [
            self._others.submit(sample, logits, entries[start:end], tokens[start:end]) for start, end in pairwise(ends)
        ]
        sample(logits, entries[: ends[0]], tokens[: ends[0]])
        for each in others:
            each.result()
        return tokens.tolist()

    def close(self) -> None:
        """Ends its threads; nothing is sampled afterwards."""
        self._others.shutdown()
