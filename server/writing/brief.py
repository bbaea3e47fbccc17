"""What a writer asks for, in a writer's words, and what that is for the engine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from server.bundle import Manifest, SamplingDefaults
from server.engine import Request, Sampling
from server.engine.request import MAX_BAD_WORD_LENGTH, MAX_BAD_WORDS
from server.errors import PlotifyError
from server.http.request_id import request_id

ANY_GENRE = "any"
SEED_DIGITS = 9


@dataclass(frozen=True)
class Length:
    """Once `enough` tokens are written, the plot ends with the sentence; at `most` tokens it ends wherever it is.

    words: about how many are wanted.
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
    """One step of the dial, around the model's own decoding defaults.

    temperature: factor on the default. top_p: how far from the default towards 1 (over 0) or towards 0 (under 0).
    """

    label: str
    temperature: float
    top_p: float

    def sampling(self, defaults: SamplingDefaults) -> Sampling:
        """How tokens are chosen at this step, for a model."""
        room = 1 - defaults.top_p if self.top_p > 0 else defaults.top_p
        return Sampling(
            temperature=min(defaults.temperature * self.temperature, 10.0),
            top_k=defaults.top_k,
            top_p=defaults.top_p + self.top_p * room,
            repetition_penalty=defaults.repetition_penalty,
            guidance=defaults.guidance,
        )


WILDNESSES = {
    1: Wildness("close", temperature=0.6, top_p=-0.2),
    2: Wildness("steady", temperature=0.8, top_p=-0.1),
    3: Wildness("even", temperature=1.0, top_p=0.0),
    4: Wildness("loose", temperature=1.15, top_p=0.2),
    5: Wildness("wild", temperature=1.3, top_p=0.4),
}

DEFAULTS = {"prompt": "", "genre": ANY_GENRE, "length": "lines", "wildness": "3", "avoid": "", "seed": ""}
"""The form as it is first shown: every field's name, and its value as typed."""


class BriefError(PlotifyError):
    """The brief has mistakes. problems: what is wrong, by field."""

    status = 422

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Brief:
    """What a writer asks for. No genre: any; no seed: a surprise. avoid: words that are not to be written.

    least: tokens before which a plot does not end. words: how many the whole text has, of which the prompt may be the
    end alone; None where it is all of it.
    """

    prompt: str
    genre: str | None
    length: Length
    wildness: Wildness
    avoid: tuple[str, ...]
    seed: int | None
    least: int = 0
    words: int | None = None

    @classmethod
    def read(cls, typed: dict[str, str], manifest: Manifest, blank: bool = False) -> "Brief":
        """From the form's fields as they were typed; absent ones have their default. Raises BriefError.

        blank: whether a plot may begin with nothing.
        """
        typed = DEFAULTS | typed
        problems = {}
        prompt = typed["prompt"].replace("\r\n", "\n").strip()
        if not (prompt or blank):
            problems["prompt"] = "Write a few words to begin with."
        genres = manifest.prompt.genres
        if typed["genre"] not in (ANY_GENRE, *genres):
            problems["genre"] = f"Choose “{ANY_GENRE}” or one of: {', '.join(genres)}."
        if typed["length"] not in LENGTHS:
            problems["length"] = f"Choose one of: {', '.join(LENGTHS)}."
        if typed["wildness"] not in map(str, WILDNESSES):
            problems["wildness"] = f"Choose a number from {min(WILDNESSES)} to {max(WILDNESSES)}."
        avoid = tuple(dict.fromkeys(word for part in typed["avoid"].split(",") if (word := " ".join(part.split()))))
        if len(avoid) > MAX_BAD_WORDS or any(len(word) > MAX_BAD_WORD_LENGTH for word in avoid):
            problems["avoid"] = f"At most {MAX_BAD_WORDS} words, of at most {MAX_BAD_WORD_LENGTH} letters each."
        seed = typed["seed"].strip()
        if not re.fullmatch(f"[0-9]{{0,{SEED_DIGITS}}}", seed):
            problems["seed"] = "A seed is a whole number of up to nine digits; leave it empty for a surprise."
        if problems:
            raise BriefError(problems)
        return cls(
            prompt=prompt,
            genre=None if typed["genre"] == ANY_GENRE else typed["genre"],
            length=LENGTHS[typed["length"]],
            wildness=WILDNESSES[int(typed["wildness"])],
            avoid=avoid,
            seed=int(seed) if seed else None,
        )

    def request(self, manifest: Manifest, max_tokens: int, client: str = "") -> Request:
        """What the engine is asked for by a client; `max_tokens` cuts the length."""
        own = len(self.prompt.split())
        written = own if self.words is None else self.words
        # The model was taught what a whole text of a length is like: what is there counts, and what is wanted.
        length = manifest.prompt.length_of(written + self.length.words)

        def fill(genre: str | None) -> str:
            # Without words of the writer's, the space behind the genre is the model's to write.
            return manifest.prompt.fill(self.prompt, genre, length, begins=written == own).rstrip()

        sampling = replace(
            self.wildness.sampling(manifest.sampling),
            max_tokens=min(self.length.most, max_tokens),
            bad_words=self.avoid,
            min_tokens=self.least,
            seed=self.seed,
        )
        return Request(
            fill(self.genre),
            sampling,
            against=fill(None) if self.genre else None,
            client=client,
            id=request_id.get(),
        )
