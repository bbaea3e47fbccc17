"""Tokenized documents, packed into rows and grouped into batches.

Each row holds as many documents as fit the context. The documents of a row don't attend to one another, and each begins
at position 0, as a prompt does at inference. All batches therefore have the same shape, which is compiled once, and
contain almost no padding.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.prepare import PROSE, Document
from training.prompt import PromptTemplate

Ids = npt.NDArray[np.int32]
Prefixes = Sequence[list[int]] | Mapping[int, list[int]]
"""The tokens of each document's prefix, by the document's number."""

ANY_GENRE_SHARE = 0.15
"""Probability of reading a document without its genres: prompts without a genre must work too."""

ANY_LENGTH_SHARE = 0.15
"""Probability of reading a plot without its length class, so prompts can leave it out."""

NOTES_SHARE = 0.35
"""Probability of putting some of a document's names before it, as notes."""

MAX_NOTES = 3

OPEN_ROWS = 64
"""Number of rows to fill side by side.

More rows leave less padding. Fewer rows keep documents closer to their place in the reading order.
"""


@dataclass(frozen=True)
class Batch:
    """Rows of packed documents.

    Attributes:
        ids: [rows, length] int32.
        starts: [rows, length] int32, the place in the row where each token's document begins. A padding token begins at
            itself.
        mask: [rows, length] float32, 1 where the loss counts the token as a target. The tokens of a prefix are never
            targets.
    """

    ids: Ids
    starts: Ids
    mask: npt.NDArray[np.float32]


