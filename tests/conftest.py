"""Shared fixtures: a tiny checkpoint and its bundle, made once in each session."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No limits on time: the duration of an example depends on the load of the machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).parent.parent

PYTHON = Path(sys.executable)

# The default place of a shelf: not among the user's own plots.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="plotify-tests-")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in logs: reports pass between processes as UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a command in `folder`. If it fails, fail the test with its output."""
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights: 2 layers, 2 heads, width 32, a vocabulary of 400, context 128."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    folder.mkdir()
    run(PYTHON, "tests/tiny_checkpoint.py", folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Path:
    """The bundle of `tiny_checkpoint`, exported in every precision."""
    bundle = tiny_checkpoint.parent / "bundle"
    run(PYTHON.with_name("plotify"), "export", tiny_checkpoint, "--out", bundle, "--precision", "all")
    return bundle
