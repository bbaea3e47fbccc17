"""The model runner: prefill and decode in ONNX Runtime, on a KV cache written in place."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from server.bundle import Bundle, BundleError, ModelShape
from server.engine.arrays import Floats
from server.engine.errors import DeviceError
from server.engine.model.cache import Cache
from server.engine.model.graph import cache_dtype

SLOWER_ON_CPU = ["SkipLayerNormFusion"]
"""Optimizers of ONNX Runtime to disable.

Its SkipLayerNormalization takes four times as long as the Add and LayerNormalization it replaces.
"""

SPINNING_MICROSECONDS = "100"
"""The time a thread of ONNX Runtime spins before it sleeps.

It is long enough to wait for the next operator, and too short to keep the core from sampling and the web server between
two steps.
"""


class Runner:
    """Runs the model on a KV cache of `rows` rows. Not thread-safe: one thread owns it.

    Attributes:
        cache: the KV cache.
        most_logits: the most tokens to return logits for from one run.
        captures: True if decodes are kept as CUDA graphs.
        arithmetic: names the bits that it computes, if a prefill gives the same ones as decodes; else empty.
        seconds: the time spent in the session so far.

    Raises:
        BundleError: the graph cannot be loaded, or differs from the manifest.
        DeviceError: there is not enough memory for the cache.
    """

    device = "cpu"
    captures = False
    arithmetic = ""

    def __init__(self, bundle: Bundle, precision: str, threads: int, rows: int) -> None:
        path, manifest = bundle.model_file(precision), bundle.manifest
        shape, block_size = manifest.model, manifest.engine.block_size
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPINNING_MICROSECONDS)
        try:
            self._session = self._open(path, options)
        except DeviceError:
            raise
        except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
            raise BundleError(f"{path}: ONNX Runtime cannot load it ({error}); export the checkpoint again") from error
        dtype = cache_dtype(self._session, bundle, precision)  # before memory is taken by the manifest's numbers
        try:
            self.cache = self._new_cache(shape, rows, dtype, block_size)
        except (MemoryError, OSError) as error:
            raise DeviceError(
                f"there is not enough memory for a cache of {rows} rows ({error}); use fewer rows"
            ) from error
        self._shape = shape
        # Room for each decoding row, and for one block of prefill_all_logits.
        self.most_logits = max(rows, block_size)
        self._logits = np.empty((self.most_logits, shape.vocab_size), np.float32)
        self._ids = np.zeros(rows, np.int64)
        self._positions = np.zeros(rows, np.int64)
        self._seqlens = np.zeros(rows, np.int32)
        self._total = np.zeros(1, np.int32)
        self._row_numbers = np.arange(rows, dtype=np.int64)
        self._addresses = {
            name: self._allocate(name, values)
            for name, values in (
                ("logits", self._logits),
                ("input_ids", self._ids),
                ("position_ids", self._positions),
                ("seqlens_k", self._seqlens),
                ("last_tokens", self._row_numbers),
            )
        }
        self._decode_bindings: dict[int, Any] = {}
        self.seconds = 0.0

    def prefill(self, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Floats:
        """Prefill a piece of each prompt, in consecutive rows of the cache.

        Args:
            row: the first of these rows.
            start: the number of tokens already in each row; must be 0 if there are several pieces.
            pieces: the token ids for each row.

        Returns:
            The logits after the last token of each piece, float32 [pieces, vocab]. The next run overwrites them.
        """
        width = min(self.cache.whole_blocks(max(map(len, pieces))), self.cache.capacity - start)
        wanted = np.array([line * width + len(piece) - 1 for line, piece in enumerate(pieces)])
        return self._run_prefill(row, start, pieces, width, wanted)

    def prefill_all_logits(self, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Iterator[list[Floats]]:
        """Prefill a piece of each prompt, and yield the logits after each token.

        Each run covers as many whole blocks as there is room for logits. Whole blocks make the model's head, too, use
        the same kernels in whatever pieces the prompt is prefilled, and among whatever others.

        Args:
            row: the row of the first prompt; the others are in the next rows.
            start: the number of tokens already in each row; must be 0 if there are several pieces.
            pieces: the token ids for each row. Several pieces, padded to whole blocks, have `most_logits` tokens at
                most.

        Yields:
            The logits for each row, float32 [tokens, vocab]. The next run overwrites them.
        """
        block_size = self.cache.block_size
        most = self.most_logits // len(pieces) // block_size * block_size
        for begin in range(0, max(map(len, pieces)), most):
            parts = [piece[begin : begin + most] for piece in pieces]
            width = self.cache.whole_blocks(max(map(len, parts)))
            logits = self._run_prefill(row, start + begin, parts, width, np.arange(len(parts) * width))
            yield [logits[line * width :][: len(part)] for line, part in enumerate(parts)]

    def _run_prefill(
        self, row: int, start: int, pieces: Sequence[Sequence[int]], width: int, wanted: npt.NDArray[np.int64]
    ) -> Floats:
        """Prefill pieces, padded to `width` tokens.

        Args:
            wanted: the tokens to return logits for, as indices into the flattened batch.

        Returns:
            The logits, float32 [len(wanted), vocab].
        """
        ids = np.zeros((len(pieces), width), np.int64)
        for line, piece in zip(ids, pieces, strict=True):
            line[: len(piece)] = piece
        # Padding is computed like tokens. Its keys and values land behind the prompt, and the next tokens overwrite
        # them before anything reads them.
        end = start + width
        positions = np.minimum(np.arange(start, end), self._shape.context - 1)
        inputs = {
            "input_ids": ids,
            "position_ids": np.broadcast_to(positions, ids.shape),
            "seqlens_k": np.full(len(pieces), end - 1, np.int32),  # one less than the keys, by its definition
            "total_sequence_length": np.array([end], np.int32),
            "last_tokens": wanted,
        }
        binding = self._bind(row, len(pieces), len(wanted))
        for name, values in inputs.items():
            self._bind_input(binding, name, np.ascontiguousarray(values))
        return self._run(binding, len(wanted))

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Compute one token of each of the first rows.

        Args:
            tokens: the token id for each row.
            lengths: the number of tokens already in each row.

        Returns:
            The logits after these tokens, float32 [rows, vocab]. The next run overwrites them.
        """
        count = len(tokens)
        self._ids[:count] = tokens
        self._positions[:count] = self._seqlens[:count] = lengths
        self._total[0] = self._seqlens[:count].max() + 1
        return self._run_decode(count)

    def _open(self, path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
        return ort.InferenceSession(path, options, ["CPUExecutionProvider"], disabled_optimizers=SLOWER_ON_CPU)

    def _new_cache(self, shape: ModelShape, rows: int, dtype: npt.DTypeLike, block_size: int) -> Cache:
        return Cache(shape, rows, dtype, block_size)

    def _allocate(self, name: str, values: npt.NDArray[Any]) -> int:
        """Return the address in the device's memory where decodes read or write `values`."""
        return int(values.ctypes.data)

    def _bind_input(self, binding: Any, name: str, values: npt.NDArray[Any]) -> None:
        """Bind an input of a prefill."""
        binding.bind_cpu_input(name, values)

    def _run(self, binding: Any, count: int, options: ort.RunOptions | None = None) -> Floats:
        start = time.perf_counter()
        self._session.run_with_iobinding(binding, options)
        logits = self._fetch_logits(binding, count)
        self.seconds += time.perf_counter() - start
        return logits

    def _run_decode(self, count: int) -> Floats:
        return self._run(self._decode_binding(count), count)

    def _fetch_logits(self, binding: Any, count: int) -> Floats:
        return self._logits[:count]

    def _decode_binding(self, count: int) -> Any:
        """Return the binding for a decode of `count` rows; make it on first use."""
        if count not in self._decode_bindings:
            self._decode_bindings[count] = binding = self._bind(0, count, count)
            for name, values, shape in (
                ("input_ids", self._ids, [count, 1]),
                ("position_ids", self._positions, [count, 1]),
                ("seqlens_k", self._seqlens, [count]),
                ("last_tokens", self._row_numbers, [count]),
            ):
                binding.bind_input(name, self.device, 0, values.dtype.type, shape, self._addresses[name])
            # GroupQueryAttention reads this input on the host, on every device.
            total = self._total
            binding.bind_input("total_sequence_length", "cpu", 0, total.dtype.type, [1], total.ctypes.data)
        return self._decode_bindings[count]

    def _bind(self, row: int, count: int, outputs: int) -> Any:
        """Return a binding of `count` cache rows from `row` on, and of `outputs` rows of logits.

        Past and present are bound to the same memory, so new keys and values are written in place.
        """
        binding, shape = self._session.io_binding(), self._shape
        logits = [outputs, shape.vocab_size]
        binding.bind_output("logits", self.device, 0, np.float32, logits, self._addresses["logits"])
        rows = [count, shape.heads, self.cache.capacity, shape.head_dim]
        for side in self.cache.sides:
            memory = (self.device, 0, self.cache.dtype.type, rows, self.cache.address(side, row))
            binding.bind_input(f"past_key_values.{side.name}", *memory)
            binding.bind_output(f"present.{side.name}", *memory)
        return binding
