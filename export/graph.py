"""The inputs and outputs of Optimum's graph and of the engine's, and a session to run the latter."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export.checkpoint import Dimensions
from export.errors import ExportError

BLOCK = 16
"""The engine reads prompts in multiples of this many tokens, and a cache has room for a multiple."""

CACHE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}

Interface = dict[str, tuple[int, list[int | None]]]
"""The ONNX element type and the shape of each input and output, by name. None marks a varying axis."""


def optimum_interface(model: Dimensions) -> Interface:
    """Return the interface of Optimum's `text-generation-with-past`."""
    tokens, whole, real = [None, None], onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    cache: list[int | None] = [None, model.heads, None, model.head_dim]
    interface: Interface = {name: (whole, list(tokens)) for name in ("input_ids", "attention_mask", "position_ids")}
    interface["logits"] = (real, [None, None, model.vocab_size])
    for side in sides(model):
        interface[f"past_key_values.{side}"] = interface[f"present.{side}"] = (real, cache)
    return interface


def engine_interface(model: Dimensions, cache_type: int = onnx.TensorProto.FLOAT) -> Interface:
    """Return the interface of the engine's graphs, for bundles of format 2 and 3.

    See `export.rewrite.attention` and `export.rewrite.head`.
    """
    whole, short = onnx.TensorProto.INT64, onnx.TensorProto.INT32
    cache: list[int | None] = [None, model.heads, None, model.head_dim]
    interface: Interface = {name: (whole, [None, None]) for name in ("input_ids", "position_ids")}
    interface |= {"seqlens_k": (short, [None]), "total_sequence_length": (short, [1]), "last_tokens": (whole, [None])}
    interface["logits"] = (onnx.TensorProto.FLOAT, [None, model.vocab_size])
    for side in sides(model):
        interface[f"past_key_values.{side}"] = interface[f"present.{side}"] = (cache_type, cache)
    return interface


def sides(model: Dimensions) -> list[str]:
    """Return the names of the caches: "0.key", "0.value", "1.key" and so on."""
    return [f"{layer}.{side}" for layer in range(model.layers) for side in ("key", "value")]


def check_interface(model: onnx.ModelProto, expected: Interface) -> None:
    """Check a graph's inputs and outputs, and that the file contains all its weights.

    Raises:
        ExportError: an input or output is not as expected, or a weight is stored elsewhere.
    """
    found = {
        value.name: (
            value.type.tensor_type.elem_type,
            [axis.dim_value if axis.HasField("dim_value") else None for axis in value.type.tensor_type.shape.dim],
        )
        for value in [*model.graph.input, *model.graph.output]
    }
    if found != expected:
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ExportError(f"the graph's inputs or outputs are not the expected ones: {', '.join(differing)}.")
    outside = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    if outside:
        raise ExportError(f"the graph keeps weights outside its file ({outside[0]} and others): it is over 2 GB.")


class Graph:
    """A session on one of the engine's ONNX files, on the CPU, with the cache of the current texts.

    Args:
        watched: names of further outputs of the file.

    Attributes:
        seen: values of the watched outputs in the last run.

    Raises:
        Exception: one of onnxruntime's own, if it cannot run the file.
    """

    def __init__(self, file: Path, model: Dimensions, watched: Sequence[str] = ()) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Spinning threads lose time to other work on the machine: beside a training run, a decode step took 240 ms with
        # spinning, and 4 ms without it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._model = model
        types = {entry.name: entry.type for entry in self._session.get_inputs()}
        self._cache_type = CACHE_TYPES[types["past_key_values.0.key"]]
        self._cache: dict[str, np.ndarray] = {}
        self._length = 0
        self._watched = watched
        self.seen: dict[str, np.ndarray] = {}

    @property
    def cache(self) -> Mapping[str, np.ndarray]:
        """Keys and values of the tokens read, [batch, heads, tokens, head_dim] for "0.key" and so on."""
        return {side: values[:, :, : self._length] for side, values in self._cache.items()}

    def logits(self, ids: np.ndarray, room: int = 0) -> np.ndarray:
        """Return the logits of `ids`, read into an empty cache.

        Args:
            ids: int64 [batch, sequence].
            room: number of tokens to follow by `step`.

        Returns:
            float32 [batch, sequence, vocab].
        """
        capacity = -(-(ids.shape[1] + room) // BLOCK) * BLOCK
        shape = (ids.shape[0], self._model.heads, capacity, self._model.head_dim)
        self._cache = {side: np.zeros(shape, self._cache_type) for side in sides(self._model)}
        self._length = 0
        return self.step(ids)

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Return the logits of `ids`, read after the tokens in the cache.

        After other tokens, several tokens at a time need a batch of one.

        Args:
            ids: int64 [batch, sequence].

        Returns:
            float32 [batch, sequence, vocab].
        """
        batch, length = ids.shape
        end = self._length + length
        positions = np.arange(self._length, end, dtype=np.int64)
        feeds = {
            "input_ids": ids,
            "position_ids": np.ascontiguousarray(np.broadcast_to(positions, ids.shape)),
            "seqlens_k": np.full(batch, end - 1, np.int32),
            "total_sequence_length": np.array([end], np.int32),
            "last_tokens": np.arange(ids.size, dtype=np.int64),
        }
        binding = self._session.io_binding()
        for name, values in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values))
        for side, values in self._cache.items():
            memory = ("cpu", 0, values.dtype.type, list(values.shape), values.ctypes.data)
            binding.bind_input(f"past_key_values.{side}", *memory)
            binding.bind_output(f"present.{side}", *memory)
        logits = np.empty((ids.size, self._model.vocab_size), np.float32)
        binding.bind_output("logits", "cpu", 0, np.float32, list(logits.shape), logits.ctypes.data)
        for name in self._watched:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        self._length = end
        if self._watched:
            self.seen = dict(zip(self._watched, binding.copy_outputs_to_cpu()[-len(self._watched) :], strict=True))
        return logits.reshape(batch, length, -1)
