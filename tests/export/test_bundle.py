"""The contents of the minute checkpoint's bundle, and the figures of the shipped one."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from export.bundle import CACHE_TYPES
from export.card import write_card
from export.checkpoint import Checkpoint
from export.graph import Graph, check_interface, engine_interface
from export.perplexity import score, texts_to_score
from export.samples import Sample

SHIPPED = Path(__file__).parents[2] / "models" / "plotify-mini" / "bundle.json"


@pytest.fixture
def manifest(tiny_bundle: Path) -> dict[str, Any]:
    """A copy of the minute bundle's manifest."""
    fields: dict[str, Any] = json.loads((tiny_bundle / "bundle.json").read_text(encoding="utf-8"))
    return fields


def test_the_manifest_is_the_checkpoints_and_what_was_measured(tiny_checkpoint: Path, manifest: dict[str, Any]) -> None:
    trained = json.loads((tiny_checkpoint / "plotify.json").read_text())
    assert manifest["format"] == 3
    assert manifest["name"] == "plotify-tiny"
    assert manifest["model"] == {
        "vocab_size": 400,
        "context": 128,
        "layers": 2,
        "heads": 2,
        "head_dim": 16,
        "end_of_text": 0,
    }
    assert trained["prompt"].items() <= manifest["prompt"].items()
    assert manifest["sampling"] == trained["sampling"]
    made = manifest["provenance"].pop("export")
    assert manifest["provenance"] == trained["provenance"]
    assert set(made["versions"]) >= {"tensorflow", "torch", "optimum-onnx", "onnxruntime"}
    assert made["measured"]["documents"] == 60
    assert made["measured"]["fp32_perplexity"] == manifest["precisions"]["fp32"]["perplexity"]
    assert made["measured"]["fp32_bits_per_byte"] == manifest["precisions"]["fp32"]["bits_per_byte"]


def test_the_manifest_says_on_how_many_prompts_and_tokens_the_checkpoint_was_matched(manifest: dict[str, Any]) -> None:
    """All 60 documents are compared (at most 200), with 64 tokens each: this model ends none earlier."""
    verified = manifest["provenance"]["export"]["verified"]
    assert (verified["prompts"], verified["tokens"]) == (60, 60 * 64)
    assert 0 < verified["max_logit_difference"] <= 1e-3


def test_files_are_those_that_the_manifest_hashes(tiny_bundle: Path, manifest: dict[str, Any]) -> None:
    assert list(manifest["precisions"]) == ["fp32", "int8", "fp16"]
    entries = [manifest["tokenizer"], *manifest["precisions"].values()]
    for entry in entries:
        content = (tiny_bundle / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert entry.get("bytes", len(content)) == len(content)
    assert all(each["file"] == f"model.{precision}.onnx" for precision, each in manifest["precisions"].items())
    names = {"bundle.json", "MODEL_CARD.md"} | {entry["file"] for entry in entries}
    assert {file.name for file in tiny_bundle.iterdir()} == names


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.005), ("fp16", 0.001)])
def test_lower_precisions_lose_little(manifest: dict[str, Any], precision: str, bound: float) -> None:
    """Perplexity may rise or fall: on random weights, an error can favour the text."""
    entry, reference = manifest["precisions"][precision], manifest["precisions"]["fp32"]
    assert entry["perplexity_vs_fp32"] == pytest.approx(entry["perplexity"] / reference["perplexity"])
    assert 0 < abs(entry["perplexity_vs_fp32"] - 1) <= bound


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_perplexity_is_the_graphs_own(
    tiny_bundle: Path, checkpoint: Checkpoint, manifest: dict[str, Any], precision: str
) -> None:
    graph = Graph(tiny_bundle / f"model.{precision}.onnx", checkpoint.model)
    measured = score(graph.logits, texts_to_score(checkpoint))
    entry = manifest["precisions"][precision]
    assert entry["perplexity"] == pytest.approx(measured.perplexity)
    assert entry["bits_per_byte"] == pytest.approx(measured.bits_per_byte)
    assert (entry["perplexity_vs_fp32"] == 1.0) == (precision == "fp32")


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_every_file_is_a_whole_graph_of_format_2(tiny_bundle: Path, checkpoint: Checkpoint, precision: str) -> None:
    model = onnx.load(tiny_bundle / f"model.{precision}.onnx")
    check_interface(model, engine_interface(checkpoint.model, CACHE_TYPES[precision]))


