"""8-bit products with rows independent of one another.

Weights are int8 with a scale for each column. Activations are uint8 around 128, and go through
`com.microsoft.MatMulIntegerToFloat`. If their range is known beforehand (`export.rewrite.smoothing`), one fixed scale
quantizes them. Otherwise each row (token) is quantized by its own maximum, and the product is multiplied by the scale
of the row. ONNX Runtime's own `DynamicQuantizeMatMul` takes one scale for the whole tensor. A request's numbers would
then depend on the rest of the batch, and an outlier in one row would coarsen all others.

Processors have instructions for uint8 × int8. Without VNNI, AVX2 adds pairs of these products in 16 bits, with
saturation. Weights of at most ±63 keep 255 × 63 × 2 within 16 bits, so products with WEIGHT_PEAK are exact on every
processor.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from onnx import NodeProto, TensorProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.rewrite.nodes import MICROSOFT, add, constant, tidy, weight_of, writer_of
from export.rewrite.tied import EMBEDDING, lookup_of

WEIGHT_PEAK = 63
ROW_PEAK, ROW_ZERO = 127, 128

GELU_LEAST = -0.17005
"""Slightly less than the minimum of GELU's tanh approximation, which is near −0.75."""


def quantize_rows(graph: OnnxModel, reaches: Mapping[str, float] = MappingProxyType({})) -> None:
    """Replace every product of a rewritten float32 graph, and its token embedding, with int8 ones.

    The embedding is stored once, [vocab, width] with a scale for each token. The head uses it transposed, and ONNX
    Runtime transposes it when it loads the graph. The head must be the embedding already (`share_tied_embedding`).

    Args:
        reaches: the largest magnitude of each product's input, if known. Values beyond it are clipped.
    """
    for product in graph.get_nodes_by_op_type("Gemm"):
        values, scales = quantize_columns(weight_of(graph, product.input[1]))
        weight = constant(graph, f"{product.input[1]}.int8", values)
        scale = constant(graph, f"{product.input[1]}.scale", scales)
        reach = reaches.get(product.input[0])
        if reach is None:
            _replace(graph, product, weight, scale, product.input[2], "input_ids.flat", len(values))
        else:
            _replace_fixed(graph, product, weight, scale, reach)
    _share_embedding(graph)
    blocked = next(entry for entry in graph.model.opset_import if entry.domain == "")
    blocked.version = max(blocked.version, 21)  # the first with a scale for each row in QuantizeLinear
    tidy(graph)


