"""Starts a target, warms it, runs Locust against it, and keeps what both say."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.loadtest.record import Asked, Stage, read
from benchmarks.loadtest.watch import Watch
from benchmarks.process import PLOTIFY, Serving, serving

TARGETS = {
    "served": "Plotify",
    "eager": "TensorFlow eager, the baseline",
    "pytorch": "PyTorch eager",
}
ROOT = Path(__file__).resolve().parents[2]
LOCUSTFILE = ROOT / "benchmarks" / "locustfile.py"
SPARE = 60.0
"""Seconds that Locust may take beyond its run to start and to stop."""

WARM_TOKENS = 8
PATIENCE = 600.0
"""Seconds until a server that says nothing has failed, as with Locust's users."""


@dataclass(frozen=True)
class Run:
    """What one run of Locust left. written: tokens that the server counted meanwhile."""

    asked: Sequence[Asked]
    stages: Sequence[Stage]
    watch: Watch
    written: int


def start(
    target: str, bundle: Path, checkpoint: Path | None, precision: str, users: int, log: Path
) -> AbstractContextManager[Serving]:
    """One of `TARGETS` on a free port of the loopback, in a process of its own, with room for so many in its queue."""
    if target == "served":
        flags = ("--port", "0", "--model", str(bundle), "--precision", precision)
        return serving([*PLOTIFY, "serve", *flags], log, {"PLOTIFY_QUEUE": str(max(64, users))})
    framework = "tensorflow" if target == "eager" else target
    eager = ("--port", "0", "--model", str(checkpoint), "--framework", framework)
    return serving(["-m", "benchmarks.eager_server", *eager], log)


def warm(server: Serving) -> None:
    """Two short requests. Raises ChildProcessError when they fail."""
    order = {"model": server.model, "prompt": "A fox", "max_tokens": WARM_TOKENS, "ignore_eos": True}
    for _ in range(2):
        _ask(server, "POST", "/v1/completions", json=order)


def load(server: Serving, folder: Path, seconds: float, flags: Sequence[Any]) -> Run:
    """Locust against a server, for at most so many seconds and `SPARE`; its own log and CSV files go to `folder`.

    Raises ChildProcessError when it fails; failures of the server are no failure of this.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier run wrote down is none of this one
    folder.mkdir(parents=True)
    files = ("--csv", folder / "locust", "--record", folder / "requests")
    plain = ("--headless", "--only-summary", "--exit-code-on-error", 0, "--host", server.address)
    command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, *plain, *files, *flags]
    before = _written(server)
    with (folder / "locust.log").open("w") as log:
        generator = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        with generator, Watch(generator.pid, server.pid) as watch:
            try:
                code = generator.wait(timeout=seconds + SPARE)
            except subprocess.TimeoutExpired as stuck:
                raise ChildProcessError(f"Locust did not end after {seconds + SPARE:.0f} s") from stuck
            finally:
                generator.kill()
    if code:
        raise ChildProcessError(f"Locust failed: {(folder / 'locust.log').read_text()[-2000:]}")
    asked, stages = read(folder / "requests")
    return Run(asked, stages, watch, _written(server) - before)


def _written(server: Serving) -> int:
    """Tokens since the server began, by its own count."""
    return int(_ask(server, "GET", "/healthz").json()["written"])


def _ask(server: Serving, method: str, path: str, **more: Any) -> httpx.Response:
    """Raises ChildProcessError for a server that does not answer well: it is one of ours, and has failed."""
    try:
        return httpx.request(method, server.address + path, timeout=PATIENCE, **more).raise_for_status()
    except httpx.HTTPError as failed:
        raise ChildProcessError(f"the server failed: {failed}; server.log has what it said") from failed
