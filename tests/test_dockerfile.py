"""The container is built of what there is, and runs without rights: read off the Dockerfile, without Docker."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from server.routes.health import health

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each, lines that go on joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def copied() -> list[str]:
    """What is copied from the repository."""
    lines = [shlex.split(rest) for rest in arguments("COPY")]
    return [source for words in lines if not words[0].startswith("--from") for source in words[:-1]]


def test_it_runs_as_nobody() -> None:
    (user,) = arguments("USER")
    assert int(user) > 0, "by number, so that an orchestrator sees that it is not root"
    assert [name for name, _ in instructions()].index("USER") > max(
        index for index, (name, _) in enumerate(instructions()) if name in ("RUN", "COPY")
    )


def test_it_writes_on_a_volume_of_its_own_alone() -> None:
    (volume,) = arguments("VOLUME")
    (user,) = arguments("USER")
    environment = dict(word.partition("=")[::2] for rest in arguments("ENV") for word in shlex.split(rest))
    assert Path(environment["PLOTIFY_DATABASE"]).parent == Path(volume)
    assert any(rest.endswith(f"install --directory --owner={user} --mode=700 {volume}") for rest in arguments("RUN"))


def test_what_it_copies_is_there_and_not_ignored() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == let_in
    assert all((ROOT / source).exists() for source in copied())


def test_it_has_all_packages_and_what_they_read() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.rstrip("*") for package in packages} | {"templates", "models"} <= set(copied())


def test_it_installs_as_make_serve_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (install,) = re.findall(r"^PIP_INSTALL = (.*)$", makefile, re.MULTILINE)
    (editable,) = re.findall(r"^\t\$\(PIP_INSTALL\) (--editable \.)$", makefile, re.MULTILINE)
    wanted = set(f"{install} {editable}".split()) - {"--quiet"}
    (line,) = [rest for rest in arguments("RUN") if "pip install" in rest]
    assert wanted <= set(line.split())


def test_its_python_is_one_that_the_project_takes() -> None:
    least, beyond = re.findall(
        r"3\.(\d+)", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    for image in arguments("FROM"):
        (minor,) = re.findall(r"^python:3\.(\d+)-slim", image)
        assert int(least) <= int(minor) < int(beyond)


@pytest.mark.parametrize("name", ["HEALTHCHECK", "CMD"])
def test_it_serves_and_is_looked_after(name: str) -> None:
    (rest,) = arguments(name)
    wanted = {"HEALTHCHECK": f"http://127.0.0.1:8000{next(iter(health.paths))}", "CMD": '["plotify", "serve"]'}
    assert wanted[name] in rest
