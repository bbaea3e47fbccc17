"""A minute network with the names known to the passes, small enough to compute in numpy.

    input_ids ─ flat ─ lookup ─ Gemm ─ FastGelu ─ Gemm ─ last_tokens ─ head

The lookup, the activation and the second product are outputs too: `embedded`, `active` and `outer`.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.rewrite.nodes import MICROSOFT
from export.rewrite.tied import EMBEDDING
from tests.export.rows import session_on


@dataclass(frozen=True)
class Weights:
    """Matrices in the layout of the graph: embedding [vocab, width], others [inputs, outputs]."""

    embedding: np.ndarray
    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray


def random_weights(vocabulary: int = 48, width: int = 64, inner: int = 128) -> Weights:
    random = np.random.default_rng(5)
    shapes = (vocabulary, width), (width, inner), (inner,), (inner, width), (width,)
    return Weights(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def network(weights: Weights) -> OnnxModel:
    nodes = [
        helper.make_node("Reshape", ["input_ids", "row"], ["input_ids.flat"]),
        helper.make_node("Gather", [EMBEDDING, "input_ids.flat"], ["embedded"]),
        helper.make_node("Gemm", ["embedded", "first", "first_bias"], ["inner"], "first"),
        helper.make_node("FastGelu", ["inner"], ["active"], domain=MICROSOFT),
        helper.make_node("Gemm", ["active", "second", "second_bias"], ["outer"], "second"),
        helper.make_node("Gather", ["outer", "last_tokens"], ["last"]),
        helper.make_node("Transpose", [EMBEDDING], ["head"], perm=[1, 0]),
        helper.make_node("MatMul", ["last", "head"], ["logits"]),
    ]
    stored = {
        EMBEDDING: weights.embedding,
        "first": weights.first,
        "first_bias": weights.first_bias,
        "second": weights.second,
        "second_bias": weights.second_bias,
        "row": np.array([-1], np.int64),
    }
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        helper.make_tensor_value_info("last_tokens", TensorProto.INT64, ["rows"]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", None])
        for name in ("logits", "embedded", "active", "outer")
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    return OnnxModel(helper.make_model(graph, opset_imports=imports, ir_version=10))


def outputs_of(model: onnx.ModelProto, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return every output for `ids`, int64 [batch, sequence], with the logits of all tokens."""
    session = session_on(model)
    names = [value.name for value in session.get_outputs()]
    feeds = {"input_ids": ids, "last_tokens": np.arange(ids.size)}
    return dict(zip(names, session.run(names, feeds), strict=True))
