"""The image `cpu` as a container. PLOTIFY_TEST_IMAGE names the image; `.ci/run` builds it."""

import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.settings import SHIPPED_MODEL
from tests.deployment.compose import SERVICES
from tests.server.desk.visiting import Visitor, typed

IMAGE = os.environ.get("PLOTIFY_TEST_IMAGE", "")

pytestmark = pytest.mark.skipif(not IMAGE, reason="PLOTIFY_TEST_IMAGE names no image of Plotify")

SECONDS = 120
"""The longest start on a busy machine, because Numba compiles in each new container."""


def docker(*words: str) -> str:
    """Return the output of a Docker command. Fail the test on an error."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def start(name: str, volume: str) -> str:
    """Start the server as confined by compose.yaml, on a free port of the host, and return its address."""
    web = SERVICES["web"]
    confined = ["--read-only"] if web["read_only"] else []
    confined += [f"--tmpfs={path}" for path in web["tmpfs"]]
    confined += [f"--cap-drop={capability}" for capability in web["cap_drop"]]
    confined += [f"--security-opt={option}" for option in web["security_opt"]]
    settings = ["--env=PLOTIFY_HOST=127.0.0.1", "--env=PLOTIFY_PORT=0", "--env=PLOTIFY_THREADS=1"]
    mounted = f"--volume={volume}:/var/lib/plotify"
    docker("run", "--detach", "--name", name, "--network=host", *confined, *settings, mounted, IMAGE)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done = subprocess.run(["docker", "logs", name], capture_output=True, text=True)
        if found := re.search(r"http://127\.0\.0\.1:\d+", done.stdout + done.stderr):
            return found[0]
        assert docker("inspect", "--format={{.State.Running}}", name) == "true\n", done.stderr
        time.sleep(0.2)
    raise AssertionError(f"no address in {SECONDS} seconds: {done.stderr}")


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    name = f"plotify-test-{secrets.token_hex(4)}"
    yield name
    docker("volume", "rm", name)


@pytest.fixture(scope="module")
def container(volume: str) -> Iterator[tuple[str, str]]:
    """The name and the address of a server."""
    name = f"plotify-test-{secrets.token_hex(4)}"
    try:
        yield name, start(name, volume)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


def test_it_writes_what_the_engine_writes_outside(container: tuple[str, str]) -> None:
    asked = {"model": "plotify-mini", "prompt": "A fox", "max_tokens": 24, "seed": 7}
    answer = httpx.post(f"{container[1]}/v1/completions", json=asked, timeout=SECONDS).raise_for_status().json()
    with Engine(Bundle.load(SHIPPED_MODEL), EngineConfig(threads=1, rows=2)) as engine:
        written = engine.submit(Request("A fox", Sampling(max_tokens=24, seed=7)))
        assert answer["choices"][0]["text"] == "".join(piece.text for piece in written) != ""


def test_it_has_no_rights_and_can_change_its_volume_alone(container: tuple[str, str]) -> None:
    status = docker("exec", container[0], "cat", "/proc/1/status")
    assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
    assert re.findall(r"^Cap\w+:\s+(\w+)$", status, re.MULTILINE) == ["0" * 16] * 5
    assert "NoNewPrivs:\t1\n" in status
    folders = "/ /opt/plotify /opt/plotify/.venv /var/lib /var/lib/plotify /tmp"
    script = f"for folder in {folders}; do touch $folder/x && echo $folder; done"
    done = subprocess.run(["docker", "exec", container[0], "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["/var/lib/plotify", "/tmp"]


def test_it_has_no_libraries_for_gpus_and_no_pip(container: tuple[str, str]) -> None:
    files = docker("exec", container[0], "find", "/opt/plotify/.venv")
    assert "onnxruntime_pybind11_state" in files
    assert not re.search(r"providers_cuda|providers_tensorrt|/nvidia/|/torch/|/tensorflow/|/pip/", files)


def test_a_shelf_outlives_its_container(volume: str) -> None:
    names = [f"plotify-test-{secrets.token_hex(4)}" for _ in range(2)]
    try:
        with httpx.Client(base_url=start(names[0], volume), timeout=SECONDS) as client:
            plot = Visitor(client).keep("It rained.")["plot"]
            cookies = client.cookies
        docker("stop", names[0])
        assert docker("inspect", "--format={{.State.ExitCode}}", names[0]) == "0\n"
        with httpx.Client(base_url=start(names[1], volume), timeout=SECONDS, cookies=cookies) as client:
            assert typed(client.get(f"/shelf/{plot}").text) == "It rained."
    finally:
        subprocess.run(["docker", "rm", "--force", *names], capture_output=True)
