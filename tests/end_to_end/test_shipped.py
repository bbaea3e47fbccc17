"""The shipped bundle: complete, small, good enough, and steered by its genres."""

import re
from dataclasses import asdict

import pytest

from benchmarks.genre_words import GENRE_WORDS
from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling, Stream
from server.settings import SHIPPED_MODEL
from server.writing.brief import Brief

STEERED = ("Crime", "Science Fiction", "Documentary")
"""Genres whose words the present bundle writes. docs/training.md has the figures of all."""

OTHERS = ("Comedy", "Romance", None)
"""Genres, and none, to compare them with."""

SEEDS = range(400)

NOTED = {
    "A letter arrives at the lighthouse.": ("Inês", "Rui"),
    "The last train leaves without her.": ("Marta", "Lisbon"),
    "Nobody believes what he saw in the harbour.": ("Tom", "Captain Reyes"),
    "Two sisters inherit a bakery.": ("Anna", "Clara"),
    "The storm cuts the island off.": ("Holm", "Greta"),
}
"""Openings, and names to keep in mind."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(SHIPPED_MODEL)


def test_it_is_whole_small_and_good(bundle: Bundle) -> None:
    assert sum(file.stat().st_size for file in SHIPPED_MODEL.iterdir()) <= 32e6
    assert all(precision.bits_per_byte <= 1.45 for precision in bundle.manifest.precisions.values())
    assert bundle.manifest.provenance["export"]["verified"]["prompts"] == 200
    assert bundle.manifest.provenance["export"]["verified"]["max_logit_difference"] <= 1e-3


def test_a_genre_that_is_picked_is_what_one_gets(bundle: Bundle) -> None:
    """With the same opening and seeds, each genre has at least twice as many texts with its own words."""
    assert bundle.manifest.sampling.guidance == 1, "a genre shows without guidance, for half the work"
    found: dict[str, dict[str | None, int]] = {genre: {} for genre in STEERED}
    with Engine(bundle, EngineConfig(queue=2 * len(SEEDS))) as engine:
        for asked in (*STEERED, *OTHERS):
            prompt = bundle.manifest.prompt.fill("A young woman", asked)
            samplings = [Sampling(max_tokens=40, **asdict(bundle.manifest.sampling), seed=seed) for seed in SEEDS]
            streams = [engine.submit(Request(prompt, sampling)) for sampling in samplings]
            texts = ["".join(chunk.text for chunk in stream).lower() for stream in streams]
            for genre in STEERED:
                found[genre][asked] = sum(bool(re.search(GENRE_WORDS[genre], text)) for text in texts)
    for genre in STEERED:
        assert all(found[genre][genre] >= 2 * found[genre][other] for other in found[genre] if other != genre), found


def test_names_to_keep_in_mind_come_up(bundle: Bundle) -> None:
    """They are in at least half of 200 texts, and in at least twice as many as without the notes."""
    assert bundle.manifest.prompt.has_notes
    found = {True: 0, False: 0}
    with Engine(bundle, EngineConfig(queue=256)) as engine:
        for noted in found:
            streams: list[tuple[Stream, tuple[str, str]]] = []
            for opening, names in NOTED.items():
                for seed in range(40):
                    typed = {"prompt": opening, "seed": str(seed), "notes": ", ".join(names) if noted else ""}
                    request = Brief.read(typed, bundle.manifest).request(bundle.manifest, 90)
                    streams.append((engine.submit(request), names))
            for stream, names in streams:
                text = "".join(chunk.text for chunk in stream)
                found[noted] += any(name in text for name in names)
    assert found[True] >= max(2 * found[False], 100), found
