"""The Dockerfile: its images have all they need, and run without privileges. No Docker needed."""

import re
import shlex
from pathlib import Path

import pytest

from server.observability.routes import health
from tests.conftest import PYTHON, ROOT, run
from tests.deployment.dockerfile import STAGES, TARGETS, arguments, copied, environment, installed, instructions
from tests.deployment.packages import EXTRAS, PROJECT, brought, imported

SERVING = ("cpu", "cuda", "scale")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def extras_of(target: str) -> set[str]:
    """Return the extras installed with Plotify in a target."""
    return {extra for given in installed(target) for extra in re.findall(r"--editable '\.\[(\w+)\]'", given)}


def test_it_is_free_of_what_hadolint_warns_of() -> None:
    run(PYTHON.with_name("hadolint"), "Dockerfile")


def test_the_processors_is_built_where_no_target_is_named() -> None:
    assert list(STAGES)[-1] == "cpu"


def test_it_runs_as_nobody(target: str) -> None:
    (user,) = arguments(target, "USER")
    assert int(user) > 0, "an orchestrator can only see from a number that it is not root"
    names = [name for name, _ in instructions(target)]
    assert "RUN" not in names[names.index("USER") :]
    assert not any("--chown" in rest for rest in arguments(target, "COPY")), "root must own the served files"


@pytest.mark.parametrize("target", SERVING)
def test_it_writes_on_a_volume_of_its_own_alone(target: str) -> None:
    (volume,) = arguments(target, "VOLUME")
    (user,) = arguments(target, "USER")
    assert Path(environment(target)["PLOTIFY_DATABASE"]).parent == Path(volume)
    assert any(
        rest.endswith(f"install --directory --owner={user} --mode=700 {volume}") for rest in arguments(target, "RUN")
    )


def test_copied_files_are_there_and_not_ignored() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set().union(*(copied(target) for target in TARGETS)) == let_in
    assert all((ROOT / source).exists() for source in let_in)


def test_it_has_all_packages_and_what_they_read(target: str) -> None:
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= copied(target)
    assert ({"templates", "models"} <= copied(target)) == (target in SERVING)


@pytest.mark.parametrize(
    ("target", "extras"),
    [
        ("cpu", {"postgres"}),
        ("cuda", {"postgres"}),
        ("scale", {"postgres", "scale"}),
        ("train", {"postgres", "voice"}),
        ("load", {"postgres", "load"}),
    ],
)
def test_it_has_the_extras_that_it_needs(target: str, extras: set[str]) -> None:
    assert extras_of(target) == extras <= set(EXTRAS)
    assert environment("installed")["PIP_CONSTRAINT"] == "/opt/plotify/constraints.txt"


ENTRIES = {
    "cpu": ["server.app", "server.cli"],
    "cuda": ["server.app", "server.cli"],
    "scale": ["server.cluster", "server.cli"],
    "train": ["training.prepare", "training.train", "export.bundle", "voice.tune", "benchmarks.eager_server"],
    "load": ["benchmarks.locustfile"],
}
"""The modules to run in each target."""


@pytest.mark.parametrize(("target", "modules"), ENTRIES.items())
def test_imports_of_its_modules_are_installed(target: str, modules: list[str]) -> None:
    needed = set().union(*(imported(module, set()) for module in modules))
    assert needed - brought(extras_of(target)) == set()


def test_the_gpus_has_what_gpu_check_installs_and_never_another_onnxruntime() -> None:
    (wanted,) = re.findall(r"\$\(PIP_INSTALL\) ('onnxruntime-gpu.*')", (ROOT / "Makefile").read_text())
    assert installed("cuda")[-1] == wanted
    assert wanted.strip("'").replace("[cuda,cudnn]", "") in PROJECT["project"]["dependencies"][0]


def test_its_python_is_one_that_the_project_takes() -> None:
    least, beyond = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    for stage in STAGES.values():
        if stage.base not in STAGES:
            (minor,) = re.findall(r"^python:3\.(\d+)-slim$", stage.base)
            assert int(least) <= int(minor) < int(beyond)


def test_the_environment_it_was_installed_into_is_where_it_runs(target: str) -> None:
    (origin,) = [rest for rest in arguments(target, "COPY") if rest.startswith("--from=")]
    assert arguments("installed", "WORKDIR") == arguments(target, "WORKDIR") == shlex.split(origin)[1:2]
    assert environment(target)["PATH"].startswith(f"{arguments(target, 'WORKDIR')[0]}/.venv/bin:")


@pytest.mark.parametrize("target", SERVING)
def test_it_serves_and_is_looked_after(target: str) -> None:
    assert arguments(target, "CMD") == ['["plotify", "serve"]']
    (check,) = arguments(target, "HEALTHCHECK")
    assert f"http://127.0.0.1:8000{next(iter(health.paths))}" in check
