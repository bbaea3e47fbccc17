"""`plotify serve --replicas` before anything is served."""

import socket
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import RayServeException

from server.cli import plotify
from server.settings import Settings


def serve(tmp_path: Path, *arguments: str | Path) -> Result:
    environment = {"PLOTIFY_DATABASE": str(tmp_path / "shelf.sqlite")}
    given = [str(argument) for argument in ("serve", "--replicas", 2, "--port", 0, *arguments)]
    return CliRunner(env=environment).invoke(plotify, given)


def test_a_missing_ray_is_told_with_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "server.cluster", raising=False)
    monkeypatch.delitem(sys.modules, "server.cluster.local", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = serve(tmp_path)
    assert done.exit_code == 1
    assert "ray is not installed" in done.output
    assert "-m pip install -c constraints.txt -e '.[scale]'" in done.output


def test_a_bundle_that_is_none_is_refused_before_ray_starts(tmp_path: Path) -> None:
    done = serve(tmp_path, "--model", tmp_path)
    assert done.exit_code == 1
    assert str(tmp_path) in done.output


def test_a_precision_that_the_bundle_lacks_is_refused_before_ray_starts(tmp_path: Path) -> None:
    done = serve(tmp_path, "--precision", "fp16")
    assert done.exit_code == 1
    assert "there is no fp16 model in this bundle" in done.output


def test_the_port_stays_taken_until_the_proxy_listens(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray opens dozens of ports while it starts, and once took this one."""
    from server.cluster import local

    def start(http_options: dict[str, Any], **_: object) -> None:
        address = http_options["host"], http_options["port"]
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(address)
        with socket.create_server(address, reuse_port=True), socket.create_connection(address):
            raise RuntimeError("the proxy could listen")

    monkeypatch.setattr(local, "ray", SimpleNamespace(init=lambda *_, **__: None, shutdown=lambda: None))
    monkeypatch.setattr(local, "serve", SimpleNamespace(start=start, shutdown=lambda: None))
    monkeypatch.setattr(local, "signal", SimpleNamespace(SIGTERM=0, SIGINT=0, signal=lambda *_: None))
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="the proxy could listen"):
            local.run(Settings(model=tiny_bundle, replicas=2), bound, print)


@pytest.mark.parametrize(
    ("raylet", "says"),
    [
        (True, "No app has answered for 60 seconds, and Ray does not replace them"),
        (False, "No app answers, because Ray's raylet has died"),
    ],
)
def test_lost_apps_end_the_command_with_an_error(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raylet: bool, says: str
) -> None:
    """A supervisor then starts it again. Ray's raylet, for one, is started by nobody again."""
    from server.cluster import local

    answers = iter(
        [True, TimeoutError("no replica"), True, RayServeException("gone"), ActorDiedError(), TimeoutError()]
    )

    def result(timeout_s: float) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    app = SimpleNamespace(answer=SimpleNamespace(remote=lambda: SimpleNamespace(result=result)))
    ended = []
    asked = SimpleNamespace(
        init=lambda *_, **__: None, nodes=lambda: [{"Alive": raylet}], shutdown=lambda: ended.append("ray")
    )
    monkeypatch.setattr(local, "ray", asked)
    serving = SimpleNamespace(start=lambda **_: None, run=lambda *_, **__: app, shutdown=lambda: ended.append("serve"))
    monkeypatch.setattr(local, "serve", serving)
    monkeypatch.setattr(local, "deployments", lambda _: None)
    monkeypatch.setattr(local, "signal", SimpleNamespace(SIGTERM=0, SIGINT=0, signal=lambda *_: None))
    monkeypatch.setattr(local, "LOOK", 0.001)
    clock = count(step=local.LOST / 2)
    monkeypatch.setattr(local, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    done = serve(tmp_path, "--model", tiny_bundle)
    assert done.exit_code == 1
    assert says in done.output
    assert ended == ["serve", "ray"]
