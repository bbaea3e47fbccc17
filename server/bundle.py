"""The bundle: a folder with a manifest, a tokenizer and one ONNX file for each precision, checked as it is loaded.

`bundle.json` (format 3; 2 is still read) says what the other files are and what they must hash to. A bundle that does
not agree with its manifest is refused whole, with one line that names the file, what is wrong with it and what to do.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any

import msgspec
from tokenizers import Tokenizer

FORMATS = (2, 3)
"""Format 3 added what a prompt may hold beside its genre, and what the engine must agree with the export about."""

FASTEST_FIRST = {"cpu": ("int8", "fp32"), "cuda": ("fp16",)}
"""For each device, precisions in the order in which a server prefers them. On a processor int8 writes for many at once
as fast as any."""


LARGEST = 2**20
"""No network has a larger dimension: memory for one is not even asked for."""


class BundleError(Exception):
    """A bundle that cannot be used; the message is one line for the person who named it."""


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of the network, all counted in elements; `end_of_text` is a token id.

    `vocab_size` may be larger than the tokenizer's, where the network was padded; the ids over it stand for nothing.
    """

    vocab_size: int
    context: int
    layers: int
    heads: int
    head_dim: int
    end_of_text: int

    def __post_init__(self) -> None:
        dimensions = (self.vocab_size, self.context, self.layers, self.heads, self.head_dim)
        if min(dimensions) < 1 or self.context < 2:
            raise ValueError("every dimension must be at least 1, and the context at least 2")
        if max(dimensions) > LARGEST:
            raise ValueError(f"every dimension must be at most {LARGEST}")
        if not 0 <= self.end_of_text < self.vocab_size:
            raise ValueError(f"end_of_text {self.end_of_text} lies outside the vocabulary of {self.vocab_size}")


@dataclass(frozen=True)
class LengthClass:
    """A length of whole texts that the model was taught by name; bounds in words, None without end."""

    name: str
    label: str
    min_words: int
    max_words: int | None


def _fields(template: str) -> list[str]:
    """The names of a template's fields, sorted; one with a conversion or a format matches no name."""
    return sorted("".join(filter(None, field)) for _, *field in Formatter().parse(template) if field[0] is not None)


@dataclass(frozen=True)
class PromptTemplate:
    """Turns a genre, a length, notes and a writer's words into the text that the model continues.

    Format 2 has the first three fields alone.

    Attributes:
        template: holds {genre} and {text}, and {length} and {notes} where the model was taught them.
        length, notes: what stands in place of {length} and {notes}, with a field of that name.
        continues: what introduces a text whose beginning the model does not see.
        lengths: the classes, shortest first.
        default_length: the class in a prompt whose length nobody chose; None leaves it out.
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

    def length_of(self, words: int) -> str | None:
        """The class of a whole text of so many words; None where the model knows no classes."""
        fitting = (each.name for each in self.lengths if each.max_words is None or words <= each.max_words)
        return next(fitting, self.lengths[-1].name if self.lengths else None)

    def fill(
        self,
        text: str,
        genre: str | None = None,
        length: str | None = None,
        notes: Sequence[str] = (),
        begins: bool = True,
    ) -> str:
        """The model's prompt for `text`.

        Args:
            genre: None is any.
            length: the name of a class, or None; models that know no classes leave it out.
            notes: names and places that the text should hold; models that know no notes leave them out.
            begins: whether the text is there from its beginning on.

        Raises:
            ValueError: the model does not know the genre or the length.
        """
        if genre is not None and genre not in self.genres:
            raise ValueError(f"unknown genre {genre!r}; this model knows {', '.join(self.genres)}")
        known = [each.name for each in self.lengths]
        if length is not None and known and length not in known:
            raise ValueError(f"unknown length {length!r}; this model knows {', '.join(known)}")
        if not begins and self.continues:
            text = f"{self.continues.lstrip()} {text}"
        return self.template.format(
            genre=genre or self.any_genre,
            length=self.length.format(length=length) if length else "",
            notes=self.notes.format(notes=", ".join(notes)) if notes else "",
            text=text,
        )


@dataclass(frozen=True)
class SamplingDefaults:
    """The decoding parameters that suit this model, in the bounds of the engine's `Sampling`."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    guidance: float

    def __post_init__(self) -> None:
        if not (
            0 <= self.temperature <= 10
            and self.top_k >= 0
            and 0 < self.top_p <= 1
            and 0.1 <= self.repetition_penalty <= 10
            and 1 <= self.guidance <= 10
        ):
            raise ValueError("sampling holds a value that no request may have (see the engine's Sampling)")


