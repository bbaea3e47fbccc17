"""Weights stored as float16: half the file, the same arithmetic.

Two halves of one promise. `round_weights` rounds the checkpoint's matrices in memory, before the conversion, so that
the graph can be compared with it exactly. `store_half` then writes each float32 matrix as float16 and a Cast behind it.
ONNX Runtime folds the Cast when it loads the graph, so it computes in float32 as before, at the same speed.
"""

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from export.errors import ExportError


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a weight of this shape is stored by halves: a matrix, which biases and norms are not.

    (TensorFlow's Conv1D keeps its bias as [1, width].)
    """
    return len(shape) == 2 and min(shape) > 1


def round_weights(model: Any) -> None:
    """Rounds every matrix of a TensorFlow model to what float16 can hold, in place; they stay float32.

    Raises ExportError, naming the weight, when one is too large for float16.
    """
    for weight in model.weights:
        if not is_matrix(tuple(weight.shape)):
            continue
        with np.errstate(over="ignore"):
            rounded = weight.numpy().astype(np.float16).astype(np.float32)
        if not np.isfinite(rounded).all():
            raise ExportError(f"{weight.name} has values that float16 cannot hold: export without --half-weights.")
        weight.assign(rounded)


def store_half(model: onnx.ModelProto) -> int:
    """Stores each float32 matrix that float16 holds exactly as float16 and a Cast to float32, in place.

    Loses nothing: a matrix with a value that float16 would round is left alone. Returns how many were halved.
    """
    halved = 0
    for tensor in list(model.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or not is_matrix(tuple(tensor.dims)):
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        cast = onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}/Cast", to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        halved += 1
    return halved
