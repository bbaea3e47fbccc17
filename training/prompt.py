"""The prompt template: the words before a text, the same in training and at inference."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LengthClass:
    """A length of text, for a writer to pick.

    Attributes:
        name: its name in the prompt.
        label: its name on a page.
        min_words, max_words: bounds for the whole text, both inclusive. None means no upper bound.
    """

    name: str
    label: str
    min_words: int
    max_words: int | None


LENGTHS = (
    LengthClass("line", "A line", 1, 29),
    LengthClass("lines", "A few lines", 30, 99),
    LengthClass("paragraph", "A paragraph", 100, 219),
    LengthClass("page", "A page", 220, None),
)


@dataclass(frozen=True)
class PromptTemplate:
    """The template of a prompt, such as "Crime, lines [Anna, Lisbon]: The first body".

    Genre, length and notes stand before the text. Length and notes are optional; without them, their punctuation is
    left out too. A text without its beginning is introduced by `continues`. Spaces before {text} are tokenized with the
    text, because byte-level BPE puts the space before a word into the word's first token. The tokens of a document
    therefore do not depend on its prefix.

    Attributes:
        template: contains {genre}, {length} and {notes}, and ends with {text}.
        length, notes: replacements for {length} and {notes}, each with a field of the same name.
        continues: introduces a text whose beginning the model does not see.
        any_genre: stands in place of an unknown genre.
        prose: stands in place of the genre for prose other than plots.
        lengths: the length classes, shortest first, without gaps.
    """

    genres: tuple[str, ...]
    template: str = "{genre}{length}{notes}: {text}"
    any_genre: str = "Plot"
    prose: str = "Story"
    length: str = ", {length}"
    notes: str = " [{notes}]"
    continues: str = " …"
    lengths: tuple[LengthClass, ...] = LENGTHS

    def __post_init__(self) -> None:
        if not self.template.endswith("{text}") or "{genre}" not in self.template:
            raise ValueError(f"a prompt template must hold {{genre}} and end with {{text}}, not {self.template!r}")

    @property
    def head(self) -> str:
        return self.template.removesuffix("{text}")

    def length_of(self, words: int) -> str:
        """Return the length class of a text of `words` words, at least 1."""
        return next(each.name for each in self.lengths if each.max_words is None or words <= each.max_words)

    def prefix(
        self, genre: str | None, length: str | None = None, notes: Sequence[str] = (), begins: bool = True
    ) -> str:
        """Return the prompt up to the first token of the text, without the spaces that belong to that token."""
        head = self.head.rstrip().format(
            genre=genre or self.any_genre,
            length=self.length.format(length=length) if length else "",
            notes=self.notes.format(notes=", ".join(notes)) if notes else "",
        )
        return head if begins else head + self.continues

    def body(self, text: str) -> str:
        """Return the text after the spaces that the template puts before it."""
        return self.head[len(self.head.rstrip()) :] + text

    def manifest(self) -> dict[str, object]:
        return asdict(self)
