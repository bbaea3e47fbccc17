"""Attention with a KV cache written in place: `com.microsoft.GroupQueryAttention`.

Optimum's graph concatenates past and new keys into a new tensor at every step, and needs left padding for rows of
different lengths. GroupQueryAttention, with past and present bound to one buffer, writes new keys and values where they
belong. It reads as much of each row as `seqlens_k` says.
"""

import numpy as np
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.rewrite.nodes import MICROSOFT, add, constant, reader_of, tidy, writer_of


def cache_in_place(graph: OnnxModel, model: Dimensions) -> None:
    """Replace the nodes between the two attention products of each layer, in a graph with flat tokens.

    The graph then has these inputs:

    - `input_ids` and `position_ids`, int64 [batch, sequence].
    - `seqlens_k`, int32 [batch]: the number of tokens in each row of the cache after this run, minus one.
    - `total_sequence_length`, int32 [1]: the number of tokens in the longest row.
    - `past_key_values.N.key` and `.value`, float32 [batch, heads, capacity, head_dim]. Bind them to the same memory as
      the outputs `present.N.key` and `.value`.

    Raises:
        ExportError: the graph is not Optimum's GPT-2.
    """
    width = model.heads * model.head_dim
    shape = add(graph, "Shape", ["input_ids"], "input_ids.shape")
    split = add(
        graph, "Concat", [shape, constant(graph, "qkv.width", np.array([3 * width], np.int64))], "qkv.shape", axis=0
    )
    flat = constant(graph, "flat.shape", np.array([-1, width], np.int64))
    for layer in range(model.layers):
        sides = [f"{layer}.{side}" for side in ("key", "value")]
        into = reader_of(graph, f"transformer.h.{layer}.attn.c_attn.weight")
        out_of = reader_of(graph, f"transformer.h.{layer}.attn.c_proj.weight")
        for side in sides:
            graph.remove_node(writer_of(graph, f"present.{side}", "Concat"))
        name = f"transformer.h.{layer}.attn"
        packed = add(graph, "Reshape", [into.output[0], split], f"{name}.qkv")
        graph.add_node(
            helper.make_node(
                "GroupQueryAttention",
                [packed, "", "", *(f"past_key_values.{side}" for side in sides), "seqlens_k", "total_sequence_length"],
                [f"{name}.attended", *(f"present.{side}" for side in sides)],
                name=name,
                domain=MICROSOFT,
                num_heads=model.heads,
                kv_num_heads=model.heads,
            )
        )
        out_of.input[0] = add(graph, "Reshape", [f"{name}.attended", flat], f"{name}.flat")
    _declare(graph, model)
    tidy(graph)


def _declare(graph: OnnxModel, model: Dimensions) -> None:
    """Declare the new inputs and outputs. The old ones of attention are gone with its nodes."""
    cache = ["batch", model.heads, "capacity", model.head_dim]
    for side in (f"{layer}.{side}" for layer in range(model.layers) for side in ("key", "value")):
        for values, name in (
            (graph.graph().input, f"past_key_values.{side}"),
            (graph.graph().output, f"present.{side}"),
        ):
            declared = next(value for value in values if value.name == name)
            declared.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, cache))
    graph.graph().input.extend(
        [
            helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ["batch"]),
            helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, [1]),
        ]
    )
    graph.model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
