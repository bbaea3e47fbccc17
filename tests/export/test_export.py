"""`plotify export` from end to end, on the minute checkpoint."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from export.checkpoint import read_checkpoint
from export.graph import Graph, expected_interface
from export.perplexity import score, texts_to_score

ROOT = Path(__file__).parents[2]

STOPPED_AT_VERIFICATION = """
import os, sys
from export import bundle
from export.cli import export
def stop(*arguments):
    os.kill(os.getpid(), {signal})
bundle.verify = stop
export.main(sys.argv[1:])
"""

ONE_WEIGHT_OFF = """
import sys
import onnx
from onnx import numpy_helper
from export import bundle
from export.cli import export
write_graph = bundle.write_graph
def corrupt(model, checkpoint, file):
    halved = write_graph(model, checkpoint, file)
    graph = onnx.load(file)
    tensor = next(each for each in graph.graph.initializer if each.name == "transformer.wpe.weight.half")
    values = numpy_helper.to_array(tensor).copy()
    values[2, 7] += 0.05
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, file)
    return halved
bundle.write_graph = corrupt
export.main(sys.argv[1:])
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def plotify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run("-c", "from server.cli import main; main()", *arguments)


def manifest_of(bundle: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return fields


def test_force_replaces_a_bundle_by_another(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    done = plotify("export", tiny_checkpoint, "--out", bundle, "--name", "other", "--force")
    assert done.returncode == 0, done.stderr
    assert list(bundle.parent.iterdir()) == [bundle]
    assert "other" in done.stdout
    assert "bits per byte" in done.stdout
    assert manifest_of(bundle)["name"] == "other"
    # the same checkpoint gives the same graph, byte for byte
    assert manifest_of(bundle)["precisions"] == manifest_of(tiny_bundle)["precisions"]


def test_the_manifest_is_the_checkpoints_and_what_was_measured(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    manifest, trained = manifest_of(tiny_bundle), json.loads((tiny_checkpoint / "plotify.json").read_text())
    assert manifest["format"] == 1
    assert manifest["name"] == "plotify-tiny"
    assert manifest["model"] == {
        "vocab_size": 400,
        "context": 128,
        "layers": 2,
        "heads": 2,
        "head_dim": 16,
        "end_of_text": 0,
    }
    assert manifest["prompt"] == trained["prompt"]
    assert manifest["sampling"] == trained["sampling"]
    made = manifest["provenance"].pop("export")
    assert manifest["provenance"] == trained["provenance"]
    assert made["verified"]["prompts"] == 50
    assert made["verified"]["max_logit_difference"] <= 1e-3
    assert set(made["versions"]) >= {"tensorflow", "torch", "optimum-onnx", "onnxruntime"}


def test_files_are_those_that_the_manifest_hashes(tiny_bundle: Path) -> None:
    manifest = manifest_of(tiny_bundle)
    precision = manifest["precisions"]["fp32"]
    for entry in (manifest["tokenizer"], precision):
        assert hashlib.sha256((tiny_bundle / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert (tiny_bundle / precision["file"]).stat().st_size == precision["bytes"]
    names = {"bundle.json", "tokenizer.json", "model.fp32.onnx", "MODEL_CARD.md"}
    assert {file.name for file in tiny_bundle.iterdir()} == names


def test_the_perplexity_is_the_graphs_own(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    graph = Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model)
    measured = score(graph.logits, texts_to_score(checkpoint))
    precision = manifest_of(tiny_bundle)["precisions"]["fp32"]
    assert precision["perplexity"] == pytest.approx(measured.perplexity)
    assert precision["bits_per_byte"] == pytest.approx(measured.bits_per_byte)
    assert precision["perplexity_vs_fp32"] == 1.0


def test_the_tied_embedding_is_stored_once(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    weights = onnx.load(tiny_bundle / "model.fp32.onnx").graph.initializer
    embeddings = [tensor.name for tensor in weights if sorted(tensor.dims) == [32, 400]]
    assert embeddings == ["transformer.wte.weight.half"]
    assert manifest_of(tiny_bundle)["provenance"]["export"]["parameters"] == sum(
        np.prod(tensor.dims) for tensor in weights if tensor.name.startswith(("transformer", "onnx"))
    )


def test_inputs_and_outputs_are_those_of_format_1(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    session = onnxruntime.InferenceSession(tiny_bundle / "model.fp32.onnx", providers=["CPUExecutionProvider"])
    names = {value.name for value in [*session.get_inputs(), *session.get_outputs()]}
    assert names == set(expected_interface(read_checkpoint(tiny_checkpoint).model))
    cache = next(value for value in session.get_inputs() if value.name == "past_key_values.1.value")
    assert (cache.type, cache.shape[1], cache.shape[3]) == ("tensor(float)", 2, 16)


def test_the_card_tells_the_manifests_figures_and_ten_samples(tiny_bundle: Path) -> None:
    card = (tiny_bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    precision = manifest_of(tiny_bundle)["precisions"]["fp32"]
    assert f"| bits per byte, test split | {precision['bits_per_byte']:.3f} |" in card
    assert "sentences invented for the tests" in card
    assert card.count("\nSeed ") == 10
    assert "Seed 1, Comedy:\n\n> **A detective in Lisbon**" in card


def test_matrices_are_stored_by_halves(tiny_bundle: Path) -> None:
    manifest = manifest_of(tiny_bundle)
    stored = onnx.load(tiny_bundle / manifest["precisions"]["fp32"]["file"]).graph.initializer
    matrices = [tensor for tensor in stored if len(tensor.dims) == 2]
    assert len(matrices) == 10
    assert {tensor.data_type for tensor in matrices} == {TensorProto.FLOAT16}
    assert manifest["provenance"]["export"]["weights_stored_as"] == "float16"


def test_onnx_runtime_folds_the_casts_when_it_loads(tiny_bundle: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(tiny_bundle / "model.fp32.onnx", options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(tmp_path / "loaded.onnx")
    halves = [tensor.name for tensor in loaded.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    assert halves == []


def test_an_existing_bundle_is_refused_before_any_work(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    before = (tiny_bundle / "bundle.json").read_bytes()
    done = plotify("export", tiny_checkpoint, "--out", tiny_bundle)
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tiny_bundle / "bundle.json").read_bytes() == before


def test_a_folder_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    done = plotify("export", tmp_path, "--out", tmp_path / "bundle")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "config.json is missing" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["short file", "missing weight"])
def test_damaged_weights_are_refused_by_name(tiny_checkpoint: Path, tmp_path: Path, damage: str) -> None:
    checkpoint = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    weights = checkpoint / "tf_model.h5"
    if damage == "short file":
        weights.write_bytes(weights.read_bytes()[:10_000])
    else:
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(config | {"n_layer": 3}))
    done = plotify("export", checkpoint, "--out", tmp_path / "bundle")
    assert done.returncode == 1
    assert re.search(r"Error: .*tf_model\.h5: (cannot be read|lacks weights)", done.stderr), done.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_wrong_weight_fails_the_export_and_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = run("-c", ONE_WEIGHT_OFF, tiny_checkpoint, "--out", tmp_path / "bundle")
    assert done.returncode == 1
    assert "from the checkpoint" in done.stderr
    assert "nothing was written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    script = STOPPED_AT_VERIFICATION.format(signal=int(signal.SIGINT))
    done = run("-c", script, tiny_checkpoint, "--out", tmp_path / "bundle")
    assert done.returncode == 1
    assert "Aborted" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_killed_midway_the_old_bundle_stays(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    before = (out / "bundle.json").read_bytes()
    script = STOPPED_AT_VERIFICATION.format(signal=int(signal.SIGKILL))
    done = run("-c", script, tiny_checkpoint, "--out", out, "--force")
    assert done.returncode == -signal.SIGKILL
    assert (out / "bundle.json").read_bytes() == before


def test_decoding_is_measured_beside_the_held_out_text(tiny_checkpoint: Path) -> None:
    settings = ("--temperature", "0.7", "--top-p", "0.9", "--penalty", "1.1", "--texts", "6")
    done = run("-m", "export.decoding", tiny_checkpoint, *settings)
    assert done.returncode == 0, done.stderr
    assert re.search(r"0\.7 +│ 0\.9 +│ 1\.1 +│ \d+\.\d+%", done.stdout), done.stdout
    assert re.search(r"held-out", done.stdout)


def test_help_teaches_with_an_example() -> None:
    done = plotify("export", "--help")
    assert "plotify export checkpoint --out bundle" in done.stdout
    assert all(option in done.stdout for option in ("--name", "--force"))
