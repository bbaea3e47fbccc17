"""Running graphs on rows of different lengths.

Optimum's graph reads one text at a time. The engine's graphs read rows as the engine does.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime

from export.checkpoint import Dimensions
from export.graph import CACHE_TYPES, sides

STALE = {np.float32: np.nan, np.float16: np.nan, np.int8: 127}
"""The contents of a cache before anything is written. None of it may be read."""


def session_on(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def random_ids(dimensions: Dimensions, *lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Return texts of `lengths` tokens, int64, without an end of text."""
    random = np.random.default_rng(seed)
    return [random.integers(1, dimensions.vocab_size, length) for length in lengths]


class Optimum:
    """Optimum's graph, for comparison: it reads each text whole, alone and from an empty cache."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = session_on(model)
        self._empty = {
            value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            for value in self._session.get_inputs()
            if value.name.startswith("past")
        }

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Return logits, float32 [tokens, vocab], of `ids`, int64 [tokens]."""
        feeds = {
            "input_ids": ids[None],
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids))[None],
        }
        logits: np.ndarray = self._session.run(["logits"], feeds | self._empty)[0][0]
        return logits


class Rows:
    """A rewritten graph with a cache written in place: a row for each text, each of its own length."""

    def __init__(self, model: onnx.ModelProto, dimensions: Dimensions, rows: int, capacity: int = 128) -> None:
        self._session = session_on(model)
        self._vocabulary = dimensions.vocab_size
        inputs = {value.name: value.type for value in self._session.get_inputs()}
        self._asks = "last_tokens" in inputs
        kind = CACHE_TYPES[inputs["past_key_values.0.key"]]
        shape = (rows, dimensions.heads, capacity, dimensions.head_dim)
        self.cache = {side: np.full(shape, STALE[kind], kind) for side in sides(dimensions)}
        self.lengths: np.ndarray = np.zeros(rows, np.int64)

    def read(self, texts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return logits, float32 [tokens, vocab], of each row's next tokens.

        Shorter rows are padded on the right.
        """
        width = max(map(len, texts))
        real = np.array([[index < len(text) for index in range(width)] for text in texts])
        ids = np.zeros(real.shape, np.int64)
        ids[real] = np.concatenate(texts)
        ends = self.lengths + np.array([len(text) for text in texts])
        asked = np.flatnonzero(real)
        feeds = {
            "input_ids": ids,
            "position_ids": self.lengths[:, None] + np.arange(width) * real,
            "seqlens_k": (ends - 1).astype(np.int32),
            "total_sequence_length": np.array([ends.max()], np.int32),
        }
        if self._asks:
            feeds["last_tokens"] = asked
        binding = self._session.io_binding()
        for name, values in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values))
        for side, values in self.cache.items():
            memory = ("cpu", 0, values.dtype.type, list(values.shape), values.ctypes.data)
            binding.bind_input(f"past_key_values.{side}", *memory)
            binding.bind_output(f"present.{side}", *memory)
        binding.bind_output("logits")
        self._session.run_with_iobinding(binding)
        self.lengths = ends
        logits = binding.copy_outputs_to_cpu()[-1].reshape(-1, self._vocabulary)
        if not self._asks:
            logits = logits[asked]
        return np.split(logits, np.cumsum([len(text) for text in texts])[:-1])


def furthest(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference between logits, in standard deviations of the expected ones."""
    deviation = np.concatenate(expected).std()
    return max(float(np.abs(one - other).max() / deviation) for one, other in zip(found, expected, strict=True))
