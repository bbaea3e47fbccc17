"""The prompt template: how a genre and a text become what the model reads, in training and in use alike."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class PromptTemplate:
    """`template` with the fields {genre} and {text}, the latter last; `any_genre` stands where no genre is known.

    Spaces before {text} are tokenized with the text: byte-level BPE writes a word's space into the word's first token,
    and so a document's tokens do not depend on the prefix before it.
    """

    genres: tuple[str, ...]
    template: str = "{genre}: {text}"
    any_genre: str = "Plot"

    def __post_init__(self) -> None:
        if not self.template.endswith("{text}") or "{genre}" not in self.template:
            raise ValueError(f"a prompt template must hold {{genre}} and end with {{text}}, not {self.template!r}")

    @property
    def head(self) -> str:
        return self.template.removesuffix("{text}")

    def prefix(self, genre: str | None) -> str:
        """What stands before the text's first token, without the spaces that belong to that token."""
        return self.head.rstrip().format(genre=genre or self.any_genre)

    def body(self, text: str) -> str:
        """The text with the spaces that the template puts before it."""
        return self.head[len(self.head.rstrip()) :] + text

    def manifest(self) -> dict[str, object]:
        return asdict(self)
