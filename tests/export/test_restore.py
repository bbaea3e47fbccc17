"""A bundle turned back into a checkpoint: the same model, ready to train."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.graph import Graph
from export.restore import restore_checkpoint
from tests.conftest import PYTHON, run

# Run as a process of its own, to keep TensorFlow out of the test process. It loads the base as `plotify train` does.
READ = """
import sys
import numpy as np
from training.model import load_model, load_tokenizer
model = load_model(sys.argv[1], load_tokenizer(sys.argv[1], ()), None)
np.save(sys.argv[3], model(np.load(sys.argv[2]), use_cache=False, training=False).logits.numpy())
"""


def alone(bundle: Path, precision: str, folder: Path) -> Path:
    """Return a copy of a bundle with one of its precisions."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["precisions"] = {precision: manifest["precisions"][precision]}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-3), ("int8", 0.06)])
def test_the_restored_model_is_the_exported_one(
    tiny_bundle: Path, checkpoint: Checkpoint, tmp_path: Path, precision: str, tolerance: float
) -> None:
    """The logits differ by the rounding of the weights alone: root mean square, in standard deviations."""
    bundle = alone(tiny_bundle, precision, tmp_path / "bundle")
    assert restore_checkpoint(bundle, tmp_path / "restored") == precision
    ids = np.array([checkpoint.encode("Drama: A door opens, and nobody is there.")], np.int64)
    np.save(tmp_path / "ids.npy", ids)
    run(PYTHON, "-c", READ, tmp_path / "restored", tmp_path / "ids.npy", tmp_path / "logits.npy")
    expected = Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model).logits(ids)
    difference = np.load(tmp_path / "logits.npy") - expected
    assert np.sqrt(np.mean(difference**2)) / expected.std() <= tolerance


def test_the_closest_precision_is_taken(tiny_bundle: Path, tmp_path: Path) -> None:
    assert restore_checkpoint(tiny_bundle, tmp_path / "restored") == "fp32"


def test_a_damaged_bundle_is_refused_by_name_and_nothing_is_written(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = alone(tiny_bundle, "int8", tmp_path / "bundle")
    with (bundle / "model.int8.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ExportError, match=r"model\.int8\.onnx: damaged"):
        restore_checkpoint(bundle, tmp_path / "restored")
    with pytest.raises(ExportError, match="is not a bundle"):
        restore_checkpoint(tmp_path, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_checkpoint_is_replaced_only_by_force(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "restored"
    restore_checkpoint(tiny_bundle, out)
    with pytest.raises(ExportError, match="already exists"):
        restore_checkpoint(tiny_bundle, out)
    (out / "loss.png").touch()
    restore_checkpoint(tiny_bundle, out, force=True)
    assert not (out / "loss.png").exists()
