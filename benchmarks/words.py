"""The command `plotify bench words`: measure what a model writes, not how fast."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import click

from benchmarks import frame
from benchmarks.genre_words import GENRE_WORDS
from export.diversity import distinct, repetition
from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.writing.brief import WILDNESSES
from training.cleaning import is_explicit

OPENING_WORDS = 5
OPENING = "A young woman"
"""The opening of the texts in which the words of genres are counted."""

GENRE_TOKENS, EXPLICIT_TOKENS = 40, 120
ROOM = 40
"""Tokens of the context for the template and the opening."""


@dataclass(frozen=True)
class Written:
    """A continuation. ended: True if the model ended it itself."""

    text: str
    ended: bool


@frame.command
def words(
    model: frame.ShippedModel,
    precision: frame.Precision,
    held_out: Annotated[
        Path,
        frame.option("JSON Lines with a `text` each, such as data/corpora/test.jsonl.", required=True, type=frame.FILE),
    ],
    texts: Annotated[int, frame.count(100, "Texts for each length class.")],
    seeds: Annotated[int, frame.count(400, "Texts for each genre.")],
    explicit: Annotated[int, frame.count(2000, "Texts to search for words of training/explicit.txt.", least=0)],
    guidance: Annotated[float | None, frame.option("How strongly a genre leads. [default: the model's]", type=float)],
    temperature: Annotated[float | None, frame.option("[default: the model's]", type=float)],
    top_p: Annotated[float | None, frame.option("[default: the model's]", type=float)],
    penalty: Annotated[float | None, frame.option("Repetition penalty. [default: the model's]", type=float)],
    json_file: frame.JsonFile,
) -> None:
    """Measure lengths, variety, genres and explicit words of a model's texts.

    For each length class, the model continues the first five words of held-out texts until it ends by itself or fills
    its context, and its variety is compared with that of the held-out texts, cut to the same numbers of words. For each
    genre with a list of words, it continues "A young woman", and the texts with such words are counted. The same seeds
    give the same figures.

    \b
    Examples:
      plotify bench words --held-out data/corpora/test.jsonl
      plotify bench words --held-out data/corpora/test.jsonl --temperature 0.8 --seeds 1 --explicit 0
    """
    openings, rests = split_openings(held_out, texts)
    bundle = frame.open_bundle(model)
    given = {"guidance": guidance, "temperature": temperature, "top_p": top_p, "repetition_penalty": penalty}
    sampling = Sampling(**asdict(bundle.manifest.sampling) | {k: v for k, v in given.items() if v is not None})
    steps = (
        len(openings) * len(bundle.manifest.prompt.lengths or (None,)) + seeds * (len(listed(bundle)) + 1) + explicit
    )
    config = EngineConfig(precision, queue=max(texts, 2 * seeds, explicit, 64))
    with Engine(bundle, config) as engine, frame.progress("Writing", steps) as advance:
        by_length = [measure_length(engine, each, openings, rests, sampling, advance) for each in length_names(bundle)]
        genres = count_genres(engine, seeds, sampling, advance)
        found = count_explicit(engine, explicit, advance)
    frame.print_table(
        f"{bundle.manifest.name}, {engine.precision}: {len(openings)} texts of each length class",
        ("length", "words, median", "ended", "repeated 4-grams", "distinct-2", "people's"),
        (length_row(each) for each in by_length),
        "words until the end; ended: by the model itself; people's: held-out texts cut to the same numbers of words",
    )
    frame.print_table(
        f"texts with words of a genre, of {seeds}",
        ("words of", *genres),
        ((name, *(str(counts[name]) for counts in genres.values())) for name in listed(bundle)),
        "columns: the genre asked for",
    )
    click.echo(f"explicit words: {found} of {explicit} texts, all genres and the wildest step of the dial")
    settings = frame.settings("texts", "seeds", "explicit", model=bundle.manifest.name, precision=engine.precision)
    results = [*by_length, {"genres": genres}, {"explicit": found}]
    frame.write_json(json_file, settings | {"sampling": asdict(sampling)}, results)


def split_openings(held_out: Path, count: int) -> tuple[list[str], list[str]]:
    """Return the first words of held-out texts, and the rest of each.

    Raises:
        click.UsageError: the file cannot be read, or has no text of thirty words.
    """
    try:
        with held_out.open(encoding="utf-8") as file:
            read = [str(json.loads(line)["text"]).split() for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"--held-out {held_out}: not JSON Lines with a `text` each ({error}).") from error
    long = [text for text in read if len(text) >= 30]
    if not long:
        raise click.UsageError(f"--held-out {held_out}: it has no text of 30 words or more.")
    chosen = long[:: max(1, len(long) // count)][:count]
    return [" ".join(text[:OPENING_WORDS]) for text in chosen], [" ".join(text[OPENING_WORDS:]) for text in chosen]


def length_names(bundle: Bundle) -> list[str | None]:
    """Return the names of the length classes, or None alone for a model without them."""
    return [each.name for each in bundle.manifest.prompt.lengths] or [None]


def listed(bundle: Bundle) -> list[str]:
    """Return the model's genres with a list of words."""
    return [name for name in GENRE_WORDS if name in bundle.manifest.prompt.genres]