@dataclass(frozen=True)
class TokenizerEntry:
    """The tokenizer's file name inside the bundle and its sha256 in hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Precision:
    """One ONNX file: name, sha256, size in bytes, and what was measured of it on held-out text.

    cache_type: the numpy dtype of the keys and values that it caches; format 2 does not say.
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
    """Numbers that the export reckoned with, and that the engine must share; the defaults are those of format 2.

    Attributes:
        block_size: tokens in which a prompt is read, so that its keys and values don't depend on how it was cut.
        guidance_floor: of the likeliest token's probability, what a token needs to be let in by guidance.
    """

    block_size: int = 16
    guidance_floor: float = 0.02


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


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were found to agree with its manifest."""

    path: Path
    manifest: Manifest
    tokenizer: Tokenizer = field(repr=False)

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """Reads the manifest at `path` and checks every file that it names. Raises BundleError."""
        path = Path(path)
        manifest = _read_manifest(path)
        _check_file(path / manifest.tokenizer.file, manifest.tokenizer.sha256)
        for precision in manifest.precisions.values():
            _check_file(path / precision.file, precision.sha256)
        return cls(path, manifest, _read_tokenizer(path / manifest.tokenizer.file, manifest.model))

    def model_file(self, precision: str) -> Path:
        """The ONNX file of a precision. Raises BundleError for one that this bundle does not carry."""
        if precision not in self.manifest.precisions:
            carried = ", ".join(self.manifest.precisions)
            raise BundleError(f"{self.path}: there is no {precision} model in this bundle; choose one of: {carried}")
        return self.path / self.manifest.precisions[precision].file

    def fastest_first(self, device: str = "cpu") -> list[str]:
        """Those that this bundle carries for "cpu" or "cuda", the one that serves many at once the fastest first."""
        carried = self.manifest.precisions
        return [precision for precision in FASTEST_FIRST[device] if precision in carried] or list(carried)[:1]

    def fastest_precision(self, device: str = "cpu") -> str:
        """The first of `fastest_first`."""
        return self.fastest_first(device)[0]


def _read_manifest(folder: Path) -> Manifest:
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
            raise BundleError(f"{path}: {name!r} is not the name of a file in the bundle; export the checkpoint again")
    return manifest


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
    except BaseException as error:  # the tokenizers library raises bare Exception, and its panics are none
        raise BundleError(f"{path}: not a tokenizer ({error}); export the checkpoint again") from error
    if decoder.get("type") != "ByteLevel":
        raise BundleError(f"{path}: not a byte-level tokenizer; export a GPT-2 checkpoint")
    if not shape.end_of_text < tokenizer.get_vocab_size() <= shape.vocab_size:
        raise BundleError(
            f"{path}: holds {tokenizer.get_vocab_size()} tokens, bundle.json says {shape.vocab_size}, of which "
            f"{shape.end_of_text} ends a text; export the checkpoint again"
        )
    special = tokenizer.get_added_tokens_decoder().get(shape.end_of_text)
    if special is None or not special.special:
        raise BundleError(
            f"{path}: the token {shape.end_of_text}, which ends a text in bundle.json, is not a special token here; "
            "export the checkpoint again"
        )
    if set(tokenizer.get_vocab().values()) != set(range(tokenizer.get_vocab_size())):
        raise BundleError(f"{path}: its token ids are not the numbers from 0 on; export the checkpoint again")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # What a writer types is text: "<|endoftext|>" in a prompt must not end the document.
    tokenizer.encode_special_tokens = True
    return tokenizer
