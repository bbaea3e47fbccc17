"""The command `plotify bench offers`: how long writers at the desk wait for three continuations."""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated

import aiohttp
import click
from httpx_sse import SSEError

from benchmarks import frame
from benchmarks.client import Client, Refused, connect
from benchmarks.latency import milliseconds, percentiles
from benchmarks.openings import opening
from benchmarks.process import plotify
from benchmarks.streams import Failure
from benchmarks.workload import closed_loop
from server.desk.continuations import COUNT
from server.writing.brief import ANY_GENRE

WORDS = 40
"""Words of a text, at least; each text has its own beginning, so the prefix cache helps nobody."""

RANKS = (50, 95)
FAST_ENOUGH = 0.3
"""Seconds to the first letters, at p95, with which a writer goes on without noticing a wait."""


@dataclass(frozen=True)
class Offer:
    """One offer of three. Times are those of `perf_counter`.

    Attributes:
        first: the time of the first letters.
        ended: the time at which all three were done.
    """

    submitted: float
    first: float
    ended: float


@dataclass(frozen=True)
class OfferFigures:
    """The figures for a number of writers.

    Attributes:
        per_second: the offers per second.
        first_letters: seconds to the first letters of an offer, by percentile.
        all_done: seconds until all three are done, by percentile.
        refused: the number of refused offers.
    """

    writers: int
    per_second: float
    first_letters: dict[int, float]
    all_done: dict[int, float]
    refused: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of a table."""
        latencies = (
            " / ".join(milliseconds(each[rank]) for rank in RANKS) for each in (self.first_letters, self.all_done)
        )
        return str(self.writers), f"{self.per_second:.2f}", *latencies, str(self.refused)


@dataclass
class Round:
    """The offers of one round, and the number of refused ones."""

    offers: list[Offer] = field(default_factory=list)
    refused: int = 0


@frame.command
def offers(
    model: frame.ShippedModel,
    precision: frame.Precision,
    writers: Annotated[tuple[int, ...], frame.several("1,8,32", "Writers at a time.")],
    requests: Annotated[int, frame.count(4, "Offers for each writer and round.")],
    rounds: Annotated[int, frame.count(3, "Rounds for each number of writers.")],
    genre: Annotated[str, frame.option(f"The genre of every offer, or {ANY_GENRE}.", default="Crime")],
    length: Annotated[str, frame.option("The length of every offer.", default="line")],
    json_file: frame.JsonFile,
) -> None:
    """Measure offers of three continuations, over the desk's own route.

    Each writer has a text and a cookie of its own, and asks again as soon as all three are done. The numbers of writers
    take turns, so a machine that slows down slows down all of them. First letters are those of any of the three.

    \b
    Examples:
      plotify bench offers
      plotify bench offers --writers 1,2,4,8,16,32 --genre any
    """
    bundle = frame.open_bundle(model)
    genres = (ANY_GENRE, *bundle.manifest.prompt.genres)
    if genre not in genres:
        raise click.UsageError(f"{genre!r} is not a genre of the model; choose one of {', '.join(genres)}.")
    precision = precision or bundle.fastest_precision()
    measured: dict[int, list[Round]] = {count: [] for count in writers}
    room = 2 * COUNT * max(writers)
    with (
        tempfile.TemporaryDirectory() as folder,
        plotify(Path(folder) / "server.log", model=bundle.path, precision=precision, queue=max(64, room)) as server,
        frame.progress("Measuring", (rounds + 1) * sum(writers)) as advance,
    ):

        async def measure(count: int, turn: int) -> Round:
            async with connect(server, count) as client:
                return await write(client, count, requests if turn else 1, genre, length, seed=1000 * turn + count)

        for turn in range(rounds + 1):
            for count in writers:
                found = asyncio.run(measure(count, turn))
                if turn:  # the first round is a warm-up
                    measured[count].append(found)
                advance(count, description=f"{count} writers")
    figures = [figures_of(count, turns) for count, turns in measured.items()]
    title = f"{server.model}, {precision}: offers of {COUNT}, {genre}, {length}"
    headings = ("writers", "offers/s", "first letters", "all three done", "refused")
    frame.print_table(title, headings, (each.cells for each in figures), "p50 / p95 in milliseconds")
    quick = [each.per_second for each in figures if each.first_letters[95] <= FAST_ENOUGH]
    most = f"{max(quick):.2f}" if quick else "none"
    click.echo(f"offers per second with first letters within {FAST_ENOUGH:.1f} s at p95: {most}")
    settings = frame.settings("requests", "rounds", "genre", "length", model=server.model, precision=precision)
    frame.write_json(json_file, settings, map(asdict, figures))


async def write(client: Client, writers: int, requests: int, genre: str, length: str, seed: int) -> Round:
    """Let each writer ask for `requests` offers, and return them.

    Raises:
        ChildProcessError: the server has failed.
    """
    found = Round()

    async def at_the_desk(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        visitor = await client.visit()
        for _ in range(requests):
            form = {"token": visitor.token, "text": f"{opening(draw, WORDS)} ", "genre": genre, "length": length}
            try:
                found.offers.append(await ask(client, visitor.cookie, form | {"seed": str(draw.randrange(10**6))}))
            except Refused:
                found.refused += 1
                await asyncio.sleep(1)

    try:
        await closed_loop(writers, range(writers), at_the_desk)
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if isinstance(first, (aiohttp.ClientError, TimeoutError, Failure, SSEError, ValueError, KeyError)):
            raise ChildProcessError(f"the server failed: {first}") from failed
        raise first from failed
    return found


async def ask(client: Client, cookie: str, form: dict[str, str]) -> Offer:
    """Ask for one offer, and read it to its end.

    Raises:
        Refused: the server has no room.
        Failure: the server has answered with another error.
    """
    submitted, first = perf_counter(), None
    async for name, content in client.suggest(cookie, form):
        if name == "piece" and first is None:
            first = perf_counter()
        if name == "settled" and content["failure"]:
            raise Failure(content["failure"])
    ended = perf_counter()
    return Offer(submitted, ended if first is None else first, ended)  # the model may have nothing to add


def figures_of(writers: int, rounds: Sequence[Round]) -> OfferFigures:
    """Return the figures of the rounds of a number of writers.

    Raises:
        ChildProcessError: every offer was refused.
    """
    offers = [offer for each in rounds for offer in each.offers]
    if not offers:
        raise ChildProcessError(f"the server refused every offer to {writers} writers")
    seconds = sum(
        max(offer.ended for offer in each.offers) - min(offer.submitted for offer in each.offers)
        for each in rounds
        if each.offers
    )
    return OfferFigures(
        writers,
        len(offers) / seconds,
        percentiles([offer.first - offer.submitted for offer in offers]),
        percentiles([offer.ended - offer.submitted for offer in offers]),
        sum(each.refused for each in rounds),
    )
