"""Converting a graph to float16 for CUDA, with ONNX Runtime's own converter."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def to_half(graph: OnnxModel) -> onnx.ModelProto:
    """Return the rewritten float32 graph with weights, arithmetic and caches in float16.

    The logits stay float32.
    """
    converted: onnx.ModelProto = convert_float_to_float16(
        graph.model, keep_io_types=["logits"], op_block_list=[], disable_shape_infer=True, force_fp16_initializers=True
    )
    return converted
