"""Fixed scales: evening out the norms changes no logit, and only values beyond the scale are clipped."""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.int8 import _replace_fixed, quantize_columns, quantize_rows
from export.rewrite.int8_cache import Peaks, quantize_cache
from export.rewrite.nodes import constant
from export.rewrite.smoothing import normed_products, smooth
from tests.export.rows import Rows, furthest, random_ids, session_on


def smoothed(rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> tuple[OnnxModel, dict[str, float]]:
    graph = OnnxModel(copy.deepcopy(rewritten))
    return graph, smooth(graph, dimensions, peaks)


def test_evening_out_the_norms_changes_no_logit(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    texts = random_ids(dimensions, 60, 33)
    graph, _ = smoothed(rewritten, dimensions, peaks)
    before, after = (Rows(model, dimensions, rows=2).read(texts) for model in (rewritten, graph.model))
    assert furthest(after, before) < 1e-5


def test_the_reach_is_that_of_the_evened_channels_and_a_little_more(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    """The outputs of the evened graph on one text must be close to the expected range."""
    graph, reaches = smoothed(rewritten, dimensions, peaks)
    names = [product.input[0] for product in normed_products(graph, dimensions)]
    assert len(names) == 2 * dimensions.layers
    for name in names:
        graph.graph().output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", None]))
    session = session_on(graph.model)
    ids = random_ids(dimensions, 64)[0]
    cache = np.zeros((1, dimensions.heads, 64, dimensions.head_dim), np.float32)
    feeds = {
        "input_ids": ids[None],
        "position_ids": np.arange(64)[None],
        "seqlens_k": np.array([63], np.int32),
        "total_sequence_length": np.array([64], np.int32),
        "last_tokens": np.array([63]),
        **{value.name: cache for value in session.get_inputs() if value.name.startswith("past")},
    }
    for name, values in zip(names, session.run(names, feeds), strict=True):
        assert 0.3 * reaches[name] < np.abs(values).max() < 1.3 * reaches[name]


def test_a_wider_channel_gives_part_of_its_width_to_the_weights(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    name = normed_products(OnnxModel(rewritten), dimensions)[0].input[0]
    wider = {**peaks, name: peaks[name].copy()}
    wider[name][3] *= 100
    (_, reaches), (_, widened) = (smoothed(rewritten, dimensions, each) for each in (peaks, wider))
    assert reaches[name] < widened[name] < 100 * reaches[name]
    assert {other: reach for other, reach in reaches.items() if other != name} == {
        other: reach for other, reach in widened.items() if other != name
    }


def test_a_channel_that_never_moved_stays_finite(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    still = {name: np.zeros_like(values) if "ln_1" in name else values for name, values in peaks.items()}
    graph, reaches = smoothed(rewritten, dimensions, still)
    assert all(np.isfinite(reach) and reach > 0 for reach in reaches.values())
    (logits,) = Rows(graph.model, dimensions, rows=1).read(random_ids(dimensions, 20))
    assert np.isfinite(logits).all()


def test_products_with_a_reach_carry_no_row_scale_and_stay_close(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    texts = random_ids(dimensions, 60, 33)
    expected = Rows(rewritten, dimensions, rows=2).read(texts)
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_cache(graph, dimensions, peaks)
    reaches = smooth(graph, dimensions, peaks)
    assert len(reaches) == 3 * dimensions.layers
    assert sum(reach == 1.0 for reach in reaches.values()) == dimensions.layers
    quantize_rows(graph, reaches)
    # Only the last product of each MLP and the head are still quantized row by row.
    assert len(graph.get_nodes_by_op_type("ReduceMax")) == dimensions.layers + 1
    assert (
        furthest(Rows(graph.model, dimensions, rows=2).read(texts), expected) < 0.5
    )  # deviations; perplexity says more


def test_values_beyond_the_reach_are_clipped() -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", 2]) for name in ("x", "y")]
    weights = [
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in (("w", np.eye(2)), ("b", np.array([0.0, 10.0])))
    ]
    graph = helper.make_graph([node], "one_product", [values[0]], [values[1]], weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = OnnxModel(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    quantized, scales = quantize_columns(np.eye(2, dtype=np.float32))
    product = model.get_nodes_by_op_type("Gemm")[0]
    _replace_fixed(model, product, constant(model, "w.int8", quantized), constant(model, "w.scale", scales), 2.0)
    model.topological_sort()
    found = session_on(model.model).run(None, {"x": np.array([[1.0, -1.0], [50.0, -50.0]], np.float32)})[0]
    assert found == pytest.approx(np.array([[1.0, 9.0], [2.0, 8.0]]), abs=0.03)


def test_a_graph_without_its_norms_is_refused(rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> None:
    graph = OnnxModel(copy.deepcopy(rewritten))
    normed_products(graph, dimensions)[0].input[0] = graph.get_nodes_by_op_type("Gemm")[1].output[0]
    with pytest.raises(ExportError, match="not by LayerNormalization"):
        smooth(graph, dimensions, peaks)
