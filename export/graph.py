"""ONNX graphs of a bundle: what Optimum must give, what the engine reads, and running the latter."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from export.checkpoint import Dimensions
from export.errors import ExportError

BLOCK = 16
"""The engine reads prompts in multiples of so many tokens; a cache has room for whole ones."""

CACHE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}

Interface = dict[str, tuple[int, list[int | None]]]
"""Name of each input and output: its ONNX element type and its shape (None: varies)."""


def optimum_interface(model: Dimensions) -> Interface:
    """Of Optimum's `text-generation-with-past`."""
    tokens, whole, real = [None, None], onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    cache: list[int | None] = [None, model.heads, None, model.head_dim]
    interface: Interface = {name: (whole, list(tokens)) for name in ("input_ids", "attention_mask", "position_ids")}
    interface["logits"] = (real, [None, None, model.vocab_size])
    for side in sides(model):
        interface[f"past_key_values.{side}"] = interface[f"present.{side}"] = (real, cache)
    return interface


def engine_interface(model: Dimensions, cache_type: int = onnx.TensorProto.FLOAT) -> Interface:
    """Of format 2, which the engine reads: see `export.rewrite.attention` and `export.rewrite.head`."""
    whole, short = onnx.TensorProto.INT64, onnx.TensorProto.INT32
    cache: list[int | None] = [None, model.heads, None, model.head_dim]
    interface: Interface = {name: (whole, [None, None]) for name in ("input_ids", "position_ids")}
    interface |= {"seqlens_k": (short, [None]), "total_sequence_length": (short, [1]), "last_tokens": (whole, [None])}
    interface["logits"] = (onnx.TensorProto.FLOAT, [None, model.vocab_size])
    for side in sides(model):
        interface[f"past_key_values.{side}"] = interface[f"present.{side}"] = (cache_type, cache)
    return interface


def sides(model: Dimensions) -> list[str]:
    """The names of the caches: "0.key", "0.value", "1.key" and so on."""
    return [f"{layer}.{side}" for layer in range(model.layers) for side in ("key", "value")]


def check_interface(model: onnx.ModelProto, expected: Interface) -> None:
    """Raises ExportError unless inputs and outputs are as expected and all weights lie inside the file."""
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
    """A session on an ONNX file of format 2, on the CPU, and the cache of the texts that it is on.

    watched: further outputs of the file, of which `seen` holds the values of the last run.

    Raises onnxruntime's own errors when the file is not a graph that it can run.
    """

    def __init__(self, file: Path, model: Dimensions, watched: Sequence[str] = ()) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin for work lose it to whoever else computes on this machine, a training run for one: without
        # spinning a decode step beside one took 4 ms rather than 240.
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
        """Keys and values of what was read: for "0.key" and so on [batch, heads, tokens, head_dim]."""
        return {side: values[:, :, : self._length] for side, values in self._cache.items()}

    def logits(self, ids: np.ndarray, room: int = 0) -> np.ndarray:
        """Logits, float32 [batch, sequence, vocab], of `ids`, int64 [batch, sequence], from an empty cache.

        room: how many tokens will follow by `step`.
        """
        capacity = -(-(ids.shape[1] + room) // BLOCK) * BLOCK
        shape = (ids.shape[0], self._model.heads, capacity, self._model.head_dim)
        self._cache = {side: np.zeros(shape, self._cache_type) for side in sides(self._model)}
        self._length = 0
        return self.step(ids)

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Logits, float32 [batch, sequence, vocab], of `ids`, int64 [batch, sequence], behind what was read before.

        More than one token at a time behind others only for a batch of one.
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
