"""Weights stored as float16: half the file, the same arithmetic.

`plotify train` leaves matrices whose values float16 holds exactly. Such a matrix is written as float16 and a Cast
behind it. ONNX Runtime folds the Cast when it loads the graph, so it computes in float32 as before, at the same speed.
"""

import numpy as np
import onnx
from onnx import numpy_helper


def store_half(model: onnx.ModelProto) -> int:
    """Stores each float32 matrix that float16 holds exactly as float16 and a Cast to float32, in place.

    Loses nothing: a matrix with a value that float16 would round is left alone. Returns how many were halved.
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
