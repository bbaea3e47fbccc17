"""`plotify bench compare` and `trend`: their output and exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.load.compare import append
from server.cli import plotify


def outcome(speed: float, label: str = "8 users", doubts: tuple[str, ...] = ()) -> dict[str, Any]:
    result = {
        "target": "served",
        "label": label,
        "level": 8.0,
        "tokens_per_second": speed,
        "first_token": {"seconds": {"50": 0.1, "95": 0.2}},
        "next_token": {"seconds": {"50": 0.01}},
        "doubts": list(doubts),
    }
    return {
        "benchmark": "load",
        "date": "2026-01-01T00:00:00+00:00",
        "commit": "abc",
        "machine": {"processor": "one"},
        "settings": {"model": "m", "shape": "steady"},
        "results": [result],
    }


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(plotify, ["bench", *map(str, arguments)])


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a history of runs with 100, 95, 70 and a doubtful 50 tokens per second."""
    file = tmp_path / "new" / "history.jsonl"
    for run in (outcome(100), outcome(95), outcome(70), outcome(50, doubts=("others",)), outcome(70, "9 users")):
        append(file, run)
    return file


@pytest.mark.parametrize(
    ("runs", "code", "message"),
    [
        (("@5", "@4"), 0, "5.0% worse"),
        (("@5", "@3"), 1, "served, 8 users: tokens per second is 30.0% worse"),
        (("@3", "@5"), 0, "42.9% better"),
        (("@5", "@2"), 0, "(50.0% worse) ?"),
        (("@5", "@1"), 1, "no target under the same load"),
        (("@5", "@6"), 2, "has @1 to @5"),
        (("@5", "@one"), 2, "has @1 to @5"),
        (("@5", "nowhere"), 2, "nowhere: cannot be read"),
    ],
)
def test_the_exit_code_says_whether_it_is_worse(history: Path, runs: tuple[str, str], code: int, message: str) -> None:
    done = bench("compare", *runs, "--fail-above", "15%", "--history", history)
    assert (done.exit_code, message in done.output) == (code, True), done.output


def test_without_a_limit_nothing_fails(history: Path) -> None:
    assert bench("compare", "@5", "@3", "--history", history).exit_code == 0


def test_a_report_is_a_run_and_another_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text(json.dumps(outcome(100)))
    assert bench("compare", tmp_path, tmp_path / "load.json").exit_code == 0
    for content in ("{", "[]", '{"benchmark": "serve"}'):
        (tmp_path / "load.json").write_text(content)
        done = bench("compare", tmp_path, tmp_path)
        assert (done.exit_code, "not from a load test" in done.output) == (2, True), done.output


@pytest.mark.parametrize("share", ["much", "0%", "-5%", "nan"])
def test_a_value_that_is_no_share_is_refused(history: Path, share: str) -> None:
    done = bench("compare", "@1", "@1", "--fail-above", share, "--history", history)
    assert (done.exit_code, share in done.output) == (2, True), done.output


def test_the_trend_is_a_picture(history: Path, tmp_path: Path) -> None:
    file = tmp_path / "pictures" / "trend.png"
    done = bench("trend", "--history", history, "--out", file)
    assert done.exit_code == 0, done.output
    assert file.read_bytes().startswith(b"\x89PNG")
    done = bench("trend", "--history", tmp_path / "none", "--out", file)
    assert (done.exit_code, "`plotify bench load` writes it" in done.output) == (2, True)