def test_the_tied_embedding_is_stored_once(tiny_bundle: Path, manifest: dict[str, Any]) -> None:
    weights = onnx.load(tiny_bundle / "model.fp32.onnx").graph.initializer
    embeddings = [tensor.name for tensor in weights if sorted(tensor.dims) == [32, 400]]
    assert embeddings == ["transformer.wte.weight.half"]
    assert manifest["provenance"]["export"]["parameters"] == sum(
        np.prod(tensor.dims) for tensor in weights if tensor.name.startswith(("transformer", "onnx"))
    )


def test_matrices_are_stored_by_halves(tiny_bundle: Path) -> None:
    stored = onnx.load(tiny_bundle / "model.fp32.onnx").graph.initializer
    matrices = [tensor for tensor in stored if len(tensor.dims) == 2]
    assert len(matrices) == 10
    assert {tensor.data_type for tensor in matrices} == {TensorProto.FLOAT16}


def test_onnx_runtime_folds_the_casts_when_it_loads(tiny_bundle: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(tiny_bundle / "model.fp32.onnx", options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(tmp_path / "loaded.onnx")
    halves = [tensor.name for tensor in loaded.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    assert halves == []


def test_the_card_tells_the_manifests_figures_and_ten_samples(tiny_bundle: Path, manifest: dict[str, Any]) -> None:
    card = (tiny_bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"| bits per byte, test split | {manifest['precisions']['fp32']['bits_per_byte']:.3f} |" in card
    for entry in manifest["precisions"].values():
        worse = f"{entry['perplexity_vs_fp32'] - 1:+.2%}"
        assert f"| `{entry['file']}` | {entry['bytes'] / 1e6:.1f} MB, perplexity {worse} against fp32 |" in card
    assert "identical greedy tokens on 60 prompts (3,840 tokens)" in card
    assert "sentences invented for the tests" in card
    assert card.count("\nSeed ") == 10
    assert "Seed 1, Comedy:\n\n> **A detective in Lisbon**" in card


def test_the_card_of_a_bundle_without_fp32_still_gives_its_figures(manifest: dict[str, Any]) -> None:
    perplexity = manifest["provenance"]["export"]["measured"]["fp32_perplexity"]
    manifest["precisions"] = {"int8": manifest["precisions"]["int8"]}
    card = write_card(manifest, [Sample(1, "Drama", "A door", " opens.")])
    assert f"| perplexity per token, test split | {perplexity:.2f} |" in card
    assert card.count("against fp32") == 1
    assert card.rstrip().endswith("> **A door** opens.")


def test_the_card_tells_every_stage_of_the_training_and_the_figures_given(manifest: dict[str, Any]) -> None:
    prose = {"name": "prose.jsonl", "source": "prose", "words": 14_080_000}
    plots = {"name": "plots.csv", "source": "mpst", "words": 13_040_000}
    own = [{"name": name, "source": "own", "words": 1_500} for name in ("first.txt", "second.md")]
    first = {"training": {"tokens": 18_200_000, "seconds": 6_840}, "corpora": [plots, prose]}
    manifest["provenance"] |= {
        "base": first,
        "training": {"tokens": 2_500_000, "seconds": 1_080},
        "corpora": [plots, *own],
    }
    manifest["sampling"]["guidance"] = 1.0
    card = write_card(manifest, [Sample(1, "Drama", "A door", " opens.")], "## Read blind\n\nSix of ten.\n")
    read = "plots.csv (13.0 million words); prose.jsonl (14.1 million words); 2 of a writer's own texts (3,000 words)"
    assert f"| trained on | {read} |" in card
    assert "| training | 18.2 million tokens in 1.9 hours, then 2.5 million tokens in 0.3 hours |" in card
    assert "\n## Read blind\n\nSix of ten.\n\n## Samples\n" in card
    assert "guidance)" not in card


def test_the_model_that_ships_loses_little() -> None:
    carried = json.loads(SHIPPED.read_text(encoding="utf-8"))["precisions"]
    assert carried["int8"]["perplexity_vs_fp32"] <= 1.005
