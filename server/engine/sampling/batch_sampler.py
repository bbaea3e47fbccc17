"""Batch sampling: samples the next tokens of many sequences, on several cores.

It never sorts the vocabulary: sorting 50,257 tokens for each sample would take longer than everything else but the
model. Top-k and min-p first find the lowest score to keep, and then look only at the tokens with at least this score.
Top-p draws from all of them, and checks if the drawn token is among the likeliest. If not, it draws again from the
tokens above it. The result is exact, and at the usual top-p one draw in ten needs another. Source: the rejection
sampling of FlashInfer ("Sorting-Free GPU Kernels for LLM Sampling", flashinfer.ai, 2025).
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, get_type_hints

import numpy as np

from server.cores import cores
from server.engine.arrays import Floats
from server.engine.errors import DeviceError
from server.engine.sampling.compilation import announced, cache_folder
from server.engine.sampling.kernels import guided, likeliest, log_sum_exp, penalise, sample

logger = logging.getLogger(__name__)

ATTEMPTS = 32
"""More than there are loops. Each whose cache cannot be written raises once, but is compiled then."""

MIN_ROWS_PER_THREAD = 8
"""With fewer rows for each thread, waking it costs more than it saves."""


class SamplingInput(NamedTuple):
    """The parameters for sampling one sequence's next token.

    Attributes:
        row: the index of its row of logits.
        vocab_size: sample from the ids below it.
        seed: 64 bits.
        generated: the number of tokens already sampled with the seed.
        temperature: 0 takes the likeliest token.
        top_k: 0 keeps all tokens.
        top_p: see `Sampling`.
        min_p: see `Sampling`.
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
"""`SamplingInput` as a numpy dtype: 64-bit integers, unsigned for seed and generated, and float64."""


class BatchSampler:
    """Samples the next token of many sequences, on several threads.

    The constructor compiles the loops, so no request waits for them.

    Args:
        threads: the number of threads, the caller's included; 0 takes one for each core available to the process.

    Raises:
        DeviceError: the loops cannot be compiled.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or cores()
        self._others = ThreadPoolExecutor(max(1, self._threads - 1), "plotify-sampler")
        try:
            self._compile()
        except Exception as error:  # Numba passes on any error of the file system and of pickle
            folder = cache_folder(sample)
            kept = f", or their cache in {folder} cannot be read or written; empty this folder" if folder else ""
            reason = f"{type(error).__name__}: {error}"
            raise DeviceError(f"the sampling loops cannot be compiled{kept} ({reason})") from error

    def sample(self, logits: Floats, inputs: Sequence[SamplingInput]) -> list[int]:
        """Sample a token for each input. A token is a function of its input and its row of logits alone.

        Args:
            logits: contiguous float32 [rows, vocab]. The rows in use are overwritten.
            inputs: each has its own row.

        Returns:
            The token ids. -1 for a row with NaN or +inf, or with nothing but -inf.
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

    def _compile(self) -> None:
        """Compile the loops. A cache that cannot be written, on a full disk for example, stops nothing."""
        zero, one, failed = np.zeros((1, 1), np.float32), np.float32(1), OSError()
        for attempt in range(ATTEMPTS):
            try:
                with announced(sample):
                    self.sample(zero, [SamplingInput(0, 1, 0, 0, 1.0, 0, 1.0, 0.0)])
                    likeliest(zero[0], 1, np.float32(log_sum_exp(zero[0])))
                    guided(zero[0], zero[0], one, one)
                    penalise(zero[0], np.zeros(1, np.intp), zero[0], one, one, one)
            except OSError as error:
                failed = error
                continue
            if attempt:
                logger.warning("The sampling loops are compiled, but cannot be kept for the next start: %s", failed)
            return
        raise failed

    def close(self) -> None:
        """End the threads. Sample nothing afterwards."""
        self._others.shutdown()
