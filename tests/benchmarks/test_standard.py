"""`plotify bench standard` and `against`: their figures, files and exit codes, not speed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import standard
from benchmarks.standard import MEASURES, ROOT, checkout, compared, measure, reference_speed
from server.cli import plotify

SPEEDS = dict.fromkeys(MEASURES, 100.0)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> dict[Path, float]:
    """Replace the measurements by 100, times a factor for each checkout."""
    factors: dict[Path, float] = {}

    def at_once(folder: Path, benchmark: str, model: str) -> dict[str, float]:
        names = (name for name, each in MEASURES.items() if each.benchmark == benchmark)
        return {name: 100.0 * factors.get(folder, 1) for name in names}

    monkeypatch.setattr(standard, "measure", at_once)
    monkeypatch.setattr(standard, "reference_speed", lambda: 50.0)
    return factors


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(plotify, ["bench", *map(str, arguments)])


def test_each_run_is_a_line_of_the_history_and_of_the_table(fast: dict[Path, float], tmp_path: Path) -> None:
    history, table = tmp_path / "history.jsonl", tmp_path / "history.md"
    for factor in (1.0, 2.0):
        fast[ROOT] = factor
        done = bench("standard", "--history", history, "--table", table)
        assert done.exit_code == 0, done.output
    runs = [json.loads(line) for line in history.read_text().splitlines()]
    assert [run["measures"] for run in runs] == [SPEEDS, dict.fromkeys(SPEEDS, 200.0)]
    assert {run["reference"] for run in runs} == {50}
    *_, newest, oldest = table.read_text().splitlines()
    assert (newest.count("200"), oldest.count("100")) == (len(MEASURES), len(MEASURES))
    assert table.read_text().startswith(standard.INTRODUCTION)
    drawn = bench("trend", "--history", history, "--out", tmp_path / "trend.png")
    assert drawn.exit_code == 0, drawn.output


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (0.5, 1), (2.0, 1)])
def test_a_commit_that_is_faster_or_slower_is_told(fast: dict[Path, float], factor: float, code: int) -> None:
    """Twice the tokens also take twice the milliseconds here, so both changes are worse somewhere."""
    fast[ROOT] = factor
    done = bench("against", "HEAD", "--rounds", "1", "--fail-above", "15%")
    assert done.exit_code == code, done.output
    assert ("worse by more than 15%" in done.output) == bool(code)


def test_medians_of_the_turns_are_compared() -> None:
    before = [SPEEDS, SPEEDS, dict.fromkeys(SPEEDS, 1000.0)]
    after = [dict.fromkeys(SPEEDS, 80.0)] * 3
    changes = compared(before, after)
    assert changes["engine, 8 requests"] == (100, 80, 0.25)
    assert changes["event loop, 64 streams"][2] == pytest.approx(-0.2)


def test_a_commit_is_checked_out_beside_this_one_with_these_benchmarks() -> None:
    with checkout("HEAD") as folder:
        assert (folder / "server" / "cli.py").is_file()
        assert (folder / "benchmarks" / "standard.py").read_text() == Path(standard.__file__).read_text()
    assert not folder.exists()


def test_an_unknown_commit_is_named() -> None:
    done = bench("against", "no-such-commit")
    assert done.exit_code == 1
    assert "no-such-commit" in done.output


def test_a_benchmark_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match=r"bench offers failed in .*nowhere"):
        measure(ROOT, "offers", str(tmp_path / "nowhere"))


def test_the_reference_is_a_speed() -> None:
    assert reference_speed(0.05) > 0
