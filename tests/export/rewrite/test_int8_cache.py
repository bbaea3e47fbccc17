"""An int8 KV cache: evening out the channels changes no logit, and eight bits change them little."""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.graph import sides
from export.rewrite.int8_cache import PEAK, Peaks, quantize_cache
from tests.export.rows import Rows, furthest, random_ids


@pytest.fixture(scope="module")
def texts(dimensions: Dimensions) -> list[np.ndarray]:
    return random_ids(dimensions, 60, 33, 47)


@pytest.fixture(scope="module")
def reference(rewritten: onnx.ModelProto, dimensions: Dimensions, texts: list[np.ndarray]) -> Rows:
    """The float32 graph after reading `texts`, except their last tokens."""
    rows = Rows(rewritten, dimensions, rows=len(texts))
    rows.read([text[:-1] for text in texts])
    return rows


@pytest.fixture(scope="module")
def peaks(reference: Rows) -> Peaks:
    """The peaks of exactly these texts."""
    return {side: np.nanmax(np.abs(values), axis=(0, 2)) for side, values in reference.cache.items()}


def with_int8_cache(rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> onnx.ModelProto:
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_cache(graph, dimensions, peaks)
    return graph.model


def with_float_cache_again(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its channels evened out and nothing quantized."""
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            del node.input[7:]
            kept = [each for each in node.attribute if "quant" not in each.name and "bit_width" not in each.name]
            del node.attribute[:]
            node.attribute.extend(kept)
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.INT8:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def test_caches_are_int8_and_nothing_else_is(rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> None:
    model = with_int8_cache(rewritten, dimensions, peaks)
    types = {value.name: value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]}
    caches = {f"{which}.{side}" for which in ("past_key_values", "present") for side in sides(dimensions)}
    assert {name for name, kind in types.items() if kind == TensorProto.INT8} == caches
    assert types["logits"] == TensorProto.FLOAT


def test_channels_made_alike_leave_the_products_and_reach_as_far_as_one(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    evened = Rows(with_float_cache_again(with_int8_cache(rewritten, dimensions, peaks)), dimensions, rows=3)
    plain = Rows(rewritten, dimensions, rows=3)
    beginnings = [text[:-1] for text in texts]
    assert furthest(evened.read(beginnings), plain.read(beginnings)) < 1e-5
    assert furthest(evened.read([text[-1:] for text in texts]), plain.read([text[-1:] for text in texts])) < 1e-5
    for side, values in evened.cache.items():
        np.testing.assert_allclose(values * peaks[side][:, None], plain.cache[side], rtol=1e-4, atol=1e-5)
        # Without the last tokens, which `peaks` has not seen.
        reached = np.nanmax(np.abs(values[1, :, :32]), axis=1)
        assert 0.3 < reached.mean() <= reached.max() < 1.0001


def test_cached_values_are_within_half_a_step_of_float32(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray], reference: Rows
) -> None:
    rows = Rows(with_int8_cache(rewritten, dimensions, peaks), dimensions, rows=3)
    rows.read([text[:-1] for text in texts])
    for row, length in enumerate(rows.lengths):
        # Only the first layer: nothing before it is quantized.
        for side in ("0.key", "0.value"):
            step = peaks[side][:, None] / PEAK
            held = rows.cache[side][row, :, :length] * step
            assert (np.abs(held - reference.cache[side][row, :, :length]) <= 0.501 * step).all()


def test_logits_are_close_to_those_of_a_float32_cache(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    quantized = Rows(with_int8_cache(rewritten, dimensions, peaks), dimensions, rows=3)
    plain = Rows(rewritten, dimensions, rows=3)
    quantized.read([text[:-8] for text in texts])
    plain.read([text[:-8] for text in texts])
    for left in range(8, 0, -1):
        step = [text[len(text) - left :][:1] for text in texts]
        found, expected = quantized.read(step), plain.read(step)
        assert 0 < furthest(found, expected) < 0.15


def test_a_chunk_behind_the_cache_is_as_close(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    quantized = Rows(with_int8_cache(rewritten, dimensions, peaks), dimensions, rows=1)
    plain = Rows(rewritten, dimensions, rows=1)
    for start in (0, 16, 32):
        chunk = [texts[0][start : start + 16]]
        assert furthest(quantized.read(chunk), plain.read(chunk)) < 0.15


def test_channels_that_never_moved_still_take_values(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    """A channel with peak zero gets the smallest peak of the others, or 1 if all are zero.

    Dividing by zero would lose its values.
    """
    still = {side: values.copy() for side, values in peaks.items()}
    still["0.key"][1, 5] = 0
    still["1.value"][:] = 0
    rows = Rows(with_float_cache_again(with_int8_cache(rewritten, dimensions, still)), dimensions, rows=3)
    plain = Rows(rewritten, dimensions, rows=3)
    assert furthest(rows.read(texts), plain.read(texts)) < 1e-5
    factors = {side: np.nanmedian(plain.cache[side] / rows.cache[side], axis=(0, 2)) for side in ("0.key", "1.value")}
    others = peaks["0.key"][still["0.key"] > 0]
    assert factors["0.key"][1, 5] == pytest.approx(others.min(), rel=1e-3)
    assert factors["1.value"] == pytest.approx(np.ones_like(factors["1.value"]), rel=1e-3)


def test_a_bias_that_two_layers_share_is_evened_out_for_each(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    """The exporter stores equal weights once; the others are an Identity of it."""
    shared = copy.deepcopy(rewritten)
    one, other = (f"transformer.h.{layer}.attn.c_attn.bias" for layer in (0, 1))
    shared.graph.initializer.remove(next(each for each in shared.graph.initializer if each.name == other))
    shared.graph.node.insert(0, helper.make_node("Identity", [one], [other]))
    found = Rows(with_float_cache_again(with_int8_cache(shared, dimensions, peaks)), dimensions, rows=3).read(texts)
    assert furthest(found, Rows(shared, dimensions, rows=3).read(texts)) < 1e-5


def test_values_beyond_the_peak_are_clipped(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, texts: list[np.ndarray]
) -> None:
    narrow = {side: values / 4 for side, values in peaks.items()}
    rows = Rows(with_int8_cache(rewritten, dimensions, narrow), dimensions, rows=3)
    logits = np.concatenate(rows.read(texts))
    assert np.isfinite(logits).all()
    held = rows.cache["0.key"][0, :, :60]
    assert held.max() == PEAK
    assert held.min() in (-PEAK, -PEAK - 1)


def test_optimums_own_graph_is_refused(optimum_graph: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> None:
    before = optimum_graph.SerializeToString(deterministic=True)
    with pytest.raises(ExportError, match="0 attentions have an in-place cache, in 2 layers"):
        quantize_cache(OnnxModel(optimum_graph), dimensions, peaks)
    assert optimum_graph.SerializeToString(deterministic=True) == before


def test_weights_are_those_of_the_float32_graph_but_for_the_factors(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks
) -> None:
    model = with_int8_cache(rewritten, dimensions, peaks)
    stored, plain = (
        {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer} for graph in (model, rewritten)
    )
    changed = {name for name, value in plain.items() if not np.array_equal(value, stored[name])}
    assert changed == {f"transformer.h.{layer}.attn.{each}.weight" for layer in (0, 1) for each in ("c_attn", "c_proj")}
