import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli import plotify
from tests.training.corpora import invented_texts, write_cmu, write_corpora, write_mpst
from training.prepare import SPLITS, read_split, split_of


def run(*arguments: object) -> str:
    result = CliRunner().invoke(plotify, ["prepare", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_data_set_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mpst, cmu = write_corpora(tmp_path / name, reverse=name == "two")
        run("--mpst", mpst, "--cmu", cmu, "--out", tmp_path / name / "data")
    for split in SPLITS:
        one, two = ((tmp_path / name / "data" / f"{split}.jsonl").read_bytes() for name in ("one", "two"))
        assert one == two
        assert one


def test_a_document_stays_in_its_split_when_the_corpus_grows(tmp_path: Path) -> None:
    rows: list[tuple[str, str, list[str]]] = [(f"Book {i}", text, []) for i, text in enumerate(invented_texts())]
    splits = []
    for count in (200, 280):
        cmu = write_cmu(tmp_path / f"{count}.txt", rows[:count])
        run("--cmu", cmu, "--out", tmp_path / f"data{count}")
        splits.append({d.title: s for s in SPLITS for d in read_split(tmp_path / f"data{count}", s)})
    shared = splits[0].keys() & splits[1].keys()
    assert len(shared) > 100
    assert all(splits[0][title] == splits[1][title] for title in shared)


def test_splits_have_their_shares() -> None:
    keys = [f"{i * 2654435761 % 2**32:08x}" for i in range(20_000)]
    counts = {split: sum(split_of(key) == split for key in keys) for split in SPLITS}
    assert counts["train"] == pytest.approx(18_000, rel=0.02)
    assert counts["test"] == pytest.approx(1_000, rel=0.15)


def test_what_was_dropped_is_printed_and_reported(tmp_path: Path) -> None:
    good = "A quiet clerk inherits a circus that nobody else in the whole valley wants."
    rows = [
        ("Good", good, "horror, odd tag"),
        ("Same", good.upper(), "comedy"),
        ("Near", good.replace("quiet", "timid") + " " + good, ""),
        ("Near too", good + " " + good, ""),
        ("Short", "Too little.", ""),
        ("Long", "A long story. " * 400, ""),
        ("Markup", good + " {{cite}}", ""),
        ("Empty", " ", ""),
    ]
    output = run("--mpst", write_mpst(tmp_path / "m.csv", rows), "--out", tmp_path / "data")
    report = json.loads((tmp_path / "data" / "prepare.json").read_text())
    assert report["read"] == {"mpst": 8}
    dropped = report["dropped"]["mpst"]
    assert {reason: dropped[reason] for reason in ("too short", "too long", "markup", "empty")} == {
        "too short": 1, "too long": 1, "markup": 1, "empty": 1,
    }  # fmt: skip
    assert dropped["duplicate"] >= 2
    assert report["kept"]["mpst"] + sum(dropped.values()) == 8
    assert report["tags_unknown"] == {"odd tag": 1}
    assert "odd tag (1)" in output
    for picture in ("lengths.png", "genres.png"):
        assert (tmp_path / "data" / picture).read_bytes().startswith(b"\x89PNG")


def test_errors_name_the_file_and_leave_no_data_set(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    result = CliRunner().invoke(plotify, ["prepare", "--mpst", str(wrong), "--out", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "wrong.csv: row 1: there is no column 'title'" in result.output
    assert not (tmp_path / "data").exists()
    result = CliRunner().invoke(plotify, ["prepare", "--out", str(tmp_path / "data")])
    assert result.exit_code == 2
    assert "--mpst FILE or --cmu FILE" in result.output
