"""Prometheus and Grafana: they use existing metrics, and the alerts fire for their causes."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from server.observability.metrics import DatabaseCollector, EngineCollector, HttpCollector, new_registry
from server.observability.recorder import Recorder
from server.settings import SHIPPED_MODEL
from server.shelf import DatabaseHealth
from tests.conftest import ROOT, run
from tests.deployment.compose import SERVICES, SETTINGS, yaml
from tests.documentation import DOCS

ALERTS = yaml("deploy/alerts.yml")["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/plotify.json").read_text())


def test_files_of_prometheus_and_grafana_are_where_they_look() -> None:
    mounted = {
        name: {target: source for source, target, *_ in (mount.split(":") for mount in SERVICES[name]["volumes"])}
        for name in ("prometheus", "grafana")
    }
    prometheus = yaml("deploy/prometheus.yml")
    assert f"--config.file={next(iter(mounted['prometheus']))}" in SERVICES["prometheus"]["command"]
    assert prometheus["rule_files"] == ["/etc/prometheus/alerts.yml"] == list(mounted["prometheus"])[1:2]
    (scrape,) = prometheus["scrape_configs"]
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{secret}"}
    assert scrape["static_configs"] == [{"targets": [f"web:{SETTINGS['PLOTIFY_PORT']}"]}]
    (provider,) = yaml("deploy/grafana/dashboards.yml")["providers"]
    folder = provider["options"]["path"]
    assert mounted["grafana"][folder] == "./deploy/grafana/dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted["grafana"][folder] / Path(home).relative_to(folder)).exists()
    (source,) = yaml("deploy/grafana/datasources.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}


def test_grafana_asks_none_of_its_makers_hosts() -> None:
    """Grafana's conf/defaults.ini tells what it asks there by default."""
    environment = SERVICES["grafana"]["environment"]
    asks = (
        "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "ANALYTICS_CHECK_FOR_UPDATES",
        "ANALYTICS_REPORTING_ENABLED",
        "NEWS_NEWS_FEED_ENABLED",
    )
    assert {environment[f"GF_{name}"] for name in asks} == {"false"}
    assert {environment[f"GF_PLUGINS_{name}_DISABLED"] for name in ("PREINSTALL", "PUBLIC_KEY_RETRIEVAL")} == {"true"}


def told(engine: Engine) -> Iterator[tuple[str, set[str]]]:
    """Yield names and labels of all samples in /metrics."""
    edge = HttpCollector()
    edge.answered["GET", "/", 200] += 1
    database = DatabaseCollector(DatabaseHealth("shelf.sqlite"))
    printed = generate_latest(new_registry(EngineCollector(engine, Recorder()), edge, database)).decode()
    for family in text_string_to_metric_families(printed):
        for sample in family.samples:
            yield sample.name, set(sample.labels)


def asked() -> list[str]:
    """Return the expressions of the alerts and the dashboard."""
    shown = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in ALERTS] + shown


def test_every_metric_that_is_asked_for_is_told() -> None:
    with Engine(Bundle.load(SHIPPED_MODEL), EngineConfig(threads=1, rows=2)) as engine:
        known = dict(told(engine))
    for expression in asked():
        named = re.findall(r"(?:plotify:|process_)\w+", expression)
        assert named or expression.startswith("up{"), expression
        assert set(named) <= set(known), expression
        for metric, matched in re.findall(r"(plotify:\w+)\{(\w+)=", expression):
            assert matched in known[metric]
        for grouped, metric in re.findall(r"(?:by|without) \((\w+)\) \((?:rate|increase)\((plotify:\w+)", expression):
            assert grouped in known[metric], expression


def test_every_alert_says_what_and_why() -> None:
    assert {rule["alert"] for rule in ALERTS} >= {
        "PlotifyNotReady",
        "PlotifyDatabaseFails",
        "PlotifyRefusesMany",
        "PlotifySlowFirstToken",
        "PlotifyQueueFull",
        "PlotifyEngineRestarted",
    }
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_each_alert_fires_for_its_cause_and_for_no_other() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there; on Debian it is in the package prometheus")
    run(promtool, "test", "rules", "tests/deployment/alerts.yml")


def test_panels_do_not_overlap() -> None:
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_every_alert_is_documented() -> None:
    named = re.findall(r"^\| `(Plotify\w+)` \| .* \| (\w+) \|$", (DOCS / "deployment.md").read_text(), re.MULTILINE)
    assert named == [(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS]
