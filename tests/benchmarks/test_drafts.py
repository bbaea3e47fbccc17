"""`plotify bench drafts`: which drafts are accepted, and the command on the tiny bundle."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import drafts
from benchmarks.drafts import Seen, Written, compared, tokens_a_run
from server.cli import plotify


def test_a_draft_is_what_came_last_after_the_longest_past_that_is_known() -> None:
    seen: Seen = {}
    # 2 comes after 1, and after 5, 1 comes 3.
    assert compared(Written([1, 2, 5, 1, 3], [1, 2, 5, 1, 2], []), seen) == [False, False, True, True, False]
    assert seen[(5, 1)] == 2
    # The table of the first text knows what comes after 2, 5, 1.
    assert compared(Written([2], [5, 1, 2, 9], []), seen) == [True, True, True, False]


def test_a_run_gives_one_token_more_than_it_accepts() -> None:
    assert tokens_a_run([[False] * 4], 2) == 1
    assert tokens_a_run([[True] * 4], 2) == 2
    assert tokens_a_run([[True] * 8], 4) == 4
    assert tokens_a_run([[True, False, True, False], [False, False]], 2) == 6 / 4
    assert tokens_a_run([[True, True, False, True, True, True]], 4) == 3
    assert tokens_a_run([[]], 2) == 0


def test_the_same_seeds_give_the_same_figures(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "WORDS", 20)  # the context is small
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file in files:
        given = ("--model", tiny_bundle, "--texts", "4", "--length", "line", "--precision", "fp32", "--json", file)
        done = CliRunner().invoke(plotify, ["bench", "drafts", *map(str, given)])
        assert done.exit_code == 0, done.output
    assert "tokens a run, any, line" in done.output
    first, second = (json.loads(file.read_text())["results"] for file in files)
    assert first == second
    assert first[0]["drafts"] == "the text itself"
    for each in first:
        assert 1 <= each["tokens_a_run"]["2"] <= 2
        assert 1 <= each["tokens_a_run"]["4"] <= 4
