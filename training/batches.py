"""Documents as tokens, and the batches of an epoch.

One document is one row, so documents never attend to one another and every document begins at position 0, as a prompt
does in use. Rows of like length go together: each batch belongs to a bucket of one padded length, and holds as many
rows as fill the token budget, so that little is spent on padding and only a few shapes occur (XLA compiles each once).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.prepare import Document
from training.prompt import PromptTemplate

Ids = npt.NDArray[np.int32]

BUCKETS = (32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Padded lengths in tokens; what is longer than the context is no bucket of a model."""

ANY_GENRE_SHARE = 0.15
"""How often a document with genres is read without one, so that a prompt without a genre works for every kind."""


@dataclass(frozen=True)
class Batch:
    """`ids` [rows, length] int32; `mask` [rows, length] float32, 1 where the loss counts the token as a target.

    The genre prefix is given and never a target; padding is id 0 behind the end of text, where no target sees it.
    """

    ids: Ids
    mask: npt.NDArray[np.float32]


class Rows:
    """The documents of a split as tokens, and the order in which they are read.

    The order of epoch `e` follows from the seed and `e` alone, and each epoch has the same number of batches: that is
    how a killed training knows where it stood.

    Attributes:
        documents: those that fit the context, in the order of the file.
        too_long: how many were left out because they do not.
        bytes: UTF-8 bytes of the documents' texts.
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
    ) -> None:
        self.seed = seed
        self.end_of_text = end_of_text
        names = (prompt.any_genre, *prompt.genres)
        self.prefixes = [tokenizer.encode(prompt.prefix(name)).ids for name in names]
        longest_prefix = max(map(len, self.prefixes))
        number = {name: i for i, name in enumerate(names)}
        everything = list(documents)
        encoded = tokenizer.encode_batch([prompt.body(document.text) for document in everything])
        self.documents: list[Document] = []
        self.texts: list[list[int]] = []
        self.genres: list[list[int]] = []
        lengths: list[int] = []
        for document, encoding in zip(everything, encoded, strict=True):
            length = longest_prefix + len(encoding.ids) + 1
            if length > context:
                continue
            self.documents.append(document)
            self.texts.append(encoding.ids)
            self.genres.append([number[genre] for genre in document.genres if genre in number])
            lengths.append(length)
        self.bytes = sum(len(prompt.body(document.text).encode()) for document in self.documents)
        self.too_long = len(everything) - len(self.documents)
        self.buckets = sorted({min(bucket, context) for bucket in BUCKETS})
        self.bucket_of = np.searchsorted(self.buckets, lengths) if lengths else np.empty(0, np.int64)
        self.rows_in = [max(1, batch_tokens // bucket) for bucket in self.buckets]

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        counts = np.bincount(self.bucket_of, minlength=len(self.buckets))
        return sum(-(-int(count) // rows) for count, rows in zip(counts, self.rows_in, strict=True))

    def refuse_to_split(self, replicas: int) -> None:
        """Raise a ValueError where a batch has fewer rows than there are replicas to split it among."""
        longest = int(self.bucket_of.max())
        if self.rows_in[longest] < replicas:
            length = self.buckets[longest]
            raise ValueError(
                f"--batch-tokens: a batch of texts of {length} tokens has {self.rows_in[longest]} rows, too few for "
                f"{replicas} devices: give --batch-tokens {length * replicas} or more, or train on fewer devices"
            )

    def epoch(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """The batches of an epoch, each as the numbers of its documents, shuffled."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.texts))
        batches = []
        for bucket, rows in enumerate(self.rows_in):
            members = order[self.bucket_of[order] == bucket]
            batches += [members[i : i + rows] for i in range(0, len(members), rows)]
        np.random.default_rng((self.seed, epoch, 1)).shuffle(batches)
        return batches

    def training_stream(self, step: int) -> Iterator[Batch]:
        """The batches from the one that `step` finished steps leave next, epoch after epoch, without end."""
        epoch, done = divmod(step, self.batches)
        for number in count(epoch):
            for members in self.epoch(number)[done:]:
                yield self.training_batch(members, number)
            done = 0

    def evaluation_stream(self) -> Iterator[Batch]:
        """The batches of an evaluation, `batches` of them, and then of the next, without end."""
        while True:
            yield from map(self.evaluation_batch, self.epoch(0))

    def training_batch(self, members: npt.NDArray[np.int64], epoch: int) -> Batch:
        """The rows of `members`, each with one of its genres, or none, as (seed, epoch, document) draw it."""
        chosen = []
        for member in members:
            genres = self.genres[member]
            draw = np.random.default_rng((self.seed, epoch, int(member), 2))
            any_genre = not genres or draw.random() < ANY_GENRE_SHARE
            chosen.append(0 if any_genre else genres[draw.integers(len(genres))])
        return self.assemble(members, chosen)

    def evaluation_batch(self, members: npt.NDArray[np.int64]) -> Batch:
        """The rows of `members`, each with its first genre."""
        return self.assemble(members, [next(iter(self.genres[member]), 0) for member in members])

    def assemble(self, members: npt.NDArray[np.int64], genres: list[int]) -> Batch:
        bucket = self.bucket_of[members[0]]
        # a batch that is not full is padded with rows that no target is in, so that its shape is its bucket's
        shape = (self.rows_in[bucket], self.buckets[bucket])
        ids = np.zeros(shape, np.int32)
        mask = np.zeros(shape, np.float32)
        for row, (member, genre) in enumerate(zip(members, genres, strict=True)):
            prefix, text = self.prefixes[genre], self.texts[member]
            whole = [*prefix, *text, self.end_of_text]
            ids[row, : len(whole)] = whole
            mask[row, len(prefix) : len(whole)] = 1
        return Batch(ids, mask)
