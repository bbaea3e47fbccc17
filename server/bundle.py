"""The bundle: a folder with a manifest, a tokenizer and an ONNX file for each precision.

The manifest, `bundle.json` (format 3 or 2), names the other files and their hashes. If they differ, the bundle is
refused with one line: the file, the problem and the remedy.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from tokenizers import Tokenizer

FORMATS = (2, 3)
"""Format 3 added optional fields of prompts, and numbers for the engine to share with the export."""

FASTEST_FIRST = {"cpu": ("int8", "fp32"), "cuda": ("fp16",)}
"""The precisions for each device, the one with the highest throughput first."""

LARGEST = 2**20
"""The largest dimension of a network, a guard against damaged manifests."""


Dimension = Annotated[int, Meta(ge=1, le=LARGEST)]


class BundleError(Exception):
    """A bundle cannot be used. The message is one line for the operator."""


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of the network, all counted in elements. `end_of_text` is a token id.

    `vocab_size` may be larger than the tokenizer's if the network was padded. The ids above have no meaning.
    """

    vocab_size: Dimension
    context: Annotated[int, Meta(ge=2, le=LARGEST)]
    layers: Dimension
    heads: Dimension
    head_dim: Dimension
    end_of_text: int

    def __post_init__(self) -> None:
        if not 0 <= self.end_of_text < self.vocab_size:
            raise ValueError(f"end_of_text {self.end_of_text} is outside the vocabulary of {self.vocab_size}")


@dataclass(frozen=True)
class LengthClass:
    """A named length of whole texts. Bounds are in words; None is no bound."""

    name: str
    label: str
    min_words: int
    max_words: int | None


def _fields(template: str) -> list[str]:
    """Return the sorted names of a template's fields. One with a conversion or format matches no name."""
    return sorted("".join(filter(None, field)) for _, *field in Formatter().parse(template) if field[0] is not None)


@dataclass(frozen=True)
class PromptTemplate:
    """Turns a genre, a length, notes and a writer's words into the text for the model to continue.

    Format 2 has only the first three fields.

    Attributes:
        template: holds {genre} and {text}, and {length} and {notes} if the model knows them.
        length, notes: replace {length} and {notes} in the template, and hold a field of that name.
        continues: introduces a text without its beginning.
        lengths: the classes, shortest first.
        default_length: the class for prompts without a chosen length; None for none.
    """

    template: str
    any_genre: str
    genres: tuple[str, ...]
    length: str = ""
    notes: str = ""
    continues: str = ""
    lengths: tuple[LengthClass, ...] = ()
    default_length: str | None = None

    def __post_init__(self) -> None:
        optional = [name for name in ("length", "notes") if getattr(self, name)]
        if _fields(self.template) != sorted(["genre", "text", *optional]):
            wanted = ", ".join(f"{{{name}}}" for name in ("genre", *optional))
            raise ValueError(f"template must hold {wanted} and {{text}}, once each, and no other field")
        for name in optional:
            if _fields(getattr(self, name)) != [name]:
                raise ValueError(f"{name} must hold {{{name}}} once, and no other field")
        if self.default_length not in (None, *(each.name for each in self.lengths)):
            raise ValueError(f"default_length {self.default_length!r} is none of lengths")

    @property
    def has_notes(self) -> bool:
        """True if the model was trained with notes before its texts."""
        return bool(self.notes)

    def length_of(self, words: int) -> str | None:
        """Return the class of a whole text with this many words; None if the model knows no classes."""
        fitting = (each.name for each in self.lengths if each.max_words is None or words <= each.max_words)
        return next(fitting, self.lengths[-1].name if self.lengths else None)

    def genre_of(self, name: str) -> str | None:
        """Return the genre of a name in upper or lower case; None if the model does not know it."""
        return next((genre for genre in self.genres if genre.casefold() == name.casefold()), None)

    def fill(
        self,
        text: str,
        genre: str | None = None,
        length: str | None = None,
        notes: Sequence[str] = (),
        begins: bool = True,
    ) -> str:
        """Return the model's prompt for `text`.

        Args:
            genre: None for any.
            length: the name of a class, or None. Models without classes ignore it.
            notes: names and places for the text. Models without notes ignore them.
            begins: True if `text` includes the beginning.

        Raises:
            ValueError: the model does not know the genre or the length.
        """
        found = None if genre is None else self.genre_of(genre)
        if genre is not None and found is None:
            raise ValueError(f"unknown genre {genre!r}; this model knows {', '.join(self.genres)}")
        known = [each.name for each in self.lengths]
        if length is not None and known and length not in known:
            raise ValueError(f"unknown length {length!r}; this model knows {', '.join(known)}")
        if not begins and self.continues:
            text = f"{self.continues.lstrip()} {text}"
        return self.template.format(
            genre=found or self.any_genre,
            length=self.length.format(length=length) if length else "",
            notes=self.notes.format(notes=", ".join(notes)) if notes else "",
            text=text,
        )


@dataclass(frozen=True)
class SamplingDefaults:
    """The sampling parameters for this model, within the bounds of the engine's `Sampling`."""

    temperature: Annotated[float, Meta(ge=0, le=10)]
    top_k: Annotated[int, Meta(ge=0)]
    top_p: Annotated[float, Meta(gt=0, le=1)]
    repetition_penalty: Annotated[float, Meta(ge=0.1, le=10)]
    guidance: Annotated[float, Meta(ge=1, le=10)]


