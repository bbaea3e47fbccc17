"""A writer's brief, and the engine's request for it."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from server.bundle import Manifest, SamplingDefaults
from server.engine import Request, Sampling
from server.engine.request import MAX_BAD_WORD_LENGTH, MAX_BAD_WORDS
from server.errors import PlotifyError
from server.http.request_id import request_id
from server.writing.notes import noted

ANY_GENRE = "any"
SEED_DIGITS = 9
MAX_NOTES = 2_000
RANDOM_SEED = "-1"
"""The seed with which many programs ask for a random one."""


@dataclass(frozen=True)
class Length:
    """A length: after `enough` tokens, the plot ends with the sentence; after `most` tokens, anywhere.

    words: the approximate number of words.
    """

    label: str
    enough: int
    most: int
    words: int


LENGTHS = {
    "line": Length("A line", enough=12, most=48, words=18),
    "lines": Length("A few lines", enough=60, most=120, words=55),
    "paragraph": Length("A paragraph", enough=150, most=240, words=140),
}


@dataclass(frozen=True)
class Wildness:
    """A step of the dial, around the model's own sampling defaults.

    temperature: factor on the default. top_p: share of the way from the default to 1 (positive) or to 0 (negative).
    """

    label: str
    temperature: float
    top_p: float

    def sampling(self, defaults: SamplingDefaults) -> Sampling:
        """Return the sampling parameters of this step for a model."""
        room = 1 - defaults.top_p if self.top_p > 0 else defaults.top_p
        return Sampling(
            temperature=min(defaults.temperature * self.temperature, 10.0),
            top_k=defaults.top_k,
            top_p=defaults.top_p + self.top_p * room,
            repetition_penalty=defaults.repetition_penalty,
            guidance=defaults.guidance,
        )


WILDNESSES = {
    1: Wildness("safe", temperature=0.6, top_p=-0.2),
    2: Wildness("steady", temperature=0.8, top_p=-0.1),
    3: Wildness("even", temperature=1.0, top_p=0.0),
    4: Wildness("loose", temperature=1.15, top_p=0.2),
    5: Wildness("wild", temperature=1.3, top_p=0.4),
}

DEFAULTS = {
    "prompt": "",
    "genre": ANY_GENRE,
    "length": "lines",
    "wildness": "3",
    "avoid": "",
    "seed": "",
    "notes": "",
}
"""The fields of the blank form, and their values as text."""


class BriefError(PlotifyError):
    """The brief has mistakes. problems: an explanation for each field at fault."""

    status = 422

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Brief:
    """A writer's wishes. genre: None for any; seed: None for random; avoid: words to keep out.

    notes: names and the like to keep in mind; () if the model has no place for them. least: tokens of the plot, at
    least. words: the number of words of the whole text, if the prompt is only its end; None if it is all of it.
    min_lengthening: see `Sampling`.
    """

    prompt: str
    genre: str | None
    length: Length
    wildness: Wildness
    avoid: tuple[str, ...]
    seed: int | None
    notes: tuple[str, ...] = ()
    least: int = 0
    words: int | None = None
    min_lengthening: float = 0.0

    @classmethod
    def read(cls, typed: dict[str, str], manifest: Manifest, blank: bool = False) -> "Brief":
        """Parse the fields of the form; absent ones have their default. Raises BriefError.

        blank: allow an empty prompt.
        """
        # The model has read accents as a part of their letter.
        typed = {name: unicodedata.normalize("NFC", value) for name, value in (DEFAULTS | typed).items()}
        problems = {}
        prompt = typed["prompt"].replace("\r\n", "\n").strip()
        if not (prompt or blank):
            problems["prompt"] = "Write a few words to begin with."
        genres = manifest.prompt.genres
        genre = manifest.prompt.genre_of(typed["genre"])
        if genre is None and typed["genre"].casefold() != ANY_GENRE:
            problems["genre"] = f"Choose “{ANY_GENRE}” or one of: {', '.join(genres)}."
        if typed["length"] not in LENGTHS:
            problems["length"] = f"Choose one of: {', '.join(LENGTHS)}."
        if typed["wildness"] not in map(str, WILDNESSES):
            problems["wildness"] = f"Choose a number from {min(WILDNESSES)} to {max(WILDNESSES)}."
        avoid = tuple(dict.fromkeys(word for part in typed["avoid"].split(",") if (word := " ".join(part.split()))))
        if len(avoid) > MAX_BAD_WORDS or any(len(word) > MAX_BAD_WORD_LENGTH for word in avoid):
            problems["avoid"] = f"At most {MAX_BAD_WORDS} words, of at most {MAX_BAD_WORD_LENGTH} letters each."
        if len(typed["notes"]) > MAX_NOTES:
            problems["notes"] = f"At most {MAX_NOTES:,} characters; these are {len(typed['notes']):,}. Shorten them."
        seed = typed["seed"].strip()
        if seed == RANDOM_SEED:
            seed = ""
        if not re.fullmatch(f"[0-9]{{0,{SEED_DIGITS}}}", seed):
            problems["seed"] = "A seed is a whole number of up to nine digits; leave it empty for a random one."
        if problems:
            raise BriefError(problems)
        return cls(
            prompt=prompt,
            genre=genre,
            length=LENGTHS[typed["length"]],
            wildness=WILDNESSES[int(typed["wildness"])],
            avoid=avoid,
            seed=int(seed) if seed else None,
            notes=noted(typed["notes"]) if manifest.prompt.has_notes else (),
        )

    @property
    def draws_genre(self) -> bool:
        """True for a blank page without a genre: each seed draws one, for first lines of all kinds."""
        return not self.prompt and self.genre is None

    @property
    def rows(self) -> int:
        """The rows of the engine for each plot: a genre takes two."""
        return 2 if self.genre or self.draws_genre else 1

    def drawn(self, seed: int, manifest: Manifest) -> "Brief":
        """Return the brief with this seed, and with its genre out of the model's if the brief draws one."""
        genres = manifest.prompt.genres
        return replace(self, seed=seed, genre=genres[seed % len(genres)] if self.draws_genre and genres else self.genre)

    def limited(self, max_tokens: int) -> "Brief":
        """Return the brief with a length of at most so many tokens."""
        return replace(self, length=replace(self.length, most=min(self.length.most, max_tokens)))

    def request(self, manifest: Manifest, max_tokens: int, client: str = "") -> Request:
        """Return the engine's request for a client. `max_tokens` limits the length."""
        own = len(self.prompt.split())
        written = own if self.words is None else self.words
        # The model was trained on the lengths of whole texts: count the words so far and the words to come.
        length = manifest.prompt.length_of(written + self.length.words)

        def fill(genre: str | None, text: str = self.prompt) -> str:
            # Without an opening, the model generates the space after the genre.
            return manifest.prompt.fill(text, genre, length, self.notes, begins=written == own).rstrip()

        sampling = replace(
            self.wildness.sampling(manifest.sampling),
            max_tokens=min(self.length.most, max_tokens),
            bad_words=self.avoid,
            min_tokens=self.least,
            min_lengthening=self.min_lengthening,
            seed=self.seed,
        )
        against = fill(None) if self.genre else None
        # A name in the notes is not yet in the text, so it is no repetition.
        before = fill(self.genre, "") if self.notes else ""
        return Request(fill(self.genre), sampling, against, unpenalised=before, client=client, id=request_id.get())
