"""The table grouping the many tags and genres of the corpora into the few offered to writers."""

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TABLE = Path(__file__).with_name("genres.toml")


def load_table(path: Path = TABLE) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return ({tag: its genres}, all genres). A tag that says nothing about genre has none."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    genres_of: dict[str, tuple[str, ...]] = dict.fromkeys(table["unspecific"], ())
    for genre, tags in table["genres"].items():
        for tag in tags:
            genres_of[tag] = (*genres_of.get(tag, ()), genre)
    return genres_of, tuple(table["genres"])


@dataclass
class GenreGrouper:
    """Groups tags into genres, and counts the tags found in the table.

    Attributes:
        known: number of uses of tags with a genre.
        unspecific: number of uses of tags listed without a genre.
        unknown: number of uses of each tag missing from the table.
    """

    known: int = 0
    unspecific: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.genres_of, self.genres = load_table()

    def group(self, tags: tuple[str, ...]) -> list[str]:
        """Return the genres of `tags`, each once, in the order of the tags."""
        found: dict[str, None] = {}
        for tag in tags:
            genres = self.genres_of.get(tag.lower())
            if genres is None:
                self.unknown[tag.lower()] += 1
            elif genres:
                self.known += 1
                found.update(dict.fromkeys(genres))
            else:
                self.unspecific += 1
        return list(found)
