"""Starts a target, warms it, runs Locust against it, and keeps the records of both."""

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
"""Seconds that Locust may take beyond its run to start and to stop."""

WARM_TOKENS = 8
PATIENCE = 600.0
"""Seconds until a server that says nothing has failed, as with Locust's users."""


@dataclass(frozen=True)
class LoadRun:
    """The records of one run of Locust. level: users, or requests a second. written: tokens by the server's count."""

    target: str
    label: str
    level: float
    asked: Sequence[Asked]
    stages: Sequence[Stage]
    watch: ProcessorWatch
    written: int

    @property
    def received(self) -> int:
        """Tokens by the generator's count."""
        return sum(each.tokens for each in self.asked)


def start(target: str, bundle: Path, checkpoint: Path | None, precision: str, users: int, log: Path) -> Server:
    """One of `TARGETS` on a free port of the loopback, in a process of its own, with room for so many in its queue."""
    if target == "served":
        return plotify(log, model=bundle, precision=precision, queue=max(64, users))
    framework = "tensorflow" if target == "eager" else target
    flags = ("--port", "0", "--model", str(checkpoint), "--framework", framework)
    return serving(["-m", "benchmarks.eager_server", *flags], log)


def warm(server: Serving) -> None:
    """Asks for two short texts. Raises ChildProcessError if that fails."""
    body = {"model": server.model, "prompt": "A fox", "max_tokens": WARM_TOKENS, "ignore_eos": True}
    for _ in range(2):
        _ask(server, "POST", "/v1/completions", json=body)


def run_locust(target: str, server: Serving, planned: PlannedRun, folder: Path, flags: Sequence[Any]) -> LoadRun:
    """Runs Locust against a server, as planned and for `SPARE` more at most; its log and CSV files go to `folder`.

    Raises ChildProcessError if it fails; failures of the server are no failure of this.
    """
    shutil.rmtree(folder, ignore_errors=True)  # the records of an earlier run are none of this one
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
    """Tokens since the server began, by its own count."""
    return int(_ask(server, "GET", "/healthz").json()["written"])


def _ask(server: Serving, method: str, path: str, **more: Any) -> httpx.Response:
    """Raises ChildProcessError for a server that does not answer well: it is one of ours, and has failed."""
    try:
        return httpx.request(method, server.address + path, timeout=PATIENCE, **more).raise_for_status()
    except httpx.HTTPError as failed:
        raise ChildProcessError(f"the server failed: {failed}; server.log has its last words") from failed
