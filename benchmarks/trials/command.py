"""The commands `plotify bench soak`, `chaos` and `garbage`: run trials and print their results."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import click

from benchmarks import frame
from benchmarks.trials import isolation
from benchmarks.trials.chaos import crash, disconnect, kill
from benchmarks.trials.garbage import send_garbage
from benchmarks.trials.losses import lose
from benchmarks.trials.soak import hold_streams, overload
from benchmarks.trials.soak import soak as ask_on
from benchmarks.trials.trial import Target, TrialResult, allow_connections, table

Trial = Callable[[Target, int, int, Callable[[], None]], TrialResult]
"""Takes a target, a count of tries or seconds, a seed, and a function to call after each."""

Trials = Mapping[str, tuple[int, Trial]]
"""Trials by name, each with its count; 0 skips the trial."""


class Shared(TypedDict):
    """The options of all three commands."""

    model: frame.ShippedModel
    precision: Annotated[str, frame.option("One of the bundle's precisions.", default="auto")]
    rows: Annotated[int, frame.count(64, "The server's rows.", least=2)]
    seed: Annotated[int, frame.option("Seed of prompts, arrivals and moments.", default=1)]
    out: Annotated[Path, frame.option(default="build/trials", type=frame.FOLDER)]


@frame.command
def soak(
    streams: Annotated[int, frame.count(1000, "Streams at once.", least=0, most=2000)],
    seconds: Annotated[int, frame.count(600, "Seconds of overload.", least=0, most=3600)],
    requests: Annotated[int, frame.count(20_000, "Requests of the soak, all kinds in turn.", least=0)],
    fairness: Annotated[int, frame.count(60, "Seconds of a small client beside large ones.", least=0, most=3600)],
    **shared: Unpack[Shared],
) -> None:
    """Test a server under load: 1,000 streams, twice its capacity, unequal clients, 20,000 requests.

    The server runs in its own process on the loopback, with default settings except for the rows. The command prints a
    table with each trial, its target and the measurement. In --out, soak.json has the table with all figures,
    memory.png the memory over the requests, and the logs the servers' errors. Exits with 1 if a target is missed. A
    count of 0 skips a trial. docs/trials.md describes the trials.

    \b
    Examples:
      plotify bench soak
      plotify bench soak --streams 100 --seconds 60 --requests 2000 --fairness 20
      plotify bench soak --model gpt2-small --streams 0 --seconds 120 --requests 0 --fairness 0
    """
    trials = {
        "streams": (streams, hold_streams),
        "overload": (seconds, overload),
        "soak": (requests, ask_on),
        "fairness": (fairness, isolation.fairness),
    }
    run_trials(trials, **shared)


@frame.command
def chaos(
    disconnects: Annotated[int, frame.count(2000, "Clients leaving at any moment.", least=0)],
    kills: Annotated[int, frame.count(50, "Kills with kill -9.", least=0)],
    crashes: Annotated[int, frame.count(10, "Exceptions in the model's session.", least=0)],
    chunks: Annotated[int, frame.count(20, "Bodies in chunks of one byte.", least=0)],
    searches: Annotated[int, frame.count(100, "Long texts to search while another writer saves.", least=0, most=1000)],
    losses: Annotated[int, frame.count(32, "Plots read while apps and replicas lose a process.", least=0)],
    **shared: Unpack[Shared],
) -> None:
    """Test a server under faults: clients leave or are hostile, the server is killed, the model fails.

    The server runs in its own process on the loopback, with default settings except for the rows. The command prints a
    table with each trial, its target and the measurement. In --out, chaos.json has the table with all figures, and the
    logs have the servers' errors. Exits with 1 if a target is missed. A count of 0 skips a trial. `--losses` needs the
    extra `scale`. docs/trials.md describes the trials.

    \b
    Examples:
      plotify bench chaos
      plotify bench chaos --disconnects 200 --kills 5 --crashes 2 --chunks 5 --searches 20 --losses 4
    """
    trials = {
        "losses": (losses, lose),  # first, so that nothing was in vain if Ray is missing
        "disconnects": (disconnects, disconnect),
        "kills": (kills, kill),
        "crashes": (crashes, crash),
        "chunks": (chunks, isolation.chunks),
        "searches": (searches, isolation.searches),
    }
    run_trials(trials, **shared)


@frame.command
def garbage(count: Annotated[int, frame.count(20_000, "Number of inputs.", least=0)], **shared: Unpack[Shared]) -> None:
    """Test a server with bad input: 20,000 inputs on raw sockets.

    The inputs are wrong bytes, frames, JSON, fields, forms, addresses, headers and texts. schemathesis generates them
    from the server's OpenAPI document; others come from hypothesis and from lists. The same seed gives the same inputs.
    The server runs in its own process on the loopback. Exits with 1 if the server answers 5xx (except a 503 with
    Retry-After), hangs, or logs a traceback. Such an input is kept in --out, and the printed row has a command to send
    it again.

    \b
    Examples:
      plotify bench garbage
      plotify bench garbage --count 1000 --seed 7
    """
    run_trials({"bad inputs": (count, send_garbage)}, **shared)


def run_trials(trials: Trials, model: str, precision: str, rows: int, seed: int, out: Path) -> None:
    """Run trials one after another, print the table, and write COMMAND.json.

    Exit with 1 if a target is missed.
    """
    allow_connections()
    out.mkdir(parents=True, exist_ok=True)
    bundle = frame.open_bundle(model)
    precision = bundle.fastest_precision() if precision == "auto" else precision
    target = Target(bundle, precision, rows, out)
    results = []
    for name, (count, trial) in trials.items():
        if count:
            with frame.progress(name, count) as advance:
                results.append(trial(target, count, seed, advance))
    frame.print_wide(table(results))  # in a file, each row must be one line to be Markdown
    settings = frame.settings("rows", "seed", model=bundle.manifest.name, precision=precision)
    frame.write_json(out / f"{click.get_current_context().info_name}.json", settings, map(asdict, results))
    if not all(each.reached for each in results):
        raise click.exceptions.Exit(1)
