"""`plotify bench recording` on the tiny bundle: output and files, not speed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.recording import differences
from server.cli import plotify


def test_both_servers_are_measured(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "recording.json"
    small = ("--plots", "2", "--requests", "1", "--writers", "1", "--rounds", "1", "--precision", "int8")
    done = CliRunner().invoke(plotify, ["bench", "recording", "--model", str(tiny_bundle), *small, "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "recording adds" in done.output
    content = json.loads(file.read_text())
    assert content["settings"]["database"] == "SQLite"
    assert [each["name"] for each in content["results"]] == ["not recorded", "recorded"]
    for each in content["results"]:
        [seconds] = each["rounds"]
        assert seconds
        assert min(seconds) > 0


def test_the_cost_of_recording_is_the_difference_in_each_round() -> None:
    sides = {"not recorded": [[0.1], [0.4]], "recorded": [[0.2], [0.6]]}
    first, second = differences(sides)
    assert first[50] == pytest.approx(0.1)
    assert second[95] == pytest.approx(0.2)
