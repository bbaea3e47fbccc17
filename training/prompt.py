"""The prompt template: what the model reads before a text, in training and in use alike."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LengthClass:
    """A length that a writer can pick.

    Attributes:
        name: as it stands in the prompt.
        label: as it stands on a page.
        min_words, max_words: bounds of a whole text of this class, both inclusive; None is without end.
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
    """Genre, length and notes stand before the text: "Crime, lines [Anna, Lisbon]: The first body".

    Length and notes may be left out, with what surrounds them. A text whose beginning is not there is introduced by
    `continues`. Spaces before {text} are tokenized with the text: byte-level BPE writes a word's space into the word's
    first token, and so a document's tokens do not depend on the prefix before it.

    Attributes:
        template: holds {genre}, {length} and {notes}, and ends with {text}.
        length, notes: what replaces {length} and {notes}; they hold a field of the same name.
        continues: what stands before a text that goes on from one that the model does not see.
        any_genre: stands where no genre is known; `prose` stands before prose that is no plot.
        lengths: the classes, shortest first, without a gap.
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
        """The class of a text of so many words, at least 1."""
        return next(each.name for each in self.lengths if each.max_words is None or words <= each.max_words)

    def prefix(
        self, genre: str | None, length: str | None = None, notes: Sequence[str] = (), begins: bool = True
    ) -> str:
        """Return what stands before the text's first token, without the spaces that belong to that token."""
        head = self.head.rstrip().format(
            genre=genre or self.any_genre,
            length=self.length.format(length=length) if length else "",
            notes=self.notes.format(notes=", ".join(notes)) if notes else "",
        )
        return head if begins else head + self.continues

    def body(self, text: str) -> str:
        """The text with the spaces that the template puts before it."""
        return self.head[len(self.head.rstrip()) :] + text

    def manifest(self) -> dict[str, object]:
        return asdict(self)
