"""The commands `plotify bench soak`, `plotify bench chaos` and `plotify bench garbage`."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import click
from rich.console import Console

from benchmarks import frame
from benchmarks.trials.chaos import crash, disconnect, kill
from benchmarks.trials.garbage import send_garbage
from benchmarks.trials.soak import hold_streams, overload
from benchmarks.trials.soak import soak as ask_on
from benchmarks.trials.trial import Target, TrialResult, allow_connections, table

Trial = Callable[[Target, int, int, Callable[[], None]], TrialResult]
"""Takes a target, a count of tries or seconds, a seed, and what to call after each."""

Trials = Mapping[str, tuple[int, Trial]]
"""Trials by their names, each with its count, 0 for none."""


class Shared(TypedDict):
    """The options that all of them have."""

    model: frame.ShippedModel
    precision: Annotated[str, frame.option("Of the bundle.", default="auto")]
    rows: Annotated[int, frame.count(64, "Of the server.", least=2)]
    seed: Annotated[int, frame.option("Of prompts, arrivals and moments.", default=1)]
    out: Annotated[Path, frame.option(default="build/trials", type=frame.FOLDER)]


@frame.command
def soak(
    streams: Annotated[int, frame.count(1000, "At once.", least=0, most=2000)],
    seconds: Annotated[int, frame.count(600, "Of overload.", least=0, most=3600)],
    requests: Annotated[int, frame.count(20_000, "Of the soak, all kinds in turn.", least=0)],
    **shared: Unpack[Shared],
) -> None:
    """The load that a server has to bear: 1,000 streams at once, twice what it can serve, 20,000 requests.

    The server runs in a process of its own on the loopback, with its defaults but for the rows. Prints a table, what
    was asked, the target, what was measured; soak.json in --out has all of it with the figures behind, memory.png the
    memory over the requests, and the logs are what the servers complained of. Exits with 1 where a target was missed.
    A count of 0 leaves a trial out. docs/trials.md says what each one does.

    \b
    Examples:
      plotify bench soak
      plotify bench soak --streams 100 --seconds 60 --requests 2000
      plotify bench soak --model gpt2-small --streams 0 --seconds 120 --requests 0
    """
    trials = {"streams": (streams, hold_streams), "overload": (seconds, overload), "soak": (requests, ask_on)}
    run_trials(trials, **shared)


@frame.command
def chaos(
    disconnects: Annotated[int, frame.count(2000, "Clients who leave at any moment.", least=0)],
    kills: Annotated[int, frame.count(50, "Times kill -9.", least=0)],
    crashes: Annotated[int, frame.count(10, "Exceptions in the model's session.", least=0)],
    **shared: Unpack[Shared],
) -> None:
    """The faults that a server has to survive: clients who leave, its own end, a model that fails.

    The server runs in a process of its own on the loopback, with its defaults but for the rows. Prints a table, what
    was asked, the target, what was measured; chaos.json in --out has all of it with the figures behind, and the logs
    are what the servers complained of. Exits with 1 where a target was missed. A count of 0 leaves a trial out.
    docs/trials.md says what each one does.

    \b
    Examples:
      plotify bench chaos
      plotify bench chaos --disconnects 200 --kills 5 --crashes 2
    """
    trials = {"disconnects": (disconnects, disconnect), "kills": (kills, kill), "crashes": (crashes, crash)}
    run_trials(trials, **shared)


@frame.command
def garbage(count: Annotated[int, frame.count(20_000, "Of inputs.", least=0)], **shared: Unpack[Shared]) -> None:
    """The bad input that a server has to put up with: 20,000 inputs, on raw sockets.

    Bytes, frames, JSON, fields, forms, addresses, headers and texts that are wrong, made up by schemathesis from the
    server's OpenAPI document, by hypothesis and by hand, the same for the same seed. The server runs in a process of
    its own on the loopback. Prints a row of the table and exits with 1 where an input was answered with 5xx (but a 503
    that says when to come back), hung, or left a traceback in the server's log; such an input is in --out, and the row
    says how to send it again.

    \b
    Examples:
      plotify bench garbage
      plotify bench garbage --count 1000 --seed 7
    """
    run_trials({"bad inputs": (count, send_garbage)}, **shared)


def run_trials(trials: Trials, model: str, precision: str, rows: int, seed: int, out: Path) -> None:
    """Runs trials one after another, each with its count, 0 for none; prints the table, and writes COMMAND.json.

    Exits with 1 where a target was missed.
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
    # In a file each row is one line, as Markdown wants it.
    Console(width=None if sys.stdout.isatty() else 1000).print(table(results))
    settings = frame.settings("rows", "seed", model=bundle.manifest.name, precision=precision)
    frame.write_json(out / f"{click.get_current_context().info_name}.json", settings, map(asdict, results))
    if not all(each.reached for each in results):
        raise click.exceptions.Exit(1)
