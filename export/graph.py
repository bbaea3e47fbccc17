"""The ONNX graph of a bundle's format 1: its interface, its tied embedding, and running it with a KV cache."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from export.checkpoint import Dimensions
from export.errors import ExportError

Cache = dict[str, np.ndarray]
"""past_key_values.{layer}.key and .value, float32 [batch, heads, past, head_dim]."""


def expected_interface(model: Dimensions) -> dict[str, tuple[int, list[int | None]]]:
    """Name of each input and output: its ONNX element type and its shape (None: varies)."""
    tokens, whole, real = [None, None], onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    cache: list[int | None] = [None, model.heads, None, model.head_dim]
    interface: dict[str, tuple[int, list[int | None]]] = {
        name: (whole, list(tokens)) for name in ("input_ids", "attention_mask", "position_ids")
    }
    interface["logits"] = (real, [None, None, model.vocab_size])
    for layer in range(model.layers):
        for side in ("key", "value"):
            interface[f"past_key_values.{layer}.{side}"] = interface[f"present.{layer}.{side}"] = (real, cache)
    return interface


def check_graph(model: onnx.ModelProto, dimensions: Dimensions) -> None:
    """Raises ExportError unless inputs and outputs are those of format 1 and all weights lie inside the file."""
    found = {
        value.name: (
            value.type.tensor_type.elem_type,
            [axis.dim_value if axis.HasField("dim_value") else None for axis in value.type.tensor_type.shape.dim],
        )
        for value in [*model.graph.input, *model.graph.output]
    }
    expected = expected_interface(dimensions)
    if found != expected:
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ExportError(f"Optimum's graph differs from format 1 in its inputs or outputs: {', '.join(differing)}.")
    outside = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    if outside:
        raise ExportError(f"the graph keeps weights outside its file ({outside[0]} and others): it is over 2 GB.")


def share_tied_embedding(model: onnx.ModelProto) -> None:
    """Replaces the language-model head's copy of the token embedding by a Transpose of the embedding itself, in place.

    The exporter folds that transpose into a second [width, vocab] matrix. ONNX Runtime folds it too, when it loads the
    graph, so sharing costs nothing there and nearly halves the file of a small model. Raises ExportError when the head
    is not the embedding transposed.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    head = next((node for node in model.graph.node if "logits" in node.output), None)
    embedding = weights.get("transformer.wte.weight")
    if head is None or head.op_type != "MatMul" or embedding is None or head.input[1] not in weights:
        raise ExportError("the graph's head is not a MatMul by a stored matrix: Optimum's export has changed its form.")
    copy = weights[head.input[1]]
    if not np.array_equal(numpy_helper.to_array(copy), numpy_helper.to_array(embedding).T):
        raise ExportError("the graph's head is not its token embedding transposed: the weights are not tied.")
    transpose = onnx.helper.make_node("Transpose", [embedding.name], [copy.name], "lm_head/Transpose", perm=[1, 0])
    model.graph.node.insert(0, transpose)
    model.graph.initializer.remove(copy)


class Graph:
    """A session on an ONNX file of format 1, on the CPU.

    Raises onnxruntime's own errors when the file is not a graph that it can run.
    """

    def __init__(self, file: Path, model: Dimensions) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin for work lose it to whoever else computes on this machine, a training run for one: without
        # spinning a decode step beside one took 4 ms rather than 240.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._model = model
        self._cache_names = [f"{layer}.{side}" for layer in range(model.layers) for side in ("key", "value")]

    def step(self, ids: np.ndarray, past: Cache | None = None) -> tuple[np.ndarray, Cache]:
        """Feeds `ids`, int64 [batch, sequence], behind `past`, the cache of what came before (None: nothing did).

        Returns the logits, float32 [batch, sequence, vocab], and the cache that now includes `ids`.
        """
        logits, *present = self._session.run(None, self._feeds(ids, past))
        return logits, {f"past_key_values.{name}": side for name, side in zip(self._cache_names, present, strict=True)}

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Logits, float32 [batch, sequence, vocab], of `ids`, int64 [batch, sequence], from an empty cache."""
        logits: np.ndarray = self._session.run(["logits"], self._feeds(ids, None))[0]
        return logits

    def _feeds(self, ids: np.ndarray, past: Cache | None) -> dict[str, np.ndarray]:
        batch, length = ids.shape
        if past is None:
            empty = np.zeros((batch, self._model.heads, 0, self._model.head_dim), np.float32)
            past = {f"past_key_values.{name}": empty for name in self._cache_names}
        start = next(iter(past.values())).shape[2]
        positions = np.broadcast_to(np.arange(start, start + length, dtype=np.int64), ids.shape)
        mask = np.ones((batch, start + length), np.int64)
        return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **past}
