"""Training on two devices, or with two workers, compared with one device.

The losses must agree to a relative 1e-3 over all steps, like those of a resumed run. Gradients are summed in another
order. This shows in the sixth or seventh digit at first, and every step builds on the one before. A replica with the
wrong weight, or rows read twice, would show in the second digit. Each replica would draw its own dropout, but `minute`
has none.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.test_workers import free_addresses
from tests.training.trainings import command, losses, metrics

STEPS = ("--max-steps", "20")

MIRRORED = """
import sys
import training.model  # first: it sets how TensorFlow loads
import tensorflow as tf
from server.cli import main
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1]))
main(sys.argv[2:])
"""

GONE = 90
"""Seconds for a worker to end after another one.

TensorFlow's heartbeats take 10 to 30; the rest is for load.
"""


def mirrored(devices: int, data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = command(data, out, *STEPS, "--distribute", "mirrored", *more)[1:]
    code = [sys.executable, "-c", MIRRORED, str(devices)]
    return subprocess.run([*code, *words], capture_output=True, text=True, timeout=300)


def start_workers(data: Path, out: Path, addresses: list[str]) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            command(data, out, *STEPS, "--distribute", "multiworker"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            )},
        )
        for index in range(len(addresses))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "checkpoint"
    done = subprocess.run(command(data, out, *STEPS), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def assert_same_run(out: Path, alone: Path) -> None:
    for split in ("train", "validation"):
        assert losses(out, split) == pytest.approx(losses(alone, split), rel=1e-3)
    for name in ("best_step", "steps", "tokens"):
        assert metrics(out)[name] == metrics(alone)[name]


def test_two_devices_of_a_machine_train_as_one_does(data: Path, alone: Path, tmp_path: Path) -> None:
    done = mirrored(2, data, tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 replicas" in done.stdout
    assert_same_run(tmp_path / "out", alone)


def test_two_workers_train_as_one_does_though_one_is_killed_and_both_started_again(
    data: Path, alone: Path, tmp_path: Path
) -> None:
    out, addresses = tmp_path / "out", free_addresses(2)
    chief, other = start_workers(data, out, addresses)
    try:
        deadline = time.monotonic() + 120
        while not (out / "state" / "last" / "checkpoint").exists():
            assert chief.poll() is None, chief.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        other.send_signal(signal.SIGKILL)
        said = " ".join(chief.communicate(timeout=GONE)[0].split())
        assert chief.returncode == 1
        assert "worker 0 of 2: the workers cannot go on" in said
        assert "give the same commands to resume" in said
        assert "Traceback" not in said
        assert not (out / "plotify.json").exists()
    finally:
        chief.kill()
        other.kill()
        other.communicate()

    workers = start_workers(data, out, addresses)
    try:
        told, silent = (worker.communicate(timeout=240)[0] for worker in workers)
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], told + silent
    resumed = re.search(r"resuming after step (\d+)", told)
    assert resumed
    assert int(resumed[1]) >= 10
    assert_same_run(out, alone)
    for word in ("val_loss", "replicas", "Comedy", "metrics.json"):
        assert word in told
        assert word not in silent


def test_more_devices_than_a_batch_has_rows_are_refused(data: Path, tmp_path: Path) -> None:
    done = mirrored(9, data, tmp_path / "out", "--batch-tokens", "512")
    said = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert re.search(r"a batch has 4 rows of 128 tokens, too few for 9 devices: give --batch-tokens 1152", said)
    assert not (tmp_path / "out" / "state" / "run.json").exists()


def test_one_device_has_nothing_to_mirror_onto(data: Path, tmp_path: Path) -> None:
    done = mirrored(1, data, tmp_path / "out")
    assert done.returncode == 1
    assert "TensorFlow sees one device here" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