class Rows:
    """The tokenized documents of a split, and the order of reading them.

    Together, the documents have at most `most_tokens` tokens. The seed and the number of an epoch alone decide the
    contents and the order of that epoch, so a killed training run can find its place again.

    Attributes:
        documents: the documents short enough for the context, in file order.
        too_long: number of documents left out because they are too long.
        tokens, bytes: totals over the texts of the documents; bytes are those of UTF-8.
        rows: number of rows in a batch.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        tokenizer: Tokenizer,
        prompt: PromptTemplate,
        end_of_text: int,
        context: int,
        batch_tokens: int,
        seed: int,
        most_tokens: int | None = None,
    ) -> None:
        self.seed, self.end_of_text, self.context = seed, end_of_text, context
        self.tokenizer, self.prompt = tokenizer, prompt
        self.rows = max(1, batch_tokens // context)
        everything = list(documents)
        self.tokens = self.too_long = 0
        self.documents: list[Document] = []
        self.texts: list[Ids] = []
        room = context - self.longest_prefix()
        bodies = self.encode(prompt.body(each.text) for each in everything)
        for document, ids in zip(everything, bodies, strict=False):
            whole = np.array([*ids, end_of_text] if document.ends else ids, np.int32)
            if len(whole) > room:
                self.too_long += 1
                continue
            if most_tokens and self.tokens + len(whole) > most_tokens:
                break
            self.documents.append(document)
            self.texts.append(whole)
            self.tokens += len(whole)
        self.epoch_held: tuple[int, list[list[int]], list[list[list[int]]]] | None = None
        self.bytes = sum(len(prompt.body(document.text).encode()) for document in self.documents)

    def longest_prefix(self) -> int:
        """Return the number of tokens in the longest prefix without notes.

        A document that fits after this prefix fits after any prefix without notes.
        """
        genres = (self.prompt.any_genre, self.prompt.prose, *self.prompt.genres)
        prefixes = (self.prompt.prefix(g, each.name, begins=False) for g in genres for each in self.prompt.lengths)
        return max(map(len, self.encode(prefixes)))

    def encode(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield the tokens of each text.

        Texts are encoded a thousand at a time, because the tokenizer's record of a single token takes a hundred bytes.
        """
        texts = iter(texts)
        while some := list(islice(texts, 1000)):
            yield from (encoding.ids for encoding in self.tokenizer.encode_batch_fast(some))

    def refuse_to_split(self, replicas: int) -> None:
        """Raise a ValueError if a batch has fewer rows than there are replicas."""
        if self.rows < replicas:
            raise ValueError(
                f"--batch-tokens: a batch has {self.rows} rows of {self.context} tokens, too few for {replicas} "
                f"devices: give --batch-tokens {self.context * replicas} or more, or train on fewer devices"
            )

    def batches_in(self, epochs: int, most: int | None = None) -> int:
        """Return the number of batches in the first `epochs` epochs, or `most` if there are more."""
        batches = 0
        for epoch in range(epochs):
            batches += len(self.epoch(epoch))
            if most and batches >= most:
                return most
        return batches

    def epoch_at(self, step: int) -> tuple[int, int]:
        """Return the epoch of the next batch after `step` finished steps, and its place in that epoch."""
        epoch = 0
        while step >= (batches := len(self.epoch(epoch))):
            epoch, step = epoch + 1, step - batches
        return epoch, step

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """Return the shuffled batches of an epoch.

        A batch is a list of rows, and a row is a list of document numbers.
        """
        return self.hold(epoch)[1]

    def hold(self, epoch: int) -> tuple[list[list[int]], list[list[list[int]]]]:
        """Return the prefix tokens of each document in an epoch, and the batches of the epoch.

        Both are kept until another epoch is asked for.
        """
        if self.epoch_held is None or self.epoch_held[0] != epoch:
            prefixes = self.drawn_prefixes(epoch)
            shuffled = np.random.default_rng((self.seed, epoch)).permutation(len(self.texts))
            rows = self.packed(shuffled.tolist(), prefixes)
            order = np.random.default_rng((self.seed, epoch, 1)).permutation(len(rows))
            self.epoch_held = epoch, prefixes, self.grouped([rows[place] for place in order])
        return self.epoch_held[1:]

    def drawn_prefixes(self, epoch: int) -> list[list[int]]:
        """Draw a prefix for each document in an epoch, and return its tokens.

        A prefix names one of the document's genres, its length class and some of its names as notes; each of them is
        sometimes left out. There are no notes if they would leave too little room for the text.
        """
        draw = np.random.default_rng((self.seed, epoch, 2)).random((len(self.documents), 4))
        drawn = [self.draw_prefix(*each) for each in zip(self.documents, draw, strict=True)]
        prefixes = list(self.encode(self.prompt.prefix(*parts) for parts in drawn))
        for number, (prefix, text, parts) in enumerate(zip(prefixes, self.texts, drawn, strict=True)):
            if self.width(prefix) + len(text) > self.context:
                genre, length, _, begins = parts
                (prefixes[number],) = self.encode([self.prompt.prefix(genre, length, (), begins)])
        return prefixes

    def draw_prefix(
        self, document: Document, draw: npt.NDArray[np.float64]
    ) -> tuple[str | None, str | None, list[str], bool]:
        """Draw the parts of a document's prefix: genre, length class, notes, and `begins`.

        Args:
            draw: four numbers in [0, 1). They decide the genre, the length class, the presence of notes, and the choice
                of notes.
        """
        genre, length = self.genre_of(document), self.length_of(document)
        if offered := [name for name in document.genres if name in self.prompt.genres]:
            share = (draw[0] - ANY_GENRE_SHARE) / (1 - ANY_GENRE_SHARE)
            genre = offered[int(share * len(offered))] if share >= 0 else None
        if draw[1] < ANY_LENGTH_SHARE:
            length = None
        notes: list[str] = []
        if document.names and draw[2] < NOTES_SHARE:
            chosen = np.random.default_rng(int(draw[3] * 2**53))
            most = min(MAX_NOTES, len(document.names))
            notes = [str(name) for name in chosen.choice(document.names, chosen.integers(1, most + 1), replace=False)]
        return genre, length, notes, document.begins

    def plain_prefix(self, document: Document) -> str:
        return self.prompt.prefix(self.genre_of(document), self.length_of(document), (), document.begins)

    def genre_of(self, document: Document) -> str | None:
        """Return the document's first genre known to the prompt template, or the template's word for prose."""
        if document.source == PROSE:
            return self.prompt.prose
        return next((name for name in document.genres if name in self.prompt.genres), None)

    def length_of(self, document: Document) -> str | None:
        """Return the length class of the whole text for a piece of a plot, None for prose."""
        return None if document.source == PROSE else self.prompt.length_of(document.words)

    def training_stream(self, step: int) -> Iterator[Batch]:
        """Yield the batches of epoch after epoch, without end, starting after `step` finished steps."""
        epoch, done = self.epoch_at(step)
        for number in count(epoch):
            prefixes, batches = self.hold(number)
            for rows in batches[done:]:
                yield self.assemble(rows, prefixes)
            done = 0

    @cached_property
    def evaluated(self) -> tuple[list[list[int]], list[list[list[int]]]]:
        """The prefixes and the batches of an evaluation.

        Each document has its first genre and its length class, but no notes.
        """
        prefixes = list(self.encode(self.plain_prefix(document) for document in self.documents))
        return prefixes, self.grouped(self.packed(range(len(self.texts)), prefixes))

    def evaluation_stream(self) -> Iterator[Batch]:
        """Yield the batches of one evaluation after another, without end."""
        prefixes, batches = self.evaluated
        while True:
            for rows in batches:
                yield self.assemble(rows, prefixes)

    def packed(self, order: Iterable[int], prefixes: list[list[int]]) -> list[list[int]]:
        """Pack the documents into rows, each after its prefix."""
        lengths = [self.width(prefix) + len(text) for prefix, text in zip(prefixes, self.texts, strict=True)]
        return pack(order, lengths, self.context)

    def width(self, prefix: list[int]) -> int:
        """Return the number of tokens to leave for a prefix."""
        return len(prefix)

    def grouped(self, rows: list[list[int]]) -> list[list[list[int]]]:
        return [rows[first : first + self.rows] for first in range(0, len(rows), self.rows)]

    def assemble(self, rows: list[list[int]], prefixes: Prefixes) -> Batch:
        """Return a batch of rows, given by their documents' numbers. `prefixes` are those of all documents."""
        return self.laid(rows, prefixes, {number: self.width(prefixes[number]) for row in rows for number in row})

    def laid(self, rows: list[list[int]], prefixes: Prefixes, widths: Mapping[int, int]) -> Batch:
        """Lay documents into rows. Each text begins `widths[number]` tokens behind the document before it."""
        shape = (self.rows, self.context)
        ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        starts = np.tile(np.arange(self.context, dtype=np.int32), (self.rows, 1))
        for row, documents in enumerate(rows):
            start = 0
            for document in documents:
                prefix, text = prefixes[document], self.texts[document]
                body = start + widths[document]
                begin, end = body - len(prefix), body + len(text)
                ids[row, begin:body], ids[row, body:end] = prefix, text
                starts[row, begin:end], mask[row, body:end] = begin, 1
                start = end
        return Batch(ids, starts, mask)


def pack(order: Iterable[int], lengths: list[int], room: int) -> list[list[int]]:
    """Pack documents into rows of `room` tokens.

    Each document goes into the fullest open row with enough room, or into a new row.

    Args:
        order: numbers of the documents.
        lengths: number of tokens of each document, at most `room`.

    Returns:
        The rows, each a list of document numbers.
    """
    rows: list[list[int]] = []
    opened: list[tuple[int, int]] = []  # (tokens left, row), fullest first
    for document in order:
        length = lengths[document]
        place = bisect_left(opened, (length, -1))
        if place < len(opened):
            left, row = opened.pop(place)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(document)
        insort(opened, (left - length, row))
        if len(opened) > OPEN_ROWS:
            del opened[0]
    return rows
