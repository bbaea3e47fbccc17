"""4-bit weights: `com.microsoft.MatMulNBits` with a scale for each block of 32, activations in 8 bits.

For one stream a step is as long as it takes to read the weights, so four bits of each are what is fastest there.
"""

import numpy as np
from onnx import NodeProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.rewrite.nodes import MICROSOFT, add, constant, tidy, weight_of, writer_of
from export.rewrite.tied import EMBEDDING, lookup_of

BLOCK = 32
ZERO = 8
"""What the sixteen steps are counted from: values are (step − 8) × scale."""

SHRINKAGES = np.linspace(0.7, 1.0, 13, dtype=np.float32)
"""Scales tried for each block, as shares of the one that just holds its largest value."""

ACCURACY_LEVEL = 4
"""Activations quantized to int8, block by block."""


def quantize_weights(graph: OnnxModel) -> None:
    """Replaces every product of a rewritten float32 graph, and its token embedding, by 4-bit ones.

    The head is the embedding already (`share_tied_embedding`), and both read the same four bits.
    """
    for product in graph.get_nodes_by_op_type("Gemm"):
        value = weight_of(graph, product.input[1]).T
        steps, scales = quantize_blocks(value)
        weight = constant(graph, f"{product.input[1]}.int4", _packed(steps))
        scale = constant(graph, f"{product.input[1]}.scale", scales)
        _replace(graph, product, weight, scale, value.shape, bias=product.input[2])
    head, lookup = writer_of(graph, "logits", "MatMul"), lookup_of(graph)
    value = weight_of(graph, EMBEDDING)
    steps, scales = quantize_blocks(value)
    packed = _packed(steps)
    weight, scale = constant(graph, f"{EMBEDDING}.int4", packed), constant(graph, f"{EMBEDDING}.scale", scales)
    shape = constant(graph, "embedding.shape", np.array([len(packed), -1], np.int64))
    flat = add(graph, "Reshape", [weight, shape], f"{EMBEDDING}.flat")
    graph.remove_node(lookup)
    columns = value.shape[1]
    whole = columns % BLOCK == 0
    rows = add(
        graph,
        "GatherBlockQuantized",
        [flat, lookup.input[1], scale],
        lookup.output[0] if whole else f"{EMBEDDING}.padded",
        MICROSOFT,
        block_size=BLOCK,
        gather_axis=0,
        quantize_axis=1,
        bits=4,
    )
    if not whole:
        bounds = {"start": 0, "end": columns, "axis": 1}
        cut = [constant(graph, f"embedding.{name}", np.array([at], np.int64)) for name, at in bounds.items()]
        add(graph, "Slice", [rows, *cut], lookup.output[0])
    _replace(graph, head, weight, scale, value.shape, bias=None)
    tidy(graph)


def quantize_blocks(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 4-bit steps, uint8 [rows, blocks, 32], of a float matrix [rows, columns], and scales, float32 [rows, blocks].

    Each block's scale is the one of `SHRINKAGES` that loses least, by the sum of squares. Columns are padded with
    zeros to whole blocks.
    """
    rows, columns = weight.shape
    blocks = np.zeros((rows, -(-columns // BLOCK), BLOCK), np.float32)
    blocks.reshape(rows, -1)[:, :columns] = weight
    # The largest magnitude becomes −8, the one step that has no positive twin.
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1, keepdims=True), axis=-1)
    best, scales = np.zeros(blocks.shape, np.uint8), np.zeros(extreme.shape, np.float32)
    least = np.full(extreme.shape, np.inf, np.float32)
    for shrinkage in SHRINKAGES:
        scale = -extreme * (shrinkage / ZERO)
        steps = np.clip(np.rint(blocks / np.where(scale == 0, 1, scale)) + ZERO, 0, 15)
        lost = np.square((steps - ZERO) * scale - blocks).sum(axis=-1, keepdims=True)
        better = lost < least
        least, scales = np.where(better, lost, least), np.where(better, scale, scales)
        best = np.where(better, steps.astype(np.uint8), best)
    return best, scales[..., 0]


def _packed(steps: np.ndarray) -> np.ndarray:
    """Two steps a byte, the earlier one in the lower half: uint8 [rows, blocks, 16]."""
    packed: np.ndarray = steps[..., ::2] | steps[..., 1::2] << 4
    return packed


def _replace(
    graph: OnnxModel, product: NodeProto, weight: str, scale: str, shape: tuple[int, ...], bias: str | None
) -> None:
    output, rows = product.output[0], product.input[0]
    graph.remove_node(product)
    inputs = [rows, weight, scale, *(["", "", bias] if bias else [])]
    add(
        graph,
        "MatMulNBits",
        inputs,
        output,
        MICROSOFT,
        K=shape[1],
        N=shape[0],
        bits=4,
        block_size=BLOCK,
        accuracy_level=ACCURACY_LEVEL,
    )