def quantize_columns(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a float matrix as int8 values [rows, columns] with float32 scales [columns].

    The values multiplied by the scales give the matrix, up to rounding.
    """
    scales = (np.abs(weight).max(axis=0) / WEIGHT_PEAK).astype(np.float32)
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(weight / divisors).astype(np.int8), scales


def _share_embedding(graph: OnnxModel) -> None:
    head, lookup = writer_of(graph, "logits", "MatMul"), lookup_of(graph)
    values, scales = quantize_columns(weight_of(graph, EMBEDDING).T)
    stored = constant(graph, f"{EMBEDDING}.int8", np.ascontiguousarray(values.T))
    scale = constant(graph, f"{EMBEDDING}.scale", scales)
    graph.remove_node(lookup)
    rows = add(graph, "Gather", [stored, lookup.input[1]], f"{EMBEDDING}.rows", axis=0)
    row_scales = add(graph, "Gather", [scale, lookup.input[1]], f"{EMBEDDING}.row_scales", axis=0)
    second = constant(graph, "second_axis", np.array([1], np.int64))
    real = add(graph, "Cast", [rows], f"{EMBEDDING}.real", to=TensorProto.FLOAT)
    add(graph, "Mul", [real, add(graph, "Unsqueeze", [row_scales, second], f"{EMBEDDING}.steps")], lookup.output[0])
    transposed = add(graph, "Transpose", [stored], "lm_head.int8", perm=[1, 0])
    _replace(graph, head, transposed, scale, bias=None, rows="last_tokens", width=len(values))


def _replace_fixed(graph: OnnxModel, product: NodeProto, weight: str, scale: str, reach: float) -> None:
    """Replace `product` with its quantized form, for inputs with magnitudes up to `reach`."""
    name, output, bias = product.input[0], product.output[0], product.input[2]
    zero = constant(graph, "row.zero", np.array(ROW_ZERO, np.uint8))
    step = constant(graph, f"{name}.step", np.array(reach / ROW_PEAK, np.float32))
    quantized = add(graph, "QuantizeLinear", [name, step, zero], f"{name}.uint8")
    graph.remove_node(product)
    add(graph, "MatMulIntegerToFloat", [quantized, weight, step, scale, zero, "", bias], output, MICROSOFT)


def _replace(
    graph: OnnxModel, product: NodeProto, weight: str, scale: str, bias: str | None, rows: str, width: int
) -> None:
    """Replace `product` with its quantized form, which has the same output.

    Args:
        rows: a tensor [tokens] with an entry for each row of the product's left side.
        width: number of columns on the left side.
    """
    output = product.output[0]
    quantized, row_scale = _quantize_row(graph, product.input[0], rows, width)
    one = constant(graph, "one", np.array(1, np.float32))
    zero = constant(graph, "row.zero", np.array(ROW_ZERO, np.uint8))
    graph.remove_node(product)
    unscaled = add(
        graph, "MatMulIntegerToFloat", [quantized, weight, one, scale, zero], f"{output}.unscaled", MICROSOFT
    )
    readers = graph.input_name_to_nodes().get(output, [])
    if bias is None:
        add(graph, "Mul", [unscaled, row_scale], output)
    elif [reader.op_type for reader in readers] == ["FastGelu"]:  # it can add the bias itself
        add(graph, "Mul", [unscaled, row_scale], output)
        readers[0].input.append(bias)
    else:
        add(graph, "Add", [add(graph, "Mul", [unscaled, row_scale], f"{output}.scaled"), bias], output)


def _quantize_row(graph: OnnxModel, name: str, rows: str, width: int) -> tuple[str, str]:
    """Quantize each row, and return uint8 [tokens, width] and its float32 scales [tokens, 1].

    A row of zeros has scale 0, so its products are 0.
    """
    axis = constant(graph, "row.axis", np.array([-1], np.int64))
    writer = graph.output_name_to_node()[name]
    if writer.op_type == "FastGelu":  # never under GELU_LEAST, so the largest value gives the peak
        largest = add(graph, "ReduceMax", [name, axis], f"{name}.largest", keepdims=1)
        least = constant(graph, "gelu.least", np.array(-GELU_LEAST, np.float32))
        peak = add(graph, "Max", [largest, least], f"{name}.peak")
    else:
        peak = add(graph, "ReduceMax", [add(graph, "Abs", [name], f"{name}.abs"), axis], f"{name}.peak", keepdims=1)
    step = constant(graph, "row.step", np.array(1 / ROW_PEAK, np.float32))
    scale = add(graph, "Mul", [peak, step], f"{name}.scale")
    inputs = [name, scale, _zeros(graph, rows)]
    # One block for each row: in this form, QuantizeLinear (opset 21) takes the scales as they are, [tokens, 1].
    return add(graph, "QuantizeLinear", inputs, f"{name}.uint8", axis=1, block_size=width), scale


def _zeros(graph: OnnxModel, rows: str) -> str:
    """Return ROW_ZERO for each of `rows`, uint8 [tokens, 1].

    Products with the same number of rows share the tensor.
    """
    name = f"{rows}.zeros"
    if name not in graph.output_name_to_node():
        zero = constant(graph, "row.zeros", np.array([[ROW_ZERO]], np.uint8))
        shape = [add(graph, "Shape", [rows], f"{rows}.count"), constant(graph, "one_column", np.array([1], np.int64))]
        add(graph, "Expand", [zero, add(graph, "Concat", shape, f"{rows}.column", axis=0)], name)
    return name
