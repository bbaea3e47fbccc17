"""compose.yaml follows the specification and agrees with the project. No Docker needed."""

import re
import subprocess
from typing import Any

import pytest

from benchmarks.eager_server import main as eager_server
from server.observability.routes import health, readiness
from tests.conftest import PYTHON, ROOT, run
from tests.deployment.compose import COMPOSE, PROFILES, SERVICES, SETTINGS, yaml
from tests.deployment.dockerfile import STAGES, arguments
from tests.documentation import DOCS

NOT_SETTINGS = {"POSTGRES_PASSWORD", "LOCUST_KEY"}
"""Variables allowed in .env besides the server's settings."""


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


@pytest.mark.parametrize("file", ["compose.yaml", "deploy/cuda.yaml"])
def test_it_keeps_to_the_specification(file: str) -> None:
    run(PYTHON, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_every_profile_is_there_and_the_server_needs_none() -> None:
    assert "profiles" not in SERVICES["web"]
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == PROFILES


def test_it_is_confined_and_open_to_this_host_alone(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_its_image_is_pinned_or_a_target_of_the_dockerfile(service: dict[str, Any]) -> None:
    if "build" in service:
        assert service["build"]["target"] in STAGES
        assert service["image"] == f"plotify:{service['build']['target']}"
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", service["image"])


def test_a_gpu_changes_the_image_alone() -> None:
    web = yaml("deploy/cuda.yaml")["services"]["web"]
    assert set(web) == {"image", "build", "deploy"}
    assert web["build"]["target"] in STAGES
    assert web["image"] == f"plotify:{web['build']['target']}"


def test_every_port_it_shows_is_one_that_is_listened_on() -> None:
    ports = {name: [port.rsplit(":", 1)[1] for port in SERVICES[name].get("ports", [])] for name in SERVICES}
    assert ports["web"] == arguments("cpu", "EXPOSE") == [str(SERVICES["web"]["environment"]["PLOTIFY_PORT"])]
    assert ports["load"] == arguments("load", "EXPOSE")
    baseline = eager_server.make_context("", list(SERVICES["baseline"]["command"])).params
    assert (ports["baseline"], baseline["host"]) == ([str(baseline["port"])], "0.0.0.0")


def test_mounted_files_are_there_and_kept_data_has_a_volume(service: dict[str, Any]) -> None:
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("./deploy/"):
            assert (ROOT / source).exists()
            assert mount.endswith(":ro")
        else:
            assert source == "./data" or source in COMPOSE["volumes"]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_every_variable_is_a_setting_or_documented_beside_them() -> None:
    text = (ROOT / "compose.yaml").read_text()
    taken = set(re.findall(r"\$\{(\w+)", text))
    assert taken <= set(SETTINGS) | NOT_SETTINGS
    assert set(re.findall(r"PLOTIFY_\w+", text)) <= set(SETTINGS)
    page = (DOCS / "deployment.md").read_text()
    assert all(name in page for name in taken)


def test_it_ends_as_slowly_as_the_server_may() -> None:
    grace = SERVICES["web"]["environment"]["PLOTIFY_GRACE"]
    assert grace == SETTINGS["PLOTIFY_GRACE"]
    assert int(SERVICES["web"]["stop_grace_period"].removesuffix("s")) > grace + 5


def test_it_asks_for_health_where_it_is_told() -> None:
    for name, handler in (("web", readiness), ("baseline", health)):
        address = f"http://127.0.0.1:8000{next(iter(handler.paths))}"
        assert address in SERVICES[name]["healthcheck"]["test"][-1]


def test_locust_takes_what_it_is_given() -> None:
    words = [SERVICES[name]["command"] for name in ("load", "load-worker")]
    code = (
        "import benchmarks.locustfile\nfrom locust.argument_parser import get_parser\n"
        f"master, worker = (get_parser().parse_args(words) for words in {words!r})\n"
        "print(master.master, master.host, master.key, worker.worker, worker.master_host)"
    )
    done = subprocess.run([PYTHON, "-c", code], cwd=ROOT, env={"LOCUST_KEY": "k"}, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "http://web:8000", "k", "True", "load"], done.stderr
