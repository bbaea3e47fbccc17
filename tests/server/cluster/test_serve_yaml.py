"""serve.yaml is valid for Ray Serve, and its names exist."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from ray._common.utils import import_attr
from ray.serve.schema import ServeDeploySchema

from server.cluster import application
from server.cluster.deployments import STARTS, deployments, wanted_replicas
from server.settings import Settings, SettingsError

FILE = Path(__file__).parents[3] / "serve.yaml"


@pytest.fixture
def served() -> Any:
    (found,) = ServeDeploySchema.model_validate(msgspec.yaml.decode(FILE.read_bytes())).applications
    return found


def test_it_runs_the_application_with_settings(served: Any) -> None:
    assert import_attr(served.import_path) is application
    bound = application(served.args)
    assert {bound._bound_deployment.name, bound._bound_deployment.init_args[0]._bound_deployment.name} == {
        deployment.name for deployment in served.deployments
    }


def test_apps_on_a_cluster_may_start_before_their_database() -> None:
    counts = [
        each._bound_deployment._deployment_config.max_constructor_retry_count
        for each in (application({}), deployments(Settings.read({})))
    ]
    assert counts == [STARTS, 1], "the command ends at once instead"


def test_its_arguments_are_settings() -> None:
    with pytest.raises(SettingsError, match="PLOTIFY_ROWS is '1'; it must be a whole number from 2"):
        application({"PLOTIFY_ROWS": "1"})


def test_apps_scale_by_streams_and_engines_by_rows(served: Any) -> None:
    app, engine = served.deployments
    assert app.autoscaling_config["min_replicas"] == 2
    assert app.autoscaling_config["target_ongoing_requests"] > 0
    assert "policy" not in app.autoscaling_config, "Ray Serve counts requests"
    assert import_attr(engine.autoscaling_config["policy"]["policy_function"]) is wanted_replicas


@pytest.mark.parametrize(("rows", "wanted"), [([0, 0], 0), ([48, 24], 1.5), ([64, 64, 100], 4.75)])
def test_as_many_replicas_as_the_rows_need(rows: list[int], wanted: float) -> None:
    context: Any = SimpleNamespace(
        aggregated_metrics={"rows": dict(enumerate(rows))},
        config=SimpleNamespace(get_target_ongoing_requests=lambda: 48),
    )
    assert wanted_replicas(context) == (wanted, {})
