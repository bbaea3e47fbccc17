"""`plotify bench offers` on the tiny bundle: output and files, not speed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.offers import Offer, Round, figures_of
from server.cli import plotify


def bench(*arguments: str | Path) -> Result:
    small = ("--precision", "int8", "--rounds", "1", "--requests", "1")
    return CliRunner().invoke(plotify, ["bench", "offers", *map(str, (*small, *arguments))])


def test_writers_are_measured_at_the_desk(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "offers.json"
    done = bench("--model", tiny_bundle, "--writers", "1,2", "--genre", "Comedy", "--json", file)
    assert done.exit_code == 0, done.output
    assert "first letters" in done.output
    assert "offers per second with first letters within 0.3 s" in done.output
    results = json.loads(file.read_text())["results"]
    assert [each["writers"] for each in results] == [1, 2]
    for each in results:
        assert each["per_second"] > 0
        assert each["refused"] == 0
        for rank in ("50", "95"):
            assert 0 < each["first_letters"][rank] <= each["all_done"][rank]


def test_a_genre_of_another_model_is_refused(tiny_bundle: Path) -> None:
    done = bench("--model", tiny_bundle, "--genre", "Opera")
    assert done.exit_code == 2
    assert "'Opera' is not a genre of the model; choose one of any, " in done.output


def test_pauses_between_rounds_do_not_count() -> None:
    rounds = [Round([Offer(0, 1, 2), Offer(0, 1, 4)], refused=1), Round([Offer(100, 101, 104)])]
    figures = figures_of(2, rounds)
    assert figures.per_second == 3 / 8
    assert figures.first_letters[50] == 1
    assert figures.all_done[50] == 4
    assert figures.refused == 1
    assert figures.cells == ("2", "0.38", "1000 / 1000", "4000 / 4000", "1")


def test_a_server_that_refuses_everybody_has_no_figures() -> None:
    with pytest.raises(ChildProcessError, match="refused every offer to 4 writers"):
        figures_of(4, [Round(refused=8)])
