import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli import plotify
from tests.training.corpora import invented_texts, write_cmu, write_corpora, write_mpst, write_prose
from training.cleaning import mend
from training.prepare import HELD_OUT, SPLITS, read_split, split_places

Rows = list[tuple[str, str, list[str]]]
"""Rows for `write_cmu`."""


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
    rows: Rows = [(f"Book {i}", text, []) for i, text in enumerate(invented_texts())]
    splits = []
    for count in (200, 280):
        cmu = write_cmu(tmp_path / f"{count}.txt", rows[:count])
        run("--cmu", cmu, "--out", tmp_path / f"data{count}")
        splits.append({d.title: s for s in SPLITS for d in read_split(tmp_path / f"data{count}", s)})
    shared = splits[0].keys() & splits[1].keys()
    assert len(shared) > 100
    assert all(splits[0][title] == splits[1][title] for title in shared)


def test_splits_have_their_shares() -> None:
    splits = list(split_places(f"title {i}" for i in range(20_000)).values())
    assert splits.count("train") == pytest.approx(18_800, rel=0.02)
    assert splits.count("test") == pytest.approx(600, rel=0.15)
    assert splits.count("validation") == pytest.approx(600, rel=0.15)


def test_a_series_and_a_long_text_stay_together(tmp_path: Path) -> None:
    texts = invented_texts()
    rows = [(f"Series {i % 40}: Episode {i}", text, "drama") for i, text in enumerate(texts)]
    long = [" ".join(texts[i : i + 12]) for i in range(0, 240, 12)]
    rows += [(f"Film {i}", text, "drama") for i, text in enumerate(long)]
    run("--mpst", write_mpst(tmp_path / "m.csv", rows), "--longest", 400, "--out", tmp_path / "data")
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        for document in read_split(tmp_path / "data", split):
            found.setdefault(document.title.split(":")[0], set()).add(split)
    assert all(len(splits) == 1 for splits in found.values())
    assert set.union(*found.values()) == set(SPLITS)


def test_a_long_text_is_cut_into_pieces_in_order(tmp_path: Path) -> None:
    texts = invented_texts()
    story = mend(" ".join(texts[:9]))
    rows: Rows = [(f"Book {i}", text, []) for i, text in enumerate(texts[20:60])]
    cmu = write_cmu(tmp_path / "b.txt", [*rows, ("A Story", story, [])])
    run("--cmu", cmu, "--longest", 500, "--out", tmp_path / "data")
    everything = [document for split in SPLITS for document in read_split(tmp_path / "data", split)]
    pieces = [document for document in everything if document.title == "A Story"]
    assert " ".join(piece.text for piece in pieces) == story
    assert len(pieces) > 2
    assert [piece.begins for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {piece.words for piece in pieces} == {len(story.split())}
    assert all(len(piece.text) <= 500 and piece.text[-1] == "." for piece in pieces)


def test_a_corpus_of_a_dozen_texts_fills_every_split_and_two_are_refused(tmp_path: Path) -> None:
    rows: Rows = [(f"Book {i}", text, []) for i, text in enumerate(invented_texts()[:12])]
    run("--cmu", write_cmu(tmp_path / "b.txt", rows), "--out", tmp_path / "data")
    assert [sum(1 for _ in read_split(tmp_path / "data", split)) for split in SPLITS] == [10, 1, 1]
    two = write_cmu(tmp_path / "two.txt", rows[:2])
    result = CliRunner().invoke(plotify, ["prepare", "--cmu", str(two), "--out", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "2 titles are too few" in result.output


def test_prose_is_read_but_the_author_held_out_is_not(tmp_path: Path) -> None:
    texts = invented_texts()
    author = tomllib.loads(HELD_OUT.read_text())["titles"]
    known = ("Bill the Bloodhound", "Pots O’Money")
    assert set(known) < set(author)
    rows = [(f"Tale {i}", 1, text) for i, text in enumerate(texts[:40])]
    rows += [(known[0], 1, texts[50]), (f" {known[1].replace('’', chr(39))}", 1, texts[51])]
    output = run("--prose", write_prose(tmp_path / "p.jsonl", rows), "--out", tmp_path / "data")
    report = json.loads((tmp_path / "data" / "prepare.json").read_text())
    assert report["dropped"]["prose"] == {"held out": 2}
    assert report["kept"] == {"prose": 40}
    assert "held out" in output


def test_explicit_texts_are_left_out_unless_they_are_wanted(tmp_path: Path) -> None:
    rows: Rows = [(f"Book {i}", text, []) for i, text in enumerate(invented_texts()[:12])]
    cmu = write_cmu(tmp_path / "b.txt", [*rows, ("Bad", f"An erotic tale. {invented_texts()[30]}", [])])
    for options, kept in (((), 12), (("--keep-explicit",), 13)):
        run("--cmu", cmu, "--out", tmp_path / "data", *options)
        report = json.loads((tmp_path / "data" / "prepare.json").read_text())
        assert report["kept"] == {"cmu": kept}
        assert report["dropped"]["cmu"].get("explicit", 0) == 13 - kept


def test_dropped_rows_are_printed_and_reported(tmp_path: Path) -> None:
    good = "A quiet clerk inherits a circus that nobody else in the whole valley wants."
    rows = [
        ("Good", good, "horror, odd tag"),
        ("Same", good.upper(), "comedy"),
        ("Near", good.replace("quiet", "timid") + " " + good, ""),
        ("Near too", good + " " + good, ""),
        ("Short", "Too little.", ""),
        ("Markup", good + " {{cite}}", ""),
        ("Empty", " ", ""),
        *((f"Other {i}", text, "") for i, text in enumerate(invented_texts()[:2])),
    ]
    output = run("--mpst", write_mpst(tmp_path / "m.csv", rows), "--out", tmp_path / "data")
    report = json.loads((tmp_path / "data" / "prepare.json").read_text())
    assert report["read"] == {"mpst": 9}
    dropped = report["dropped"]["mpst"]
    assert {reason: dropped[reason] for reason in ("too short", "markup", "empty")} == {
        "too short": 1, "markup": 1, "empty": 1,
    }  # fmt: skip
    assert dropped["duplicate"] >= 2
    assert report["kept"]["mpst"] + sum(dropped.values()) == 9
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
    assert "--mpst FILE, --cmu FILE or --prose FILE" in result.output
