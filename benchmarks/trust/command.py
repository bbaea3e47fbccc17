"""The commands `plotify bench soak`, `plotify bench chaos` and `plotify bench garbage`."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.measured import measured_bundle
from server.settings import SHIPPED_MODEL

if TYPE_CHECKING:
    from benchmarks.trust.row import Row
    from benchmarks.trust.target import Target

OUT = Path("build/trials")
TRIES = click.IntRange(0)


@dataclass(frozen=True)
class Trial:
    """name: for the progress bar. count: how often something is tried, or for how many seconds; 0 leaves it out.

    run: tries that, from a target, the count, a seed, and what to call after each.
    """

    name: str
    count: int
    run: "Callable[[Target, int, int, Callable[[], None]], Row]"


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of them have."""
    for option in (
        click.option("--out", default=OUT, show_default=True, type=click.Path(file_okay=False, path_type=Path)),
        click.option("--seed", default=1, show_default=True, help="Of prompts, arrivals and moments."),
        click.option("--rows", default=64, show_default=True, type=click.IntRange(2), help="Of the server."),
        click.option("--precision", default="auto", show_default=True, help="Of the bundle."),
        click.option("--model", default=str(SHIPPED_MODEL), help="A bundle, or gpt2-small. [default: the shipped one]"),
    ):
        command = option(command)
    return command


@click.command()
@shared
@click.option("--streams", default=1000, show_default=True, type=click.IntRange(0, 2000), help="At once.")
@click.option("--seconds", default=600, show_default=True, type=click.IntRange(0, 3600), help="Of overload.")
@click.option("--requests", default=20_000, show_default=True, type=TRIES, help="Of the soak, all kinds in turn.")
def soak(
    model: str, precision: str, rows: int, seed: int, out: Path, streams: int, seconds: int, requests: int
) -> None:
    """What a server has to bear: 1,000 streams at once, twice what it can serve, 20,000 requests.

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
    from benchmarks.trust.overload import overload
    from benchmarks.trust.soak import soak as ask_on
    from benchmarks.trust.streams import hold_streams

    trials = [
        Trial("streams", streams, hold_streams),
        Trial("overload", seconds, overload),
        Trial("soak", requests, ask_on),
    ]
    prove("soak", model, precision, rows, seed, out, trials)


@click.command()
@shared
@click.option("--disconnects", default=2000, show_default=True, type=TRIES, help="Clients who leave at any moment.")
@click.option("--kills", default=50, show_default=True, type=TRIES, help="Times kill -9.")
@click.option("--crashes", default=10, show_default=True, type=TRIES, help="Exceptions in the model's session.")
def chaos(
    model: str, precision: str, rows: int, seed: int, out: Path, disconnects: int, kills: int, crashes: int
) -> None:
    """What a server has to survive: clients who leave, its own end, a model that fails.

    The server runs in a process of its own on the loopback, with its defaults but for the rows. Prints a table, what
    was asked, the target, what was measured; chaos.json in --out has all of it with the figures behind, and the logs
    are what the servers complained of. Exits with 1 where a target was missed. A count of 0 leaves a trial out.
    docs/trials.md says what each one does.

    \b
    Examples:
      plotify bench chaos
      plotify bench chaos --disconnects 200 --kills 5 --crashes 2
    """
    from benchmarks.trust.crashes import crash
    from benchmarks.trust.disconnects import disconnect
    from benchmarks.trust.kills import kill

    trials = [
        Trial("disconnects", disconnects, disconnect),
        Trial("kills", kills, kill),
        Trial("crashes", crashes, crash),
    ]
    prove("chaos", model, precision, rows, seed, out, trials)


@click.command()
@shared
@click.option("--count", default=20_000, show_default=True, type=TRIES, help="Of inputs, all kinds in turn.")
def garbage(model: str, precision: str, rows: int, seed: int, out: Path, count: int) -> None:
    """What a server has to put up with: 20,000 bad inputs, on raw sockets.

    Bytes, frames, JSON, fields, forms, addresses, headers and texts that are wrong in every way that is known here, the
    same for the same seed. The server runs in a process of its own on the loopback. Prints a row of the table and
    exits with 1 where an input was answered with 5xx (but a 503 that says when to come back), hung, or left a traceback
    in the server's log; such an input is in --out, and the row says how to send it again.

    \b
    Examples:
      plotify bench garbage
      plotify bench garbage --count 1000 --seed 7
    """
    from benchmarks.trust.garbage import garbage as send_garbage

    prove("garbage", model, precision, rows, seed, out, [Trial("bad inputs", count, send_garbage)])


def prove(name: str, model: str, precision: str, rows: int, seed: int, out: Path, trials: Sequence[Trial]) -> None:
    """Runs trials one after another, prints the table, and writes name.json; exits with 1 where a target was missed."""
    from benchmarks.report import write_json
    from benchmarks.trust.row import table
    from benchmarks.trust.target import Target, allow_connections
    from server.bundle import BundleError

    allow_connections()
    out.mkdir(parents=True, exist_ok=True)
    rows_found: list[Row] = []
    try:
        bundle = measured_bundle(model, 0, 0)
        precision = bundle.fastest_precision() if precision == "auto" else precision
        target = Target(bundle.path, precision, rows, out)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for trial in trials:
                if trial.count:
                    task = progress.add_task(trial.name, total=trial.count)
                    rows_found.append(trial.run(target, trial.count, seed, partial(progress.advance, task)))
    except (BundleError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    # In a file each row is one line, as Markdown wants it.
    Console(width=None if sys.stdout.isatty() else 1000).print(table(rows_found))
    settings = {"model": bundle.manifest.name, "precision": precision, "rows": rows, "seed": seed}
    write_json(out / f"{name}.json", name, settings, [dataclasses.asdict(row) for row in rows_found])
    if not all(row.reached for row in rows_found):
        raise click.exceptions.Exit(1)
