"""`plotify export` from end to end, on the minute checkpoint."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from export import bundle as exporting
from export.cli import export
from export.errors import ExportError

ROOT = Path(__file__).parents[2]

STOPPED_AT_VERIFICATION = """
import signal, sys
from export import bundle
from export.cli import export
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
def stop(*arguments):
    signal.raise_signal({signal})  # to this thread: another one might take a signal to the process
bundle.verify = stop
export.main(sys.argv[1:])
"""

ONE_WEIGHT_OFF = """
import sys
from onnx import numpy_helper
from export import bundle
from export.cli import export
write_graph = bundle.write_graph
def corrupt(model, checkpoint, folder):
    graph = write_graph(model, checkpoint, folder)
    tensor = next(each for each in graph.graph.initializer if each.name == "transformer.wpe.weight")
    values = numpy_helper.to_array(tensor).copy()
    values[2, 7] += 0.05
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return graph
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
    done = plotify("export", tiny_checkpoint, "--out", bundle, "--name", "renamed", "--precision", "all", "--force")
    assert done.returncode == 0, done.stderr
    assert list(bundle.parent.iterdir()) == [bundle]
    assert "renamed" in done.stdout
    assert "bits per byte" in done.stdout
    assert manifest_of(bundle)["name"] == "renamed"
    # The same checkpoint gives the same bundle, byte for byte, except for the name.
    assert sorted(file.name for file in bundle.iterdir()) == sorted(file.name for file in tiny_bundle.iterdir())
    for file in bundle.iterdir():
        named = file.read_bytes().replace(b"renamed", b"plotify-tiny")
        assert named == (tiny_bundle / file.name).read_bytes(), file.name


def test_an_existing_bundle_is_refused_before_any_work(tiny_checkpoint: Path, tiny_bundle: Path) -> None:
    before = (tiny_bundle / "bundle.json").read_bytes()
    done = plotify("export", tiny_checkpoint, "--out", tiny_bundle)
    assert done.returncode == 1
    assert "already exists" in done.stderr
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


def test_triton_is_not_loaded_beside_tensorflow(tmp_path: Path) -> None:
    """PyTorch brings it along on most machines. Here it ends the process at once, as the real one does."""
    (tmp_path / "triton.py").write_text("import os; os.abort()")
    code = "import export.convert, tensorflow, torch._dynamo"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True)


def test_help_teaches_with_an_example() -> None:
    done = plotify("export", "--help")
    assert "plotify export checkpoint --out bundle" in done.stdout
    assert all(option in done.stdout for option in ("--name", "--force", "--precision"))


@pytest.mark.parametrize(
    ("given", "precisions"),
    [
        ((), ("fp32", "int8")),
        (("--precision", "all"), ("fp32", "int8", "fp16")),
        (("--precision", "int8,fp32,int8"), ("int8", "fp32")),
    ],
)
def test_the_precisions_asked_for_are_the_ones_made(
    given: tuple[str, ...], precisions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def instead(*arguments: object) -> None:
        asked.append(arguments[4])
        raise ExportError("far enough")

    monkeypatch.setattr(exporting, "export_bundle", instead)
    done = CliRunner().invoke(export, [str(tmp_path), "--out", str(tmp_path / "bundle"), *given])
    assert (done.exit_code, done.output) == (1, "Error: far enough\n")
    assert asked == [precisions]


@pytest.mark.parametrize("given", ["int4", "fp32,bf16", "", "all,int8", "INT8"])
def test_another_precision_is_refused_before_any_work(given: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(export, [str(tmp_path), "--out", str(tmp_path / "bundle"), "--precision", given])
    assert done.exit_code == 2
    assert "is not one of fp32, int8, fp16; give all for all of them" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []
