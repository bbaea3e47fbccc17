"""From the two corpora to a clean, grouped, split data set: what `plotify prepare` does.

A data set is a folder: `train.jsonl`, `validation.jsonl` and `test.jsonl` with a document a line, `prepare.json` with
what was read, kept and dropped, and two pictures. Nothing in it depends on the order of the rows in the corpora.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import Progress

from training.cleaning import Bounds, clean
from training.duplicates import fingerprint, near_duplicates
from training.genres import GenreGrouper
from training.readers import Summary

LAYOUTS = {"mpst": "MPST", "cmu": "the CMU Book Summary Dataset"}
REPORT = "prepare.json"
SPLITS = ("train", "validation", "test")
HELD_OUT_PERMILLE = 50
"""Of a thousand documents, how many go into validation, and how many into test."""

FEWEST_OF_A_GENRE = 20
"""Training documents that a genre needs to be offered: a model cannot give what it has not read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A clean summary with the genres that a writer can pick."""

    text: str
    genres: list[str]
    title: str
    source: str


@dataclass
class Report:
    """What became of the rows of the corpora. Counts are rows; tags are uses of tags."""

    corpora: list[dict[str, str | int]]
    bounds: dict[str, int]
    read: Counter[str]
    dropped: dict[str, Counter[str]]
    kept: Counter[str]
    splits: dict[str, int]
    genres: Counter[str]
    without_genre: int
    tags_known: int
    tags_unspecific: int
    tags_unknown: Counter[str]


def split_of(key: str) -> str:
    """The split of a document, from its fingerprint alone: stable whatever else is in the corpora."""
    place = int(key[:8], 16) % 1000
    if place < HELD_OUT_PERMILLE:
        return "test"
    return "validation" if place < 2 * HELD_OUT_PERMILLE else "train"


def prepare(
    corpora: dict[str, tuple[Path, Iterable[Summary]]], out: Path, bounds: Bounds, progress: Progress
) -> tuple[Report, list[Document]]:
    """Clean, group and split `corpora` ({source: (file, its rows)}) into the folder `out`.

    Returns:
        The report, and all kept documents in the order of their fingerprints.
    """
    grouper = GenreGrouper()
    read: Counter[str] = Counter()
    dropped: dict[str, Counter[str]] = {source: Counter() for source in corpora}
    documents: list[tuple[str, Document]] = []
    for source, (path, rows) in corpora.items():
        for summary in progress.track(rows, description=f"reading {path.name}"):
            read[source] += 1
            text, reason = clean(summary.text, bounds)
            if reason:
                dropped[source][reason] += 1
                continue
            document = Document(text, grouper.group(summary.tags), summary.title.strip(), source)
            documents.append((fingerprint(text), document))

    documents.sort(key=lambda kept: (kept[0], -len(kept[1].genres), kept[1].text, kept[1].source, kept[1].title))
    kept: dict[str, Document] = {}
    for key, document in documents:
        if key in kept:
            dropped[document.source]["duplicate"] += 1
        else:
            kept[key] = document
    texts = ((key, document.text) for key, document in kept.items())
    for key in near_duplicates(progress.track(texts, total=len(kept), description="finding near-duplicates")):
        dropped[kept.pop(key).source]["duplicate"] += 1

    report = Report(
        corpora=[describe(source, path) for source, (path, _) in corpora.items()],
        bounds=asdict(bounds),
        read=read,
        dropped=dropped,
        kept=Counter(document.source for document in kept.values()),
        splits=write_splits(kept, out),
        genres=Counter(genre for document in kept.values() for genre in document.genres),
        without_genre=sum(not document.genres for document in kept.values()),
        tags_known=grouper.known,
        tags_unspecific=grouper.unspecific,
        tags_unknown=grouper.unknown,
    )
    (out / REPORT).write_text(json.dumps(vars(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report, list(kept.values())


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


def write_splits(documents: dict[str, Document], out: Path) -> dict[str, int]:
    """Write a jsonl file for each split; return how many documents each holds."""
    out.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(SPLITS, 0)
    files = {split: (out / f"{split}.jsonl").open("w", encoding="utf-8") for split in SPLITS}
    try:
        for key, document in documents.items():
            split = split_of(key)
            counts[split] += 1
            files[split].write(json.dumps(asdict(document), ensure_ascii=False) + "\n")
    finally:
        for file in files.values():
            file.close()
    return counts


def split_file(folder: Path, split: str) -> Path:
    """The file of one split of a prepared folder; raises what `prepared_file` raises."""
    return prepared_file(folder, f"{split}.jsonl")


def report_file(folder: Path) -> Path:
    """The file with the report on a prepared folder; raises what `prepared_file` raises."""
    return prepared_file(folder, REPORT)


def prepared_file(folder: Path, name: str) -> Path:
    """A file that `plotify prepare` leaves.

    Raises:
        FileNotFoundError: the folder was not made by `plotify prepare`.
    """
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: make the data set first, with `plotify prepare --out {folder}`")
    return path


def read_split(folder: Path, split: str) -> Iterator[Document]:
    """Yield the documents of one split of a prepared folder; raises what `split_file` raises."""
    with split_file(folder, split).open(encoding="utf-8") as lines:
        for line in lines:
            yield Document(**json.loads(line))


def trainable_genres(folder: Path) -> tuple[str, ...]:
    """The genres that a model trained on `folder` can offer, in alphabetical order."""
    counts = Counter(genre for document in read_split(folder, "train") for genre in document.genres)
    return tuple(sorted(genre for genre, count in counts.items() if count >= FEWEST_OF_A_GENRE))
