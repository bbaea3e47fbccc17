"""Documents as tokens, packed into rows, and the batches of an epoch.

Several documents share a row, as many as fit the context, and don't attend to one another; each begins at position 0,
as a prompt does in use. So every batch has the same shape, which is compiled once, and next to nothing is padding.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.prepare import PROSE, Document
from training.prompt import PromptTemplate

Ids = npt.NDArray[np.int32]

ANY_GENRE_SHARE = 0.15
"""How often a document with genres is read without one, so that a prompt without a genre works for every kind."""

ANY_LENGTH_SHARE = 0.15
"""How often a plot is read without its length class, so that a prompt may leave it out."""

NOTES_SHARE = 0.35
"""How often some of a document's names stand before it as notes."""

MAX_NOTES = 3

OPEN_ROWS = 64
"""Rows that are filled side by side: with more, less is padding; with fewer, neighbours in time stay neighbours."""


@dataclass(frozen=True)
class Batch:
    """Rows of documents, one behind another.

    Attributes:
        ids: [rows, length] int32.
        starts: [rows, length] int32, where the document of each token begins in its row; padding begins at itself.
        mask: [rows, length] float32, 1 where the loss counts the token as a target. A prefix is given and never one.
    """

    ids: Ids
    starts: Ids
    mask: npt.NDArray[np.float32]


