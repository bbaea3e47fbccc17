"""4-bit weights: what a block loses, and that the operators read them as they were written."""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.int4 import BLOCK, SHRINKAGES, ZERO, quantize_blocks, quantize_weights
from tests.export.rewrite.networks import Weights, network, outputs_of, random_weights
from tests.export.rows import Rows, furthest, random_ids

WEIGHTS = random_weights()


def restored(weight: np.ndarray) -> np.ndarray:
    """What is left of a matrix [rows, columns] in four bits."""
    steps, scales = quantize_blocks(weight)
    blocks: np.ndarray = (steps.astype(np.float32) - ZERO) * scales[..., None]
    return blocks.reshape(len(weight), -1)[:, : weight.shape[1]]


def test_values_on_the_steps_come_back_exactly() -> None:
    scales = np.array([[0.5], [-0.25], [2.0]], np.float32)
    weight = (np.arange(BLOCK) % 16 - ZERO).astype(np.float32) * scales
    steps, found = quantize_blocks(weight)
    assert np.array_equal(found, scales)
    assert (steps == np.arange(BLOCK) % 16).all()
    assert np.array_equal(restored(weight), weight)


def test_a_block_loses_no_more_than_with_the_scale_that_holds_its_largest_value() -> None:
    weight = WEIGHTS.first
    blocks = weight.reshape(-1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    plain = np.clip(np.rint(blocks / (-extreme / ZERO)), -8, 7) * (-extreme / ZERO)
    lost, plainly = (((each.reshape(blocks.shape) - blocks) ** 2).sum(axis=1) for each in (restored(weight), plain))
    assert (lost <= plainly * 1.00001).all()
    assert lost.sum() < 0.95 * plainly.sum()
    # Half a step within the range, and what the smallest scale leaves out at its ends.
    reach = np.abs(extreme) / ZERO
    assert (np.abs(restored(weight).reshape(blocks.shape) - blocks) <= reach * (8 - 7 * SHRINKAGES[0])).all()


def test_zeros_stay_zeros() -> None:
    weight = np.zeros((2, 2 * BLOCK), np.float32)
    weight[1, 40] = -3
    assert np.array_equal(restored(weight), weight)


def test_columns_are_padded_to_whole_blocks() -> None:
    steps, scales = quantize_blocks(WEIGHTS.first[:, : BLOCK + 8])
    assert (steps.shape, scales.shape) == ((64, 2, BLOCK), (64, 2))
    assert (steps[:, 1, 8:] == ZERO).all()


@pytest.mark.parametrize("width", [64, 40])
def test_the_operators_read_the_weights_as_they_were_written(width: int) -> None:
    """Rows of the identity through a product give its weights, whose rows are not of whole blocks at 40."""
    identity, random = np.eye(width, dtype=np.float32), random_weights(vocabulary=width, width=width, inner=72)
    weights = Weights(identity * 64, random.first, np.zeros(72, np.float32), random.second, random.second_bias)
    graph = network(weights)
    del graph.graph().output[3:]
    graph.graph().output[2].name = "inner"
    quantize_weights(graph)
    assert {node.op_type for node in graph.nodes()} >= {"MatMulNBits", "GatherBlockQuantized"}
    found = outputs_of(graph.model, np.arange(width)[None])
    assert np.array_equal(found["embedded"], weights.embedding)
    np.testing.assert_allclose(found["inner"], 64 * restored(random.first.T).T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("width", [64, 40])
def test_looking_a_token_up_gives_the_row_that_the_head_multiplies_by(width: int) -> None:
    weights = random_weights(width=width)
    graph = network(weights)
    quantize_weights(graph)
    found = outputs_of(graph.model, np.array([[47, 0, 3], [3, 20, 1]]))
    rows = restored(weights.embedding)
    assert np.array_equal(found["embedded"], rows[[47, 0, 3, 3, 20, 1]])
    # The head's activations are in 8 bits, block by block.
    exact = found["outer"] @ rows.T
    assert np.abs(found["logits"] - exact).max() < 0.04 * exact.std()


def test_logits_are_nearer_to_float32_than_chance_and_further_than_eight_bits(
    rewritten: onnx.ModelProto, dimensions: Dimensions
) -> None:
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_weights(graph)
    texts = random_ids(dimensions, 60, 33, 47)
    found, expected = (
        np.concatenate(Rows(model, dimensions, rows=3).read(texts)) for model in (graph.model, rewritten)
    )
    assert 0.02 < np.sqrt(np.mean((found - expected) ** 2)) / expected.std() < 0.25
    assert furthest([found], [expected]) < 2


def test_the_embedding_is_stored_once_in_four_bits(rewritten: onnx.ModelProto, dimensions: Dimensions) -> None:
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_weights(graph)
    stored = {
        tensor.name: (tensor.data_type, np.prod(tensor.dims))
        for tensor in graph.model.graph.initializer
        if dimensions.vocab_size in tensor.dims and len(tensor.dims) == 3
    }
    entries = dimensions.vocab_size * dimensions.heads * dimensions.head_dim
    assert stored == {"transformer.wte.weight.int4": (TensorProto.UINT8, entries / 2)}


def test_a_graph_that_was_quantized_already_is_refused() -> None:
    graph = network(WEIGHTS)
    quantize_weights(graph)
    with pytest.raises(ExportError, match="logits is written by MatMulNBits, not by MatMul"):
        quantize_weights(graph)


def test_a_product_whose_weight_is_computed_is_refused_by_name() -> None:
    graph = network(WEIGHTS)
    graph.model.graph.initializer.remove(graph.get_initializer("first"))
    with pytest.raises(ExportError, match="the graph holds no weight first"):
        quantize_weights(graph)
