"""Cutting a writer's texts into passages to train on.

A writer asks for a line, a few lines or a paragraph. So the texts are cut into passages of these lengths, each with the
class of its own length before it, and each is a whole text to the model.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle

from training.pieces import pieces, sentences
from training.prepare import Document
from voice.manuscripts import Manuscript

SOURCE = "own"
"""The source of the documents, as corpora have one."""

ROUND = (60, 20, 140, 60, 200, 60)
"""The words of passages, by turns. Half of them are a few lines, the page's default."""

LONGEST = 1700
"""Characters of a passage at most. They fit a context of 512 tokens."""

HELD_OUT = 10
"""One passage in ten is held out, in runs of `RUN`, so its neighbours tell little about it."""

RUN = 5


def passages(manuscripts: Iterable[Manuscript], longest: int = LONGEST) -> Iterator[Document]:
    """Yield the passages of all texts, in order. longest: characters of a passage at most."""
    for manuscript in manuscripts:
        for text in cut(manuscript.paragraphs, cycle(ROUND), longest):
            yield Document(text, [], manuscript.name, SOURCE, len(text.split()))


def cut(paragraphs: Sequence[str], wanted: Iterator[int], longest: int) -> Iterator[str]:
    """Cut paragraphs at the ends of sentences into texts of about the `wanted` numbers of words."""
    passage, size, room = "", 0, next(wanted)
    for paragraph in paragraphs:
        for sentence in sentences(paragraph):
            for part in pieces(sentence.strip(), longest):
                words = len(part.split())
                if passage and (size + words > room * 1.25 or len(passage) + len(part) >= longest):
                    yield passage
                    passage, size, room = "", 0, next(wanted)
                passage = f"{passage} {part}" if passage else part
                size += words
                if size >= room:
                    yield passage
                    passage, size, room = "", 0, next(wanted)
    if passage:
        yield passage


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Return the passages to train on, and the tenth that is held out."""
    held = [document for place, document in enumerate(documents) if is_held_out(place)]
    return [document for place, document in enumerate(documents) if not is_held_out(place)], held


def is_held_out(place: int) -> bool:
    return place // RUN % HELD_OUT == HELD_OUT // 2
