"""`plotify serve --replicas` before anything is served."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.cli import plotify


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
    assert "needs ray, which is not installed" in done.output
    assert "-m pip install -c constraints.txt -e '.[scale]'" in done.output


def test_a_bundle_that_is_none_is_refused_before_ray_starts(tmp_path: Path) -> None:
    done = serve(tmp_path, "--model", tmp_path)
    assert done.exit_code == 1
    assert str(tmp_path) in done.output


def test_a_precision_that_the_bundle_lacks_is_refused_before_ray_starts(tmp_path: Path) -> None:
    done = serve(tmp_path, "--precision", "fp16")
    assert done.exit_code == 1
    assert "there is no fp16 model in this bundle" in done.output
