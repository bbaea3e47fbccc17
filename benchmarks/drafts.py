"""The command `plotify bench drafts`: the tokens that a run of the model gives with drafts."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from benchmarks import frame
from benchmarks.openings import opening
from server.desk.desk import MIN_TOKENS
from server.engine import Engine, EngineConfig
from server.writing.brief import ANY_GENRE, Brief

WORDS = 40
"""Words of a text that the model continues."""

LONGEST = 3
"""Tokens of the longest past by which a draft is found; if it is new, shorter ones are looked up."""

RUNS = (2, 4)
"""Tokens in a run: the last one of the text, and drafts."""

Seen = dict[tuple[int, ...], int]
"""The token that came last after each past."""


@dataclass(frozen=True)
class Written:
    """The tokens of a prompt and of its continuation.

    likeliest: the model's likeliest token in place of each token of the continuation.
    """

    prompt: list[int]
    tokens: list[int]
    likeliest: list[int]


@frame.command
def drafts(
    model: frame.ShippedModel,
    precision: frame.Precision,
    texts: Annotated[int, frame.count(500, "Texts to continue.")],
    genre: Annotated[str, frame.option(f"The genre of every text, or {ANY_GENRE}.", default=ANY_GENRE)],
    length: Annotated[str, frame.option("The length of every continuation.", default="lines")],
    json_file: frame.JsonFile,
) -> None:
    """Measure how many tokens a run of the model would give if it checked drafted tokens.

    The model continues texts with the sampling of the desk. A draft counts as accepted if it is the token that the seed
    has drawn. A run of k tokens computes the last token of the text and k - 1 drafts. It gives one token more than it
    accepts. Drafts come from the same text, or from a table of all texts before it, so the second half of the texts is
    compared. The same seeds give the same figures.

    \b
    Examples:
      plotify bench drafts
      plotify bench drafts --genre Crime
    """
    bundle = frame.open_bundle(model)
    with Engine(bundle, EngineConfig(precision, queue=2 * texts)) as engine:
        written = list(continuations(engine, texts, {"genre": genre, "length": length}))
    table: Seen = {}
    accepted = {
        "the text itself": [compared(each, {}) for each in written],
        "a table of other texts": [compared(each, table) for each in written],
        "the model's likeliest token": [
            [drawn == likeliest for drawn, likeliest in zip(each.tokens, each.likeliest, strict=True)]
            for each in written
        ],
    }
    figures = {name: {k: tokens_a_run(each[texts // 2 :], k) for k in RUNS} for name, each in accepted.items()}
    frame.print_table(
        f"{bundle.manifest.name}, {engine.precision}: tokens a run, {genre}, {length}",
        ("drafts", *(f"k = {k}" for k in RUNS)),
        ((name, *(f"{each:.2f}" for each in runs.values())) for name, runs in figures.items()),
        "the likeliest token is known only after the run: hardly a draft can be better",
    )
    settings = frame.settings("texts", "genre", "length", model=bundle.manifest.name, precision=engine.precision)
    frame.write_json(json_file, settings, [{"drafts": name, "tokens_a_run": runs} for name, runs in figures.items()])


def continuations(engine: Engine, texts: int, fields: Mapping[str, str]) -> Iterator[Written]:
    """Yield the continuations of `texts` openings. fields: of the desk's form."""
    manifest, streams = engine.bundle.manifest, []
    for seed in range(texts):
        brief = Brief.read({**fields, "prompt": opening(random.Random(seed), WORDS), "seed": str(seed)}, manifest)
        request = replace(brief, least=MIN_TOKENS).request(manifest, brief.length.most)
        request = replace(request, sampling=replace(request.sampling, logprobs=1))
        streams.append((engine.tokenizer.encode(str(request.prompt)), engine.submit(request)))
    for prompt, stream in streams:
        chunks = list(stream)
        tokens = [token for chunk in chunks for token in chunk.token_ids]
        likeliest = [each.top[0][0] for chunk in chunks for each in chunk.logprobs]
        yield Written(prompt, tokens, likeliest[: len(tokens)])  # the end of the text is none of its tokens


def compared(written: Written, seen: Seen) -> list[bool]:
    """Return for each token of a continuation if its draft is the same, and add the text to `seen`."""
    tokens, accepted = [*written.prompt, *written.tokens], []
    for place, token in enumerate(tokens):
        pasts = [tuple(tokens[place - size : place]) for size in range(min(LONGEST, place), 0, -1)]
        accepted.append(next((seen[past] for past in pasts if past in seen), None) == token)
        seen |= dict.fromkeys(pasts, token)
    return accepted[len(written.prompt) :]


def tokens_a_run(accepted: Sequence[Sequence[bool]], most: int) -> float:
    """Return the tokens that a run of `most` tokens gives on average.

    accepted: for each token of each text, whether its draft is the same.
    """
    runs = 0
    for text in accepted:
        place = 0
        while place < len(text):
            drafted = text[place : place + most - 1]
            place += 1 + (drafted.index(False) if False in drafted else len(drafted))
            runs += 1
    return sum(map(len, accepted)) / max(runs, 1)
