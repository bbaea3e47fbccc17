"""`plotify bench words`: the figures of a model's texts, counted right and the same each time."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import words
from server.cli import plotify

HUMAN = "The night porter of a small hotel finds a letter addressed to somebody else, and " * 3


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    file = tmp_path / "test.jsonl"
    texts = ["Too short.", *(f"{number} {HUMAN}" for number in range(6))]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


def measure(bundle: Path, held_out: Path, *arguments: str | Path) -> Result:
    few = ("--texts", "4", "--seeds", "5", "--explicit", "6", "--precision", "fp32")
    given = ["bench", "words", "--model", bundle, "--held-out", held_out, *few, *arguments]
    return CliRunner().invoke(plotify, list(map(str, given)))


def test_the_same_seeds_give_the_same_figures(tiny_bundle: Path, held_out: Path, tmp_path: Path) -> None:
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file in files:
        done = measure(tiny_bundle, held_out, "--json", file)
        assert done.exit_code == 0, done.output
    first, second = (json.loads(file.read_text())["results"] for file in files)
    assert first == second
    *lengths, genres, explicit = first
    manifest = json.loads((tiny_bundle / "bundle.json").read_text())
    assert [each["length"] for each in lengths] == [each["name"] for each in manifest["prompt"]["lengths"]] or [None]
    assert all(each["words"] > 0 and 0 <= each["ended"] <= 1 for each in lengths)
    assert all(0 < each["people_distinct_2"] <= 1 for each in lengths)
    asked = genres["genres"]
    assert "any" in asked
    assert all(0 <= count <= 5 for counts in asked.values() for count in counts.values())
    assert 0 <= explicit["explicit"] <= 6
    assert "distinct-2" in done.output
    assert "of 6 texts" in done.output


def test_explicit_words_are_found(tiny_bundle: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "is_explicit", lambda text: True)
    assert "explicit words: 6 of 6 texts" in measure(tiny_bundle, held_out).output


def test_openings_are_the_first_words_of_texts_that_are_long_enough(held_out: Path) -> None:
    openings, rests = words.split_openings(held_out, 3)
    assert openings == ["0 The night porter of", "2 The night porter of", "4 The night porter of"]
    assert all(
        f"{opening} {rest}" == f"{opening[0]} {HUMAN}".strip() for opening, rest in zip(openings, rests, strict=True)
    )


def test_a_file_that_cannot_be_measured_is_refused_by_name(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "none.jsonl"
    assert f"--held-out {file}: not JSON Lines" in measure(tiny_bundle, file).output
    file.write_text('{"text": "Too short."}\n')
    assert "it has no text of 30 words" in measure(tiny_bundle, file).output
