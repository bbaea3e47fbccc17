"""Runs of a load test: start a target, warm it up, run Locust against it, and collect the records."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load.record import Asked, Stage, read
from benchmarks.load.shapes import PlannedRun
from benchmarks.process import Server, Serving, plotify, serving
from benchmarks.processor_time import ProcessorWatch

TARGETS = {"served": "Plotify", "eager": "TensorFlow eager, the baseline", "pytorch": "PyTorch eager"}
ROOT = Path(__file__).resolve().parents[2]
SPARE = 60.0
"""Seconds for Locust to start and to stop, besides its run."""

WARM_TOKENS = 8
PATIENCE = 600.0
"""Seconds without data after which a server has failed, the same as for Locust's users."""


@dataclass(frozen=True)
class LoadRun:
    """The records of one run of Locust.

    Attributes:
        level: users, or requests per second.
        written: the number of tokens, by the server's count.
    """

    target: str
    label: str
    level: float
    asked: Sequence[Asked]
    stages: Sequence[Stage]
    watch: ProcessorWatch
    written: int

    @property
    def received(self) -> int:
        """The number of tokens, by the generator's count."""
        return sum(each.tokens for each in self.asked)


def start(target: str, bundle: Path, checkpoint: Path | None, precision: str, users: int, log: Path) -> Server:
    """Start one of `TARGETS` on a free port of the loopback, with room for `users` in its queue."""
    if target == "served":
        return plotify(log, model=bundle, precision=precision, queue=max(64, users))
    framework = "tensorflow" if target == "eager" else target
    flags = ("--port", "0", "--model", str(checkpoint), "--framework", framework)
    return serving(["-m", "benchmarks.eager_server", *flags], log)


def warm(server: Serving) -> None:
    """Request two short texts. Raises ChildProcessError if that fails."""
    body = {"model": server.model, "prompt": "A fox", "max_tokens": WARM_TOKENS, "ignore_eos": True}
    for _ in range(2):
        _ask(server, "POST", "/v1/completions", json=body)


def run_locust(target: str, server: Serving, planned: PlannedRun, folder: Path, flags: Sequence[Any]) -> LoadRun:
    """Run Locust against a server as planned, for at most `SPARE` seconds longer. `folder` has its files.

    Raises:
        ChildProcessError: Locust has failed. The server's failures are not errors here.
    """
    shutil.rmtree(folder, ignore_errors=True)  # it may have records of an earlier run
    folder.mkdir(parents=True)
    files = ("--csv", folder / "locust", "--record", folder / "requests")
    plain = ("--headless", "--only-summary", "--exit-code-on-error", 0, "--host", server.address)
    locust = ("-m", "locust", "-f", ROOT / "benchmarks" / "locustfile.py", *plain, *files, *planned.flags, *flags)
    command = [sys.executable, *map(str, locust)]
    limit = planned.seconds + SPARE
    before = _written(server)
    with (folder / "locust.log").open("w") as log:
        generator = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        with generator, ProcessorWatch(generator.pid, server.pid) as watch:
            try:
                code = generator.wait(timeout=limit)
            except subprocess.TimeoutExpired as stuck:
                raise ChildProcessError(f"Locust did not end after {limit:.0f} s") from stuck
            finally:
                generator.kill()
    if code:
        raise ChildProcessError(f"Locust failed: {(folder / 'locust.log').read_text()[-2000:]}")
    asked, stages = read(folder / "requests")
    return LoadRun(target, planned.label, planned.level, asked, stages, watch, _written(server) - before)


def _written(server: Serving) -> int:
    """Return the number of tokens since the server's start, by its own count."""
    return int(_ask(server, "GET", "/healthz").json()["written"])


def _ask(server: Serving, method: str, path: str, **more: Any) -> httpx.Response:
    """Send a request. Raises ChildProcessError if the answer is an error: one of our servers has failed."""
    try:
        return httpx.request(method, server.address + path, timeout=PATIENCE, **more).raise_for_status()
    except httpx.HTTPError as failed:
        raise ChildProcessError(f"the server failed: {failed}; server.log has its last words") from failed