@dataclass(frozen=True)
class TokenizerEntry:
    """The tokenizer's file name in the bundle, and its sha256 in hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Precision:
    """An ONNX file: name, sha256, size in bytes, and measurements on held-out text.

    cache_type: the numpy dtype of its cached keys and values; None in format 2.
    """

    file: str
    sha256: str
    bytes: int
    perplexity: float
    bits_per_byte: float
    perplexity_vs_fp32: float
    cache_type: str | None = None


@dataclass(frozen=True)
class EngineContract:
    """Numbers shared by the export and the engine. The defaults are for format 2.

    Attributes:
        block_size: a prompt is prefilled in multiples of this many tokens, so its keys and values don't depend on how
            it is cut.
        guidance_floor: guidance excludes tokens below this share of the likeliest token's probability.
    """

    block_size: Annotated[int, Meta(ge=1, le=512)] = 16
    guidance_floor: Annotated[float, Meta(gt=0, le=1)] = 0.02


@dataclass(frozen=True)
class Manifest:
    """`bundle.json`, formats 2 and 3."""

    format: int
    name: str
    model: ModelShape
    prompt: PromptTemplate
    sampling: SamplingDefaults
    tokenizer: TokenizerEntry
    precisions: dict[str, Precision]
    provenance: dict[str, Any]
    engine: EngineContract = EngineContract()

    @property
    def voice(self) -> list[str]:
        """The titles of the texts that the model was tuned on; empty unless `plotify tune` made it."""
        corpora = self.provenance.get("corpora", [])
        return [Path(corpus["name"]).stem for corpus in corpora if corpus.get("source") == "own"]


@dataclass(frozen=True)
class Bundle:
    """A bundle, checked against its manifest. digest: sha256 of the manifest, which has all others."""

    path: Path
    manifest: Manifest
    tokenizer: Tokenizer = field(repr=False)
    digest: str = ""

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """Read the manifest at `path`, and check every file in it. Raises BundleError."""
        path = Path(path)
        manifest, digest = _read_manifest(path)
        _check_file(path / manifest.tokenizer.file, manifest.tokenizer.sha256)
        for precision in manifest.precisions.values():
            _check_file(path / precision.file, precision.sha256)
        return cls(path, manifest, _read_tokenizer(path / manifest.tokenizer.file, manifest.model), digest)

    def model_file(self, precision: str) -> Path:
        """Return the ONNX file of a precision. Raises BundleError if the bundle has none."""
        if precision not in self.manifest.precisions:
            carried = ", ".join(self.manifest.precisions)
            raise BundleError(f"{self.path}: there is no {precision} model in this bundle; choose one of: {carried}")
        return self.path / self.manifest.precisions[precision].file

    def fastest_first(self, device: str = "cpu") -> list[str]:
        """Return the bundle's precisions for "cpu" or "cuda", the one with the highest throughput first."""
        carried = self.manifest.precisions
        return [precision for precision in FASTEST_FIRST[device] if precision in carried] or list(carried)[:1]

    def fastest_precision(self, device: str = "cpu") -> str:
        """Return the first of `fastest_first`."""
        return self.fastest_first(device)[0]


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest, and its sha256 in hexadecimal."""
    path = folder / "bundle.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "there is no such folder" if not folder.is_dir() else f"bundle.json cannot be read ({error.strerror})"
        raise BundleError(f"{folder}: {reason}; name a folder that `plotify export` wrote") from error
    try:
        found = msgspec.json.decode(content, type=dict[str, Any]).get("format")
        if found not in FORMATS:
            raise BundleError(
                f"{path}: format is {found!r}, this Plotify reads formats {' and '.join(map(str, FORMATS))}; "
                "export the checkpoint again with this version"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; export the checkpoint again") from error
    if not manifest.precisions:
        raise BundleError(f"{path}: precisions names no model; export the checkpoint again")
    for name in [manifest.tokenizer.file, *(precision.file for precision in manifest.precisions.values())]:
        if Path(name).name != name or name in ("", "..") or "\0" in name:
            raise BundleError(f"{path}: {name!r} is not a file name in the bundle; export the checkpoint again")
    return manifest, hashlib.sha256(content).hexdigest()


def _check_file(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy or export the bundle again") from error
    if found != sha256:
        raise BundleError(
            f"{path}: sha256 is {found[:12]}…, bundle.json says {sha256[:12]}…; copy or export the bundle again"
        )


def _read_tokenizer(path: Path, shape: ModelShape) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
        decoder = json.loads(path.read_bytes()).get("decoder") or {}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exception, and its panics are not even that
        raise BundleError(f"{path}: not a tokenizer ({error}); export the checkpoint again") from error
    if decoder.get("type") != "ByteLevel":
        raise BundleError(f"{path}: not a byte-level tokenizer; export a GPT-2 checkpoint")
    if not shape.end_of_text < tokenizer.get_vocab_size() <= shape.vocab_size:
        raise BundleError(
            f"{path}: holds {tokenizer.get_vocab_size()} tokens, but bundle.json says {shape.vocab_size}, with "
            f"{shape.end_of_text} as the end of text; export the checkpoint again"
        )
    special = tokenizer.get_added_tokens_decoder().get(shape.end_of_text)
    if special is None or not special.special:
        raise BundleError(
            f"{path}: the token {shape.end_of_text}, which ends a text in bundle.json, is not a special token here; "
            "export the checkpoint again"
        )
    if set(tokenizer.get_vocab().values()) != set(range(tokenizer.get_vocab_size())):
        raise BundleError(f"{path}: its token ids are not consecutive numbers from 0; export the checkpoint again")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # "<|endoftext|>" in a writer's prompt is text, and must not end the document.
    tokenizer.encode_special_tokens = True
    return tokenizer
