"""No telemetry: the project's programs look up no host names, and store nothing to send."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED")
PACKAGES = ("server", "export", "voice", "benchmarks", "training", "tests")
PLOTIFY = str(Path(sys.executable).with_name("plotify"))


def unsilenced(home: Path) -> dict[str, str]:
    """Return the environment of a new user, without the variables against telemetry."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_silences_what_it_may_import(package: str, tmp_path: Path) -> None:
    code = f"import {package}, os; print([os.environ.get(name) for name in {VARIABLES}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=unsilenced(tmp_path))
    assert done.stdout.split() == ["['1',", "'1',", "'0']"], done.stderr


def test_generating_keeps_no_device_id_and_no_events(tmp_path: Path) -> None:
    command = [PLOTIFY, "generate", "A fox", "--max-tokens", "3", "--seed", "1"]
    subprocess.run(command, capture_output=True, check=True, timeout=300, env=unsilenced(tmp_path))
    assert not [
        file for file in tmp_path.rglob("*") if re.search("microsoft|deviceid|telemetry", file.name, re.IGNORECASE)
    ]


WRITING = """
import sys, time
from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.settings import SHIPPED_MODEL
with Engine(Bundle.load(SHIPPED_MODEL), EngineConfig(threads=1)) as engine:
    assert list(engine.submit(Request("A fox", Sampling(max_tokens=3, seed=1))))
    time.sleep(float(sys.argv[1]))
"""
UPLOADS = 12
"""Seconds after which ONNX Runtime with telemetry would have looked up its host."""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed (apt-get install strace)")
def test_an_engine_that_writes_looks_up_no_name(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    tracing = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmmsg", "-o", str(trace)]
    command = [*tracing, sys.executable, "-c", WRITING, str(UPLOADS)]
    subprocess.run(command, capture_output=True, check=True, timeout=500, env=unsilenced(tmp_path))
    assert not re.findall(r"sin6?_port=htons\((?:53|80|443)\)", trace.read_text())
