"""Reading a checkpoint of `plotify train`: Hugging Face's layout with a `plotify.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from tokenizers import Tokenizer

from export.errors import ExportError

REMEDY = "Give a folder that `plotify train` wrote."
PROBE = "Zoë's café: 東京 🎭"
"""A text with characters of one to four bytes, for telling byte-level tokenizers from others."""


@dataclass(frozen=True)
class Dimensions:
    """The model's sizes, as in the bundle's manifest."""

    vocab_size: int
    context: int
    layers: int
    heads: int
    head_dim: int
    end_of_text: int


@dataclass(frozen=True)
class Document:
    """A held-out text and its genres. The text is scored after its first genre."""

    text: str
    genres: tuple[str, ...]
    words: int = 1
    begins: bool = True


@dataclass(frozen=True)
class LengthClass:
    """A length of text, taught to the model by name. Its bounds are in words; None means no bound."""

    name: str
    label: str
    min_words: int
    max_words: int | None


@dataclass(frozen=True)
class Prompt:
    """The template joining genre, length, notes and text, the same in training and in a request.

    A checkpoint may have been trained without lengths, without notes, or without the mark of a continued text.
    """

    template: str
    any_genre: str
    genres: tuple[str, ...]
    length: str = ""
    notes: str = ""
    continues: str = ""
    lengths: tuple[LengthClass, ...] = ()

    @property
    def default_length(self) -> str | None:
        """The length class for prompts that give none: the second shortest, or None without classes."""
        return self.lengths[min(1, len(self.lengths) - 1)].name if self.lengths else None

    def join(self, genre: str | None, text: str, length: str | None = None, begins: bool = True) -> str:
        """Return the prompt for `text`, with `genre` (any genre if None) and a length class before it."""
        if not begins and self.continues:
            text = f"{self.continues.lstrip()} {text}"
        length = self.length.format(length=length) if length else ""
        return self.template.format(genre=genre or self.any_genre, length=length, notes="", text=text)

    def join_document(self, document: Document, text: str | None = None) -> str:
        """Return the prompt for `document`, with its first genre and its length class.

        Args:
            text: replaces the document's text.
        """
        length = next(
            (each.name for each in self.lengths if each.max_words is None or document.words <= each.max_words), None
        )
        genre = next((name for name in document.genres if name in self.genres), None)
        return self.join(genre, document.text if text is None else text, length, document.begins)


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint except the weights, read and checked."""

    folder: Path
    name: str
    model: Dimensions
    prompt: Prompt
    sampling: dict[str, float]
    provenance: dict[str, Any]
    documents: tuple[Document, ...]
    tokenizer: Tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`, without special tokens."""
        text: str = self.tokenizer.decode(ids)
        return text


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and check everything in `folder` except the weights.

    Raises:
        ExportError: something is missing, unreadable or contradictory. The message names the file.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder}: no such folder. {REMEDY}")
    for name in ("config.json", "tf_model.h5", "tokenizer.json", "test.jsonl", "plotify.json"):
        if not (folder / name).is_file():
            raise ExportError(f"{folder}: not a checkpoint of `plotify train`: {name} is missing. {REMEDY}")
    model = _read_dimensions(folder / "config.json")
    manifest = folder / "plotify.json"
    fields = _read_object(manifest)
    try:
        prompt = Prompt(
            template=str(fields["prompt"]["template"]),
            any_genre=str(fields["prompt"]["any_genre"]),
            genres=tuple(fields["prompt"]["genres"]),
            **{name: str(fields["prompt"].get(name, "")) for name in ("length", "notes", "continues")},
            lengths=tuple(LengthClass(**each) for each in fields["prompt"].get("lengths", ())),
        )
        name, sampling, provenance = str(fields["name"]), dict(fields["sampling"]), dict(fields["provenance"])
    except (KeyError, TypeError, ValueError) as wrong:
        raise ExportError(
            f"{manifest}: missing or malformed field ({wrong!r}). Train again, or correct the file."
        ) from wrong
    fields_used = sorted(name for _, name, _, _ in Formatter().parse(prompt.template) if name is not None)
    wanted = sorted(["genre", "text", *(name for name in ("length", "notes") if getattr(prompt, name))])
    if fields_used != wanted or not prompt.template.endswith("{text}"):
        raise ExportError(
            f"{manifest}: the prompt template {prompt.template!r} must contain each of {', '.join(wanted)} once and "
            "end with {text}."
        )
    for setting, kind in (
        ("temperature", float),
        ("top_k", int),
        ("top_p", float),
        ("repetition_penalty", float),
        ("guidance", float),
    ):
        if not isinstance(sampling.get(setting), kind | int):
            raise ExportError(f"{manifest}: sampling.{setting} must be a number, not {sampling.get(setting)!r}.")
    return Checkpoint(
        folder=folder,
        name=name,
        model=model,
        prompt=prompt,
        sampling=sampling,
        provenance=provenance,
        documents=_read_documents(folder / "test.jsonl"),
        tokenizer=_read_tokenizer(folder / "tokenizer.json", model),
    )


def _read_object(file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as wrong:
        raise ExportError(f"{file}: not JSON: {wrong}.") from wrong
    if not isinstance(fields, dict):
        raise ExportError(f"{file}: a JSON object is expected, not {type(fields).__name__}.")
    return fields


def _read_dimensions(file: Path) -> Dimensions:
    config = _read_object(file)
    if config.get("model_type") != "gpt2":
        raise ExportError(f"{file}: model_type is {config.get('model_type')!r}; only gpt2 can be exported.")
    fields = ("vocab_size", "n_positions", "n_layer", "n_head", "n_embd", "eos_token_id")
    for field in fields:
        if not isinstance(config.get(field), int):
            raise ExportError(f"{file}: {field} must be a whole number, not {config.get(field)!r}.")
    vocab_size, context, layers, heads, width, end_of_text = (int(config[field]) for field in fields)
    return Dimensions(vocab_size, context, layers, heads, width // heads, end_of_text)


def _read_tokenizer(file: Path, model: Dimensions) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as wrong:  # tokenizers raises bare Exception
        raise ExportError(f"{file}: not a tokenizer of the tokenizers library: {wrong}.") from wrong
    if tokenizer.get_vocab_size() > model.vocab_size:
        raise ExportError(
            f"{file}: has {tokenizer.get_vocab_size()} tokens, the model in config.json only {model.vocab_size}. "
            "They are not from the same checkpoint."
        )
    encoded = tokenizer.encode(PROBE, add_special_tokens=False)
    if sum(map(len, encoded.tokens)) != len(PROBE.encode()) or tokenizer.decode(encoded.ids) != PROBE:
        raise ExportError(f"{file}: not a byte-level BPE without added spaces, as `plotify train` makes it.")
    return tokenizer


def _read_documents(file: Path) -> tuple[Document, ...]:
    documents = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                fields = json.loads(line)
                document = Document(
                    str(fields["text"]),
                    tuple(fields["genres"]),
                    int(fields.get("words", 1)),
                    bool(fields.get("begins", True)),
                )
            except (ValueError, KeyError, TypeError) as wrong:
                raise ExportError(
                    f"{file}: line {number} is not a document with text and genres: {wrong!r}."
                ) from wrong
            if document.text.strip():
                documents.append(document)
    if not documents:
        raise ExportError(f"{file}: contains no document, so nothing can be measured. {REMEDY}")
    return tuple(documents)
