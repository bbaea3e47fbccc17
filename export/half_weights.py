"""Storing weights as float16: half the file, the same arithmetic.

`plotify train` leaves matrices with values that float16 can hold exactly. Each is stored as float16, followed by a
Cast. ONNX Runtime folds the Cast when it loads the graph, so it computes in float32 as before, at the same speed.
"""

import numpy as np
import onnx
from onnx import numpy_helper


def store_half(model: onnx.ModelProto) -> int:
    """Store float32 matrices as float16 followed by a Cast, in place, and return their number.

    Nothing is lost: a matrix is left alone if float16 would round one of its values.
    """
    halved = 0
    for tensor in list(model.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
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
