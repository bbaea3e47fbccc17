"""Invented corpora in the published formats, with the dirt of real ones."""

import csv
import json
from pathlib import Path

from training.readers import MPST_COLUMNS

WHO = ("A retired lighthouse keeper", "Two rival bakers", "A clumsy apprentice witch", "The last archivist of the city",
       "A deaf violin maker", "An honest smuggler", "The twins of the mill", "A disgraced surgeon")  # fmt: skip
DOES = ("finds a letter that was never meant for", "must hide a winter long from", "is hired to follow",
        "makes a bargain with", "teaches patience to", "loses everything to", "sails south to look for")  # fmt: skip
WHOM = ("a boy who claims to be the king’s son", "the woman who burned the harbour", "an inspector from the ministry",
        "a stranger with her own face", "the crew of a sunken ferry", "a bear that speaks at night",
        "the town’s only telephone")  # fmt: skip
ENDS = ("until the snow uncovers what both had buried.", "and learns what the silence was for.",
        "while the river keeps on rising.", "before the first train leaves at dawn.",
        "though nobody else believes a word of it.")  # fmt: skip


def invented_texts() -> list[str]:
    """Return 280 distinct summaries. They share phrases, but no two are near-duplicates."""
    return [
        f"{WHO[i % 8]} {DOES[i % 7]} {WHOM[(i // 8) % 7]}, {ENDS[i % 5]} Case {i * 7919 % 10007} of the {i}th year."
        for i in range(280)
    ]


def write_mpst(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Write an MPST csv. `rows` are (title, synopsis, tags)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(MPST_COLUMNS)
        for i, (title, text, tags) in enumerate(rows):
            writer.writerow([f"tt{i:07}", title, text, tags, "train", "wikipedia"])
    return path


def write_cmu(path: Path, rows: list[tuple[str, str, list[str]]]) -> Path:
    """Write a CMU tsv. `rows` are (title, summary, genres)."""
    with path.open("w", encoding="utf-8") as file:
        for i, (title, text, genres) in enumerate(rows):
            names = json.dumps({f"/m/0{j}": genre for j, genre in enumerate(genres)}) if genres else ""
            file.write(f"{i}\t/m/x{i}\t{title}\tAn Author\t1999\t{names}\t {text}\n")
    return path


def write_corpora(folder: Path, reverse: bool = False) -> tuple[Path, Path]:
    """Write both files, with half of the invented texts in each.

    The MPST half is tagged horror or comedy.
    """
    texts = invented_texts()
    mpst = [(f"Film {i}", text, "horror, cult" if i % 2 else "comedy") for i, text in enumerate(texts[:140])]
    cmu = [(f"Book {i}", text, ["Science Fiction"] if i % 3 == 0 else []) for i, text in enumerate(texts[140:])]
    if reverse:
        mpst.reverse()
        cmu.reverse()
    return write_mpst(folder / "mpst.csv", mpst), write_cmu(folder / "books.txt", cmu)


def write_prose(path: Path, rows: list[tuple[str, int, str]]) -> Path:
    """Write a prose file. `rows` are (title, part, text)."""
    lines = (json.dumps({"title": title, "part": part, "text": text}) for title, part, text in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
