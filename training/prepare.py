"""Preparing the corpora: the command `plotify prepare` makes a clean, grouped and split data set.

A data set is a folder with these files. None of them depends on the order of the rows in the corpora.

- `train.jsonl`, `validation.jsonl` and `test.jsonl`: a piece of a document on each line.
- `prepare.json`: a report on the rows read, kept and dropped.
- Two charts.
"""

import hashlib
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from training.cleaning import Bounds, clean, is_explicit, mend
from training.duplicates import WORDS, fingerprint, near_duplicates, repeats
from training.genres import GenreGrouper
from training.names import names_in
from training.pieces import pieces as cut_text
from training.progress import track
from training.readers import Summary

SERIES = re.compile(r":| - ")
"""The separator in a title before the episode of a series, or the story of a collection."""

LAYOUTS = {"mpst": "MPST", "cmu": "the CMU Book Summary Dataset", "prose": "title, part and text"}
PROSE = "prose"
"""The source of the documents that are stories, not plots."""

REPORT = "prepare.json"
HELD_OUT = Path(__file__).with_name("held_out.toml")
SPLITS = ("train", "validation", "test")
HELD_OUT_PERMILLE = 30
"""Number of collections in a thousand held out for validation, and the same number again for test."""

FEWEST_OF_A_GENRE = 20
"""Number of training documents needed before a genre is offered to writers.

A model cannot write in a genre it has not read.
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A clean text, or a piece of one, with its genres in the terms offered to writers.

    Attributes:
        words: number of words in the whole text.
        names: people and places in this piece.
        begins, ends: True if the piece contains the beginning, or the end, of its text.
    """

    text: str
    genres: list[str]
    title: str
    source: str
    words: int
    names: list[str] = field(default_factory=list)
    begins: bool = True
    ends: bool = True


@dataclass
class Report:
    """Counts of the rows read, dropped and kept, with statistics of the texts.

    All counts are numbers of rows, with three exceptions. `words` counts words in the rows kept, `pieces` counts the
    pieces in each split, and the counts of tags are numbers of uses.
    """

    corpora: list[dict[str, str | int]]
    bounds: dict[str, int]
    read: Counter[str]
    dropped: dict[str, Counter[str]]
    kept: Counter[str]
    words: Counter[str]
    pieces: dict[str, int]
    genres: Counter[str]
    without_genre: int
    tags_known: int
    tags_unspecific: int
    tags_unknown: Counter[str]


def collection_of(title: str, source: str, key: str) -> str:
    """Return the name of the series, book or collection that a text belongs to.

    All of a collection goes into one split. Episodes of a series are titled "Series: Episode", and stories of a
    collection "Author - Story". Prose without a title counts as one collection. A plot without a title stands alone,
    under its `key`.
    """
    words = WORDS.findall(SERIES.split(title, maxsplit=1)[0].lower())
    return " ".join(words) or (source if source == PROSE else key)


def split_places(collections: Iterable[str]) -> dict[str, str]:
    """Return {collection: its split}.

    The name alone decides the split, whatever else is in the corpora. The only exception is a corpus so small that a
    split would be empty. In that case the empty split takes a collection from the training split.
    """
    places = sorted((int(fingerprint(name)[:8], 16) % 1000, name) for name in set(collections))
    splits = {
        name: "test" if place < HELD_OUT_PERMILLE else "validation" if place < 2 * HELD_OUT_PERMILLE else "train"
        for place, name in places
    }
    for split in ("test", "validation"):
        if split not in splits.values():
            splits[next(name for _, name in places if splits[name] == "train")] = split
    return splits