def write(engine: Engine, prompts: Sequence[tuple[str, str | None]], sampling: Sampling) -> Iterator[Written]:
    """Continue prompts, each with the one to guide away from, under the seeds from 0 on."""
    submitted = [
        engine.submit(Request(prompt, replace(sampling, seed=seed), against))
        for seed, (prompt, against) in enumerate(prompts)
    ]
    for stream in submitted:
        chunks = list(stream)
        yield Written("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason == "stop")


def measure_length(
    engine: Engine, name: str | None, openings: Sequence[str], rests: Sequence[str], sampling: Sampling, advance: Any
) -> dict[str, Any]:
    """Return the figures of a length class."""
    manifest = engine.bundle.manifest
    prompts = [(manifest.prompt.fill(each, None, name), None) for each in openings]
    written = []
    for each in write(engine, prompts, replace(sampling, max_tokens=manifest.model.context - ROOM)):
        written.append(each)
        advance()
    sizes = [len(each.text.split()) for each in written]
    people = [" ".join(rest.split()[:size]) for rest, size in zip(rests, sizes, strict=True)]
    # people's texts may be shorter: cut the model's to the same number of words
    same = [" ".join(each.text.split()[: len(rest.split())]) for each, rest in zip(written, people, strict=True)]
    return {
        "length": name,
        "words": median(sizes),
        "ended": sum(each.ended for each in written) / len(written),
        "repetition": repetition([each.text for each in written]),
        "distinct_2": distinct(same, 2),
        "people_distinct_2": distinct(people, 2),
    }


def length_row(figures: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a length class."""
    return (
        figures["length"] or "any",
        f"{figures['words']:g}",
        f"{figures['ended']:.0%}",
        f"{figures['repetition']:.2%}",
        f"{figures['distinct_2']:.3f}",
        f"{figures['people_distinct_2']:.3f}",
    )


def count_genres(engine: Engine, seeds: int, sampling: Sampling, advance: Any) -> dict[str, dict[str, int]]:
    """Count the texts with words of each genre, for each genre asked for, and for none ("any")."""
    prompt = engine.bundle.manifest.prompt
    counts = {}
    for genre in (*listed(engine.bundle), None):
        without = prompt.fill(OPENING, None, prompt.default_length)
        asked = (prompt.fill(OPENING, genre, prompt.default_length), without if genre else None)
        texts = []
        for each in write(engine, [asked] * seeds, replace(sampling, max_tokens=GENRE_TOKENS)):
            texts.append(each.text.lower())
            advance()
        counts[genre or "any"] = {
            name: sum(bool(re.search(GENRE_WORDS[name], text)) for text in texts) for name in listed(engine.bundle)
        }
    return counts


def count_explicit(engine: Engine, count: int, advance: Any) -> int:
    """Return the number of texts with a word of training/explicit.txt, among `count` of all genres."""
    manifest = engine.bundle.manifest
    wildest = WILDNESSES[max(WILDNESSES)].sampling(manifest.sampling)
    genres = [*manifest.prompt.genres, None]
    prompts = [
        (manifest.prompt.fill(OPENING, genres[number % len(genres)], manifest.prompt.default_length), None)
        for number in range(count)
    ]
    found = 0
    for each in write(engine, prompts, replace(wildest, max_tokens=EXPLICIT_TOKENS, guidance=1.0)):
        found += is_explicit(each.text)
        advance()
    return found
