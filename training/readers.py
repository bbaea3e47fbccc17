"""Readers for the corpora: two in their published formats, and prose in a plain format of our own.

- MPST, "Movie Plot Synopses with Tags" (Kar et al. 2018, arXiv:1802.07858): a csv with a header.
- CMU Book Summary Dataset (Bamman and Smith 2013, arXiv:1305.1319): tab-separated, no header.
- Prose: JSON Lines, each an object with `title`, `part` (counted from 1) and `text`, the parts of a story in order.

All readers stream: they read a row, hand it on and forget it. They tolerate dirt in a row: bytes that are not UTF-8,
missing fields, genres that are not JSON. They reject a file in the wrong format, naming the file, the row and the
column.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

MPST_COLUMNS = ("imdb_id", "title", "plot_synopsis", "tags", "split", "synopsis_source")
CMU_COLUMNS = ("article id", "Freebase id", "title", "author", "date", "genres", "summary")

LONGEST_FIELD = 1 << 20
"""Maximum length of a csv field, in characters.

A longer field is an unclosed quote, not a synopsis: the longest published one has some 60,000 characters.
"""


BARE_RETURN = re.compile(r"\r(?!\n)")
"""A carriage return inside a text. The csv module would take it for the end of a row."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a corpus, as found in the file.

    `text` is None if the row is too broken to have one. `begins` and `ends` are True if the row contains the beginning,
    or the end, of its text: a long story takes several rows.
    """

    source: str
    row: int
    title: str
    text: str | None
    tags: tuple[str, ...] = ()
    begins: bool = True
    ends: bool = True


class CorpusError(Exception):
    """A file is not in the expected format. The message names the file, row and column."""


def read_mpst(path: Path) -> Iterator[Summary]:
    """Yield the rows of an MPST csv. `row` counts records, and the header is row 1.

    Raises:
        CorpusError: a column is missing from the header, a quote is never closed, or most rows are broken.
    """
    with open_text(path) as file:
        previous_limit = csv.field_size_limit(LONGEST_FIELD)
        rows = csv.reader(BARE_RETURN.sub(" ", line) for line in file)
        row = 1
        try:
            header = next(rows, [])
            for column in ("title", "plot_synopsis", "tags"):
                if column not in header:
                    raise CorpusError(
                        f"{path}: row 1: there is no column '{column}'. The MPST csv begins with the line "
                        f"'{','.join(MPST_COLUMNS)}'; this file begins with '{','.join(header)[:80]}'."
                    )
            title, text, tags = (header.index(column) for column in ("title", "plot_synopsis", "tags"))
            broken = BrokenRows(path)
            for fields in rows:
                row += 1
                if not fields:
                    continue
                if len(fields) != len(header):
                    broken.add(row, f"{len(fields)} columns, but the header has {len(header)}")
                    yield Summary("mpst", row, "", None)
                    continue
                broken.good += 1
                yield Summary("mpst", row, fields[title], fields[text], split_tags(fields[tags]))
            broken.refuse_if_most()
        except csv.Error as error:
            raise CorpusError(
                f"{path}: after row {row}: {error}. The usual cause is an open quote (\") in column 'plot_synopsis'."
            ) from error
        finally:
            csv.field_size_limit(previous_limit)


def read_cmu(path: Path) -> Iterator[Summary]:
    """Yield the rows of a CMU booksummaries tsv. `row` counts lines from 1.

    Raises:
        CorpusError: most rows do not have seven columns, or the genres of the first row are not a JSON object.
    """
    with open_text(path) as file:
        broken = BrokenRows(path)
        for row, line in enumerate(rows_of(file), start=1):
            fields = line.split("\t")
            if len(fields) != len(CMU_COLUMNS):
                broken.add(row, f"{len(fields)} columns instead of {len(CMU_COLUMNS)} ({', '.join(CMU_COLUMNS)})")
                yield Summary("cmu", row, "", None)
                continue
            genres = freebase_genres(fields[5])
            if genres is None and not broken.good:
                raise CorpusError(
                    f"{path}: row {row}, column 6 (genres): expected a JSON object such as "
                    f'{{"/m/06nbt": "Satire"}} or nothing, found \'{fields[5][:60]}\'.'
                )
            broken.good += 1
            yield Summary("cmu", row, fields[2], fields[6], genres or ())
        broken.refuse_if_most()


def read_prose(path: Path) -> Iterator[Summary]:
    """Yield the rows of a prose file. `row` counts lines from 1.

    A row ends its story unless the next row is the next part.

    Raises:
        CorpusError: most rows are not a JSON object with a title, a part and a text.
    """
    with open_text(path) as file:
        broken = BrokenRows(path)
        last: Summary | None = None
        last_part = 0
        for row, line in enumerate(rows_of(file), start=1):
            try:
                fields = json.loads(line)
                title, part, text = str(fields["title"]), int(fields["part"]), str(fields["text"])
            except (ValueError, KeyError, TypeError) as error:
                broken.add(row, f"expected a JSON object with title, part and text ({error!r})")
                yield Summary("prose", row, "", None)
                continue
            broken.good += 1
            if last:
                yield replace(last, ends=(last.title, last_part + 1) != (title, part))
            last, last_part = Summary("prose", row, title, text, begins=part == 1), part
        if last:
            yield last
        broken.refuse_if_most()


def rows_of(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file without their ends, and leave out blank lines."""
    return (stripped for line in file if (stripped := line.rstrip("\r\n")).strip())


class BrokenRows:
    """Counts good and broken rows, and remembers the first broken one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.good = 0
        self.broken = 0
        self.first = ""

    def add(self, row: int, what: str) -> None:
        self.broken += 1
        self.first = self.first or f"row {row}: {what}"

    def refuse_if_most(self) -> None:
        """Raise a CorpusError if the file is empty, or has more broken rows than good ones.

        A few broken rows are dirt. If most rows are broken, it is the wrong file.
        """
        if not self.good and not self.broken:
            raise CorpusError(f"{self.path}: row 1: the file is empty.")
        if self.broken > self.good:
            raise CorpusError(
                f"{self.path}: {self.first}. {self.broken} of {self.broken + self.good} rows are broken, "
                "so this is probably the wrong file."
            )


def open_text(path: Path) -> TextIO:
    """Open a file for reading. Only a line feed ends a row: texts may contain carriage returns."""
    try:
        return path.open(encoding="utf-8-sig", errors="replace", newline="\n")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}.") from error


def split_tags(field: str) -> tuple[str, ...]:
    return tuple(tag for part in field.split(",") if (tag := part.strip()))


def freebase_genres(field: str) -> tuple[str, ...] | None:
    """Return the names in a JSON object such as `{"/m/06nbt": "Satire"}`.

    Returns an empty tuple for an empty field, and None for anything but an object.
    """
    if not field.strip():
        return ()
    try:
        genres = json.loads(field)
    except json.JSONDecodeError:
        return None
    if not isinstance(genres, dict):
        return None
    return tuple(str(name).strip() for name in genres.values() if str(name).strip())