def prepare(
    corpora: Mapping[str, tuple[Path, Iterable[Summary]]],
    out: Path,
    bounds: Bounds,
    console: Console,
    keep_explicit: bool = False,
) -> tuple[Report, list[Document]]:
    """Clean, group, cut and split `corpora` ({source: (file, its rows)}) into the folder `out`.

    Returns:
        The report, and all documents kept, in the order of the fingerprints of their texts.

    Raises:
        ValueError: there are too few titles for three splits.
    """
    grouper = GenreGrouper()
    held_out = {mend(title) for title in tomllib.loads(HELD_OUT.read_text(encoding="utf-8"))["titles"]}
    read: Counter[str] = Counter()
    dropped: dict[str, Counter[str]] = {source: Counter() for source in corpora}
    found: list[tuple[str, Document]] = []
    for source, (path, rows) in corpora.items():
        for summary in track(console, rows, f"reading {path.name}"):
            read[source] += 1
            text, reason = clean(summary.text, bounds)
            if not reason and not keep_explicit and is_explicit(text):
                reason = "explicit"
            if not reason and source == PROSE and mend(summary.title) in held_out:
                reason = "held out"
            if reason:
                dropped[source][reason] += 1
                continue
            genres, length = grouper.group(summary.tags), len(text.split())
            document = Document(
                text, genres, mend(summary.title), source, length, begins=summary.begins, ends=summary.ends
            )
            found.append((fingerprint(text), document))

    found.sort(key=lambda kept: (kept[0], -len(kept[1].genres), kept[1].text, kept[1].source, kept[1].title))
    kept: dict[str, Document] = {}
    for key, document in found:
        if key in kept:
            dropped[document.source]["duplicate"] += 1
        else:
            kept[key] = document
    del found
    texts = ((key, document.text) for key, document in kept.items())
    for key in near_duplicates(track(console, texts, "finding near-duplicates", len(kept))):
        dropped[kept.pop(key).source]["duplicate"] += 1
    collections = {key: collection_of(document.title, document.source, key) for key, document in kept.items()}
    together = defaultdict(list)
    for key, name in collections.items():
        if key in kept and kept[key].source != PROSE:
            together[name].append((key, kept[key].text))
    for key in repeats(together.values()):
        dropped[kept.pop(key).source]["duplicate"] += 1

    splits = split_places(collections[key] for key in kept)
    if len(set(splits.values())) < len(SPLITS):
        raise ValueError(
            f"{len(splits)} titles are too few: training, validation and test need at least one each. Give more texts "
            "with titles of their own."
        )
    placed = ((splits[collections[key]], document) for key, document in kept.items())
    pieces = write_splits(track(console, placed, "cutting and writing", len(kept)), bounds.longest, out)
    documents = list(kept.values())
    words: Counter[str] = Counter()
    for document in documents:
        words[document.source] += document.words
    report = Report(
        corpora=[{**describe(source, path), "words": words[source]} for source, (path, _) in corpora.items()],
        bounds=asdict(bounds),
        read=read,
        dropped=dropped,
        kept=Counter(document.source for document in documents),
        words=words,
        pieces=pieces,
        genres=Counter(genre for document in documents for genre in document.genres),
        without_genre=sum(not document.genres for document in documents if document.source != PROSE),
        tags_known=grouper.known,
        tags_unspecific=grouper.unspecific,
        tags_unknown=grouper.unknown,
    )
    (out / REPORT).write_text(json.dumps(vars(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report, documents


def describe(source: str, path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "name": f"{path.name}, in the layout of {LAYOUTS[source]}",
        "source": source,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def write_splits(documents: Iterable[tuple[str, Document]], longest: int, out: Path) -> dict[str, int]:
    """Write pairs of (split, document) into a jsonl file for each split.

    Documents are cut into pieces of at most `longest` characters.

    Returns:
        The number of pieces in each split.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(SPLITS, 0)
    with ExitStack() as stack:
        files = {split: stack.enter_context((out / f"{split}.jsonl").open("w", encoding="utf-8")) for split in SPLITS}
        for split, document in documents:
            for piece in cut(document, longest):
                counts[split] += 1
                files[split].write(json.dumps(asdict(piece), ensure_ascii=False) + "\n")
    return counts


def cut(document: Document, longest: int) -> Iterator[Document]:
    """Yield the pieces of a document in order, each with the names in it."""
    texts = cut_text(document.text, longest)
    for place, text in enumerate(texts, start=1):
        begins, ends = document.begins and place == 1, document.ends and place == len(texts)
        yield replace(document, text=text, names=names_in(text), begins=begins, ends=ends)


def split_file(folder: Path, split: str) -> Path:
    """Return the file of one split of a data set. Raises the errors of `prepared_file`."""
    return prepared_file(folder, f"{split}.jsonl")


def report_file(folder: Path) -> Path:
    """Return the file with the report on a data set. Raises the errors of `prepared_file`."""
    return prepared_file(folder, REPORT)


def prepared_file(folder: Path, name: str) -> Path:
    """Return a file written by `plotify prepare`.

    Raises:
        FileNotFoundError: the file is missing, so `plotify prepare` did not make the folder.
    """
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: make the data set first, with `plotify prepare --out {folder}`")
    return path


def read_split(folder: Path, split: str) -> Iterator[Document]:
    """Yield the documents of one split of a data set. Raises the errors of `split_file`."""
    with split_file(folder, split).open(encoding="utf-8") as lines:
        for line in lines:
            yield Document(**json.loads(line))


def trainable_genres(folder: Path) -> tuple[str, ...]:
    """Return the genres a model trained on `folder` can offer, in alphabetical order."""
    counts = Counter(genre for document in read_split(folder, "train") for genre in document.genres)
    return tuple(sorted(genre for genre, count in counts.items() if count >= FEWEST_OF_A_GENRE))
