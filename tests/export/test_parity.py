"""The comparison of graph and checkpoint finds differences.

The reference here is the exported graph itself.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.graph import Graph
from export.parity import Logits, choose_prompts, decode_greedily, verify


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path, checkpoint: Checkpoint) -> Graph:
    return Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model)


def shifted(bundle: Path, checkpoint: Checkpoint, file: Path, change: float) -> Graph:
    """Return the bundle's graph with one weight changed."""
    model = onnx.load(bundle / "model.fp32.onnx")
    (tensor,) = (each for each in model.graph.initializer if each.name == "transformer.h.1.mlp.c_fc.weight.half")
    values = numpy_helper.to_array(tensor).copy()
    values[3, 5] += change
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, file)
    return Graph(file, checkpoint.model)


def test_prompts_are_beginnings_of_documents_in_the_template(checkpoint: Checkpoint) -> None:
    prompts = choose_prompts(checkpoint, 50)
    assert len(prompts) == 50
    assert prompts == choose_prompts(checkpoint, 50)
    beginnings = [checkpoint.prompt.join_document(document) for document in checkpoint.documents]
    assert all(any(whole.startswith(prompt) for whole in beginnings) for prompt in prompts)
    many = replace(checkpoint, documents=checkpoint.documents * 5)
    assert len(choose_prompts(many)) == 200
    assert len(choose_prompts(checkpoint)) == len(checkpoint.documents) == 60


def test_decoding_through_the_cache_is_decoding_without_it(graph: Graph, checkpoint: Checkpoint) -> None:
    prompt = np.array(checkpoint.encode("Drama: A door"), np.int64)
    continued = decode_greedily(graph, prompt, 20, end_of_text=-1)
    ids = prompt
    for token in continued.new:
        assert graph.logits(ids[None])[0, -1].argmax() == token
        ids = np.append(ids, token)
    assert len(continued.new) == 20
    assert len(continued.logits) == len(continued.read) == len(prompt) + 19
    assert len(decode_greedily(graph, prompt, 20, end_of_text=int(continued.new[0])).new) == 1


def test_a_graph_agrees_with_itself(graph: Graph, checkpoint: Checkpoint) -> None:
    parity = verify(graph, graph.logits, checkpoint)
    assert parity.prompts == 60
    assert 60 < parity.tokens <= 60 * 64
    assert parity.max_logit_difference < 1e-4
    assert parity.ties == 0


def test_one_weight_a_little_off_is_found_by_the_logits(
    tiny_bundle: Path, graph: Graph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"logits differ .* by up to 0\.\d+, over 0\.001"):
        verify(shifted(tiny_bundle, checkpoint, tmp_path / "off.onnx", 0.002), graph.logits, checkpoint)


def test_one_weight_far_off_is_found_by_the_tokens(
    tiny_bundle: Path, graph: Graph, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as refused:
        verify(shifted(tiny_bundle, checkpoint, tmp_path / "off.onnx", 30.0), graph.logits, checkpoint)
    assert re.search(r"continues '.+' differently .* token \d+ is .* logits of the two are", str(refused.value))


def raised(graph: Graph, checkpoint: Checkpoint, margin: float) -> Logits:
    """Return the graph's logits, but behind the first prompt another token has the highest, by `margin`."""
    end = len(checkpoint.encode(choose_prompts(checkpoint)[0])) - 1
    batches: list[np.ndarray] = []

    def logits_of(ids: np.ndarray) -> np.ndarray:
        logits = graph.logits(ids)
        if not batches:
            row = logits[0, end]
            row[(row.argmax() + 1) % len(row)] = row.max() + margin
        batches.append(ids)
        return logits

    return logits_of


def test_in_a_tie_either_token_is_right(graph: Graph, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.parity.TOLERANCE", 10.0)  # the raised logit was far lower
    one = replace(checkpoint, documents=checkpoint.documents[:1])
    assert verify(graph, raised(graph, one, 5e-5), one).ties == 1
    with pytest.raises(ExportError, match=r"token 1 is .* logits of the two are 0\.0005 apart"):
        verify(graph, raised(graph, one, 5e-4), one)


def test_logits_that_are_no_numbers_are_refused(graph: Graph, checkpoint: Checkpoint) -> None:
    def one_missing(ids: np.ndarray) -> np.ndarray:
        logits = graph.logits(ids)
        logits[0, 0, 0] = np.nan
        return logits

    with pytest.raises(ExportError, match="by up to nan"):
        verify(graph, one_missing, checkpoint)