class Rows:
    """The documents of a split as tokens, at most `most_tokens` of them, and the order in which they are read.

    What is read in epoch `e`, and in which order, follows from the seed and `e` alone: that is how a killed training
    knows where it stood.

    Attributes:
        documents: those that fit the context, in the order of the file.
        too_long: how many were left out because they do not.
        tokens, bytes: of the documents' texts; bytes are UTF-8's.
        rows: rows of a batch.
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
        """Tokens of the longest prefix without notes: a document that fits behind it always fits."""
        genres = (self.prompt.any_genre, self.prompt.prose, *self.prompt.genres)
        prefixes = (self.prompt.prefix(g, each.name, begins=False) for g in genres for each in self.prompt.lengths)
        return max(map(len, self.encode(prefixes)))

    def encode(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """The tokens of each text, some texts at a time: what the tokenizer knows of a token takes a hundred bytes."""
        texts = iter(texts)
        while some := list(islice(texts, 1000)):
            yield from (encoding.ids for encoding in self.tokenizer.encode_batch_fast(some))

    def refuse_to_split(self, replicas: int) -> None:
        """Raise a ValueError where a batch has fewer rows than there are replicas to split it among."""
        if self.rows < replicas:
            raise ValueError(
                f"--batch-tokens: a batch has {self.rows} rows of {self.context} tokens, too few for {replicas} "
                f"devices: give --batch-tokens {self.context * replicas} or more, or train on fewer devices"
            )

    def batches_in(self, epochs: int, most: int | None = None) -> int:
        """Batches of the first so many epochs, `most` of them at most."""
        batches = 0
        for epoch in range(epochs):
            batches += len(self.epoch(epoch))
            if most and batches >= most:
                return most
        return batches

    def epoch_at(self, step: int) -> tuple[int, int]:
        """The epoch of the batch that `step` finished steps leave next, and that batch's place in it."""
        epoch = 0
        while step >= (batches := len(self.epoch(epoch))):
            epoch, step = epoch + 1, step - batches
        return epoch, step

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """The batches of an epoch, shuffled; each is its rows, and a row the numbers of its documents."""
        return self.hold(epoch)[1]

    def hold(self, epoch: int) -> tuple[list[list[int]], list[list[list[int]]]]:
        """The tokens before each document in an epoch, and the epoch's batches; kept until another one is asked for."""
        if self.epoch_held is None or self.epoch_held[0] != epoch:
            prefixes = self.drawn_prefixes(epoch)
            shuffled = np.random.default_rng((self.seed, epoch)).permutation(len(self.texts))
            rows = self.packed(shuffled.tolist(), prefixes)
            order = np.random.default_rng((self.seed, epoch, 1)).permutation(len(rows))
            self.epoch_held = epoch, prefixes, self.grouped([rows[place] for place in order])
        return self.epoch_held[1:]

    def drawn_prefixes(self, epoch: int) -> list[list[int]]:
        """The tokens before each document in an epoch: one of its genres, its length, some of its names as notes.

        Where the notes leave too little room, there are none.
        """
        draw = np.random.default_rng((self.seed, epoch, 2)).random((len(self.documents), 4))
        drawn = [self.draw_prefix(*each) for each in zip(self.documents, draw, strict=True)]
        prefixes = list(self.encode(self.prompt.prefix(*parts) for parts in drawn))
        for number, (prefix, text, parts) in enumerate(zip(prefixes, self.texts, drawn, strict=True)):
            if len(prefix) + len(text) > self.context:
                genre, length, _, begins = parts
                (prefixes[number],) = self.encode([self.prompt.prefix(genre, length, (), begins)])
        return prefixes

    def draw_prefix(
        self, document: Document, draw: npt.NDArray[np.float64]
    ) -> tuple[str | None, str | None, list[str], bool]:
        """The parts of a document's prefix, by four numbers in [0, 1): for genre, length, notes or none, and which."""
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
        """The first genre that is offered; prose has a word of its own in its place."""
        if document.source == PROSE:
            return self.prompt.prose
        return next((name for name in document.genres if name in self.prompt.genres), None)

    def length_of(self, document: Document) -> str | None:
        """The length class of the whole text that a plot's document belongs to; prose has none."""
        return None if document.source == PROSE else self.prompt.length_of(document.words)

    def training_stream(self, step: int) -> Iterator[Batch]:
        """The batches from the one that `step` finished steps leave next, epoch after epoch, without end."""
        epoch, done = self.epoch_at(step)
        for number in count(epoch):
            prefixes, batches = self.hold(number)
            for rows in batches[done:]:
                yield self.assemble(rows, prefixes)
            done = 0

    @cached_property
    def evaluated(self) -> tuple[list[list[int]], list[list[list[int]]]]:
        """The prefixes and the batches of an evaluation: each document with its first genre and length, no notes."""
        prefixes = list(self.encode(self.plain_prefix(document) for document in self.documents))
        return prefixes, self.grouped(self.packed(range(len(self.texts)), prefixes))

    def evaluation_stream(self) -> Iterator[Batch]:
        """The batches of an evaluation, and then of the next, without end."""
        prefixes, batches = self.evaluated
        while True:
            for rows in batches:
                yield self.assemble(rows, prefixes)

    def packed(self, order: Iterable[int], prefixes: list[list[int]]) -> list[list[int]]:
        """The documents in rows, behind their prefixes."""
        lengths = [len(prefix) + len(text) for prefix, text in zip(prefixes, self.texts, strict=True)]
        return pack(order, lengths, self.context)

    def grouped(self, rows: list[list[int]]) -> list[list[list[int]]]:
        return [rows[first : first + self.rows] for first in range(0, len(rows), self.rows)]

    def assemble(self, rows: list[list[int]], prefixes: list[list[int]]) -> Batch:
        shape = (self.rows, self.context)
        ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        starts = np.tile(np.arange(self.context, dtype=np.int32), (self.rows, 1))
        for row, documents in enumerate(rows):
            start = 0
            for document in documents:
                prefix, text = prefixes[document], self.texts[document]
                body, end = start + len(prefix), start + len(prefix) + len(text)
                ids[row, start:body], ids[row, body:end] = prefix, text
                starts[row, start:end], mask[row, body:end] = start, 1
                start = end
        return Batch(ids, starts, mask)


def pack(order: Iterable[int], lengths: list[int], room: int) -> list[list[int]]:
    """Place documents in rows of `room` tokens: each into the fullest open row that it fits, or into a new one.

    Args:
        order: numbers of the documents; `lengths` says how many tokens each has, none more than `room`.

    Returns:
        The rows, each as the numbers of its documents.
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
