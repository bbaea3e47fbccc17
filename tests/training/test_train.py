import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.trainings import command, losses, metrics, weights


def train(data: Path, out: Path, *more: str) -> str:
    done = subprocess.run(command(data, out, *more), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "checkpoint"
    train(data, out)
    return out


def test_a_training_learns_and_leaves_the_whole_checkpoint(trained: Path) -> None:
    curve = losses(trained, "validation")
    assert curve[max(curve)] < curve[min(curve)] - 0.5
    for name in ("config.json", "tf_model.h5", "tokenizer.json", "test.jsonl"):
        assert (trained / name).stat().st_size > 0
    samples = (trained / "samples.txt").read_text().split("\n\n")
    assert [sample.split(":")[0] for sample in samples] == ["Comedy", "Horror", "Science Fiction"]
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    about = json.loads((trained / "plotify.json").read_text())
    assert about["prompt"]["genres"] == ["Comedy", "Horror", "Science Fiction"]
    assert about["prompt"]["template"] == "{genre}{length}{notes}: {text}"
    assert [each["name"] for each in about["prompt"]["lengths"]] == ["line", "lines", "paragraph", "page"]
    assert about["provenance"]["training"]["val_loss"] == min(curve.values())
    assert {corpus["source"] for corpus in about["provenance"]["corpora"]} == {"mpst", "cmu"}
    assert all(corpus["words"] > 0 for corpus in about["provenance"]["corpora"])
    assert "base" not in about["provenance"]


def test_killed_and_started_again_it_ends_where_an_undisturbed_run_does(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(command(data, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    saved = out / "state" / "last" / "checkpoint"
    deadline = time.monotonic() + 120
    while not saved.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "plotify.json").exists()
    output = train(data, out)
    resumed = re.search(r"resuming after step (\d+)", output)
    assert resumed
    assert int(resumed[1]) >= 10
    for split in ("train", "validation"):
        assert losses(out, split).keys() == losses(trained, split).keys()
        assert losses(out, split) == pytest.approx(losses(trained, split), rel=1e-3)
    for name in ("best_step", "steps", "tokens"):
        assert metrics(out)[name] == metrics(trained)[name]


def test_another_command_does_not_continue_a_run(data: Path, trained: Path) -> None:
    done = subprocess.run(command(data, trained, "--seed", "2"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "seed was 1, is now 2" in done.stderr


def test_a_constant_rate_may_be_ended_early_and_gone_on_with(data: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    constant = ("--schedule", "constant")
    train(data, out, *constant, "--max-steps", "6")
    assert metrics(out)["steps"] == 6
    assert "resuming after step 6" in train(data, out, *constant, "--max-steps", "12")
    train(data, whole, *constant, "--max-steps", "12")
    assert losses(out, "train")[12] == pytest.approx(losses(whole, "train")[12], rel=1e-3)
    done = subprocess.run(command(data, out, "--max-steps", "12"), capture_output=True, text=True, timeout=300)
    assert "schedule was constant, is now linear" in done.stderr


def test_a_run_that_an_older_version_began_is_resumed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(data, out, "--max-steps", "4")
    record = out / "state" / "run.json"
    begun = json.loads(record.read_text())
    del begun["sources"], begun["schedule"]
    record.write_text(json.dumps(begun))
    assert "resuming after step 4" in train(data, out, "--max-steps", "4")


def test_two_stages_read_their_own_sources(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    said = train(data, first, "--max-steps", "4", "--source", "mpst")
    assert 100 < int(re.search(r"train: (\d+) documents", said)[1]) <= 140  # type: ignore[index]
    said = train(data, second, "--max-steps", "4", "--source", "cmu", "--base", str(first))
    assert 100 < int(re.search(r"train: (\d+) documents", said)[1]) <= 140  # type: ignore[index]
    assert {json.loads(line)["source"] for line in (second / "test.jsonl").read_text().splitlines()} == {"cmu"}


@pytest.fixture(scope="module")
def ten_steps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten steps in float32, as a graph without XLA."""
    out = tmp_path_factory.mktemp("ten-steps") / "checkpoint"
    train(data, out, "--max-steps", "10", "--no-xla", "--precision", "float32")
    return out


@pytest.mark.parametrize("mode", ["--eager", "--xla"])
def test_eager_and_compiled_steps_agree(data: Path, ten_steps: Path, tmp_path: Path, mode: str) -> None:
    train(data, tmp_path / "out", mode, "--max-steps", "10")
    assert losses(tmp_path / "out", "train") == pytest.approx(losses(ten_steps, "train"), rel=1e-3)


def test_a_checkpoint_is_a_base_and_keeps_its_tokenizer(data: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    done = subprocess.run(
        [*command(data, out, "--max-steps", "10"), "--base", str(trained)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "tokenizer.json").read_text()) == json.loads((trained / "tokenizer.json").read_text())
    before = json.loads((trained / "plotify.json").read_text())["provenance"]
    assert json.loads((out / "plotify.json").read_text())["provenance"]["base"]["training"] == before["training"]
    best = min(losses(trained, "validation").values())
    assert losses(out, "validation")[0] == pytest.approx(best, rel=1e-3)  # it began from the trained weights
    assert losses(out, "validation")[10] < best + 0.05


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_learns_like_float32(data: Path, ten_steps: Path, tmp_path: Path, precision: str) -> None:
    train(data, tmp_path / "mixed", "--max-steps", "10", "--precision", precision)
    assert losses(tmp_path / "mixed", "validation") == pytest.approx(losses(ten_steps, "validation"), rel=0.02)


def test_patience_ends_a_run_with_the_best_weights(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "impatient"
    # such a high learning rate soon makes the model worse
    train(data, out, "--learning-rate", "1.0", "--patience", "1", "--evaluate-every", "2", "--epochs", "50")
    curve = losses(out, "validation")
    assert metrics(out)["stopped"] == "patience"
    assert metrics(out)["best_step"] == min(curve, key=lambda step: curve[step]) < max(curve)


def test_errors_say_what_to_do(data: Path, tmp_path: Path) -> None:
    for words, says in (
        (["--data", str(tmp_path)], "plotify prepare"),
        (["--base", "no/such-model"], "Give a size (minute, mini, small, 8x384)"),
        (["--base", "2x100"], "--base 2x100: a size is LAYERSxWIDTH/VOCABULARY/CONTEXT"),
        (["--learn-guidance", "2"], "--learn-guidance needs a trained --base"),
    ):
        done = subprocess.run(
            [*command(data, tmp_path / "out"), *words],
            capture_output=True, text=True, timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert done.returncode in (1, 2)
        assert says in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    # a failed start leaves the folder free: the corrected command can use it
    train(data, tmp_path / "out", "--max-steps", "2")


def test_nothing_is_written_beside_an_error(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, tmp_path / "out"), capture_output=True, text=True, timeout=300)
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .*prepare\.json is missing: .*\n", done.stderr)


def test_a_model_learns_to_do_without_guidance(data: Path, trained: Path, tmp_path: Path) -> None:
    words = ("--base", str(trained), "--learn-guidance", "3", "--max-steps", "30", "--learning-rate", "1e-3")
    train(data, tmp_path / "guided", *words)
    distances = losses(tmp_path / "guided", "validation")
    assert 0 < distances[30] < 0.8 * distances[0]
    train(data, tmp_path / "further", "--base", str(tmp_path / "guided"), "--max-steps", "2")
    folders = (trained, tmp_path / "guided", tmp_path / "further")
    described = [json.loads((each / "plotify.json").read_text()) for each in folders]
    assert [each["sampling"]["guidance"] for each in described] == [2, 1, 1]


def test_a_share_of_the_base_is_kept(data: Path, trained: Path, tmp_path: Path) -> None:
    steps = ("--base", str(trained), "--max-steps", "10", "--learning-rate", "1e-3")
    whole, half = tmp_path / "whole", tmp_path / "half"
    train(data, whole, *steps)
    assert "50% of the base kept: val_loss" in train(data, half, *steps, "--keep-base", "0.5")
    base, moved, between = (weights(each) for each in (trained, whole, half))
    assert any(np.abs(base[name] - moved[name]).max() > 1e-3 for name in base)
    for name in base:  # checkpoints hold float16 values
        assert between[name] == pytest.approx((base[name] + moved[name]) / 2, abs=2e-3)
    assert metrics(half)["bits_per_byte"] != metrics(whole)["bits_per_byte"]
