"""The command `plotify bench recording`: what it costs a reader that plots are recorded."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import click

from benchmarks import frame
from benchmarks.client import Client, Reply, connect, sample_requests
from benchmarks.latency import RANKS, milliseconds, percentiles
from benchmarks.process import Serving, plotify
from benchmarks.workload import closed_loop

SIDES = {"not recorded": 0, "recorded": 3600}
"""Seconds that a plot is recorded, by the name of the server."""

TOKENS = 64
SAVE_EVERY = 1.0
"""Seconds between the saves of a writer, as of the desk's page while somebody types."""


Rounds = list[list[float]]
"""The seconds to the first text of each plot, in each round."""


@frame.command
def recording(
    model: frame.ShippedModel,
    precision: frame.Precision,
    database: Annotated[str | None, frame.option("PostgreSQL's address. [default: a temporary SQLite file]")],
    plots: Annotated[int, frame.count(64, "Plots at a time.")],
    requests: Annotated[int, frame.count(4, "Plots for each client and round.")],
    writers: Annotated[int, frame.count(8, "Writers whose texts are saved every second meanwhile.", least=0)],
    rounds: Annotated[int, frame.count(5, "Rounds for each server.")],
    json_file: frame.JsonFile,
) -> None:
    """Measure what recording plots adds to the first text of a plot.

    Two servers take turns with the same plots of /api/plots: one records each plot in its database before it answers,
    the other one records none. The first text is measured from the sending of the request.

    \b
    Examples:
      plotify bench recording
      plotify bench recording --database postgresql://plotify@127.0.0.1/plotify
    """
    bundle = frame.open_bundle(model)
    precision = precision or bundle.fastest_precision()
    sides: dict[str, Rounds] = {name: [] for name in SIDES}
    shared: dict[str, Any] = {"model": bundle.path, "precision": precision, "queue": 2 * plots}
    shared |= {"database": database} if database else {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as running,
        frame.progress("Measuring", (rounds + 1) * len(SIDES)) as advance,
    ):
        servers = {
            name: running.enter_context(plotify(Path(folder) / f"{seconds}.log", plot_record=seconds, **shared))
            for name, seconds in SIDES.items()
        }
        for turn in range(rounds + 1):
            for name, server in servers.items():
                found = asyncio.run(measure(server, plots, requests if turn else 1, writers, seed=turn))
                if turn:  # the first round is a warm-up
                    sides[name].append(found)
                advance(description=name)
    added = {rank: median(each[rank] for each in differences(sides)) for rank in (50, 95)}
    frame.print_table(
        f"{bundle.manifest.name}, {precision}: {plots} plots at a time, {writers} writers",
        ("", "first text"),
        (
            (name, " / ".join(map(milliseconds, percentiles(list(chain(*found))).values())))
            for name, found in sides.items()
        ),
        f"{RANKS} in milliseconds",
    )
    click.echo(
        f"recording adds {1e3 * added[50]:.1f} ms at p50 and {1e3 * added[95]:.1f} ms at p95 "
        f"(medians of {frame.rounds(rounds)})"
    )
    settings = frame.settings("plots", "requests", "writers", "rounds", model=bundle.manifest.name, precision=precision)
    settings |= {"database": "PostgreSQL" if database else "SQLite", "added": added}
    frame.write_json(json_file, settings, [{"name": name, "rounds": found} for name, found in sides.items()])


def differences(sides: dict[str, Rounds]) -> list[dict[int, float]]:
    """Return the seconds that recording adds in each round, by percentile."""
    before, after = sides.values()
    each = [(percentiles(one), percentiles(other)) for one, other in zip(before, after, strict=True)]
    return [{rank: other[rank] - one[rank] for rank in one} for one, other in each]


async def measure(server: Serving, plots: int, requests: int, writers: int, seed: int) -> list[float]:
    """Return the seconds to the first text of `plots` times `requests` plots.

    Raises:
        ChildProcessError: the server did not write a plot to its end.
    """
    wanted = islice(sample_requests(seed, TOKENS, (), ("plot",), "lines"), plots * requests)
    async with connect(server, plots + writers) as client, saves(client, writers):
        replies = await closed_loop(plots, wanted, lambda request: client.ask(Reply(request)))
    failed = next((reply for reply in replies if reply.end != "whole"), None)
    if failed is not None:
        raise ChildProcessError(f"the server failed: {failed.complaint}")
    return [reply.first - reply.submitted for reply in replies if reply.first is not None]


@asynccontextmanager
async def saves(client: Client, writers: int) -> AsyncIterator[None]:
    """Save the texts of writers who type, until the block ends."""

    async def write(number: int) -> None:
        writer, text, plot = await client.visit(), "", ""
        await asyncio.sleep(SAVE_EVERY * number / writers)
        while True:
            text += "The night train leaves without her. "
            plot = (await client.keep(writer, text, plot))["plot"]
            await asyncio.sleep(SAVE_EVERY)

    typing = asyncio.gather(*(write(number) for number in range(writers)))
    try:
        yield
    finally:
        typing.cancel()
        with suppress(asyncio.CancelledError):
            await typing
