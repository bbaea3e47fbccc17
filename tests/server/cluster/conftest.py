"""One server with two replicas for most tests in this folder, because Ray takes ten seconds to start."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

ROWS = 16


@dataclass(frozen=True)
class Cluster:
    """A server at `address`, and its process."""

    address: str
    process: subprocess.Popen[str]

    def replicas(self, deployment: str = "Engine") -> set[int]:
        """Return the ids of the processes of a deployment."""
        found = set()
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if f"ServeReplica:plotify:{deployment}" in " ".join(child.cmdline()):
                    found.add(child.pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def figure(self, name: str) -> float:
        """Return the value of a metric."""
        text = httpx.get(f"{self.address}/metrics").text
        found = re.search(rf"^plotify:{name}{{.*}} (.*)$", text, re.MULTILINE)
        assert found, name
        return float(found[1])


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The server with two working replicas, whatever the test before did to them."""
    deadline = time.monotonic() + 60
    while started.figure("rows") < 2 * ROWS:
        assert time.monotonic() < deadline, "a replica that was killed is not replaced"
        time.sleep(0.1)
    return started


@pytest.fixture(scope="session")
def started(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start one app and two slow replicas with one queue, and check for a clean end."""
    with serving(tiny_bundle, tmp_path_factory.mktemp("shelf"), apps=1) as cluster:
        yield cluster


@contextmanager
def serving(bundle: Path, folder: Path, apps: int) -> Iterator[Cluster]:
    """Serve with two slow replicas and a shelf in a folder, and check for a clean end."""
    environment = os.environ | {
        "PLOTIFY_DATABASE": str(folder / "shelf.sqlite"),
        "PLOTIFY_MODEL": str(bundle),
        "PLOTIFY_ROWS": str(ROWS),
        "PLOTIFY_QUEUE": "32",
        "PLOTIFY_GRACE": "5",
    }
    command = [sys.executable, "-c", "from tests.server.cluster.slow import main; main()"]
    numbers = ["--replicas", "2", "--apps", str(apps), "--port", "0"]
    process = subprocess.Popen([*command, "serve", *numbers], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = next((line for line in process.stdout if "Plotify writes" in line), "")
    assert line, "the server did not start"
    yield Cluster(line.split()[-1], process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    deadline = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, "processes of Ray were left behind"
        time.sleep(0.1)
