"""The command `plotify bench load`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.lists import numbers, some_of, whole_numbers
from benchmarks.loadtest.shapes import SHAPES, stages, users_label
from benchmarks.measured import GPT2_SMALL

if TYPE_CHECKING:
    from benchmarks.loadtest.drive import Run

TARGETS = ("served", "eager", "pytorch")
HISTORY = Path("build/load-history.jsonl")


@dataclass(frozen=True)
class Course:
    """One run of Locust: what it is called, the load that it puts on, and its own flags for that."""

    label: str
    level: float
    seconds: float
    flags: tuple[Any, ...]


def courses(shape: str, users: Sequence[int], rates: Sequence[float], seconds: float) -> list[Course]:
    """What each target goes through. rates: of an open loop, requests a second; none for a closed one.

    A steady load is a run for each number of users or each rate, the other shapes are one run; `seconds` are those of
    one number of users, so a ramp takes as much longer as it has stages.
    """
    if rates:
        flags = ("--shape", "steady", "-u", 1, "-t", f"{seconds:g}s")
        return [Course(f"{rate:g} a second", rate, seconds, (*flags, "--rate", rate)) for rate in rates]

    def course(label: str, count: int, length: float, *more: Any) -> Course:
        return Course(label, count, length, ("--shape", shape, "-u", count, "-r", count, "-t", f"{length:g}s", *more))

    most = max(users)
    match shape:
        case "steady":
            return [course(users_label(count), count, seconds) for count in users]
        case "ramp":
            return [course(shape, most, seconds * len(users), "--levels", ",".join(map(str, sorted(users))))]
        case "spike":
            return [course(shape, most, 3 * seconds)]
        case "knee":
            return [course(shape, most, seconds * len(stages(most)), "--stage-seconds", seconds)]
        case _:
            return [course(shape, most, seconds)]


@click.command()
@click.option("--model", default=GPT2_SMALL, show_default=True, help="A bundle, or gpt2-small.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="For eager and pytorch: what a bundle is made of.")
@click.option("--precision", default="auto", show_default=True, help="Of the bundle.")
@click.option(
    "--target", default="served,eager", show_default=True, callback=some_of(TARGETS), help="One after another."
)
@click.option("--shape", default="steady", show_default=True, type=click.Choice(list(SHAPES)))
@click.option("--users", default="1,8,32", show_default=True, callback=whole_numbers, help="At a time: a closed loop.")
@click.option("--rate", callback=numbers, help="Requests a second, such as 0.5,2: an open loop, in place of --users.")
@click.option("--behaviour", default="clients", show_default=True, type=click.Choice(["clients", "people", "mixed"]))
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(3, 3600), help="Of each load.")
@click.option("--max-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of a request.")
@click.option("--prompt-words", default=24, show_default=True, type=click.IntRange(1), help="Of a client's prompt.")
@click.option("--think", default=5.0, show_default=True, type=click.FloatRange(0), help="Seconds, of a person.")
@click.option("--seed", default=1, show_default=True, help="Of prompts, pauses and arrivals.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="For the report.")
@click.option("--history", default=HISTORY, show_default=True, type=click.Path(path_type=Path), help="Appended to.")
def load(
    model: str,
    checkpoint: Path | None,
    precision: str,
    target: tuple[str, ...],
    shape: str,
    users: tuple[int, ...],
    rate: tuple[float, ...],
    behaviour: str,
    seconds: float,
    max_tokens: int,
    prompt_words: int,
    think: float,
    seed: int,
    out: Path,
    history: Path,
) -> None:
    """Locust's users against the server, and against the eager baseline.

    Each target runs in a process of its own, one after another, on the loopback; so does Locust. The report in --out is
    report.html, which needs no other file; its pictures, load.json and requests.csv are beside it, and what Locust and
    the targets said below. What is not to be trusted is said so. docs/load.md explains every number.

    \b
    Examples:
      plotify bench load --model gpt2-small --users 1,8,32 --target served,eager --out report
      plotify bench load --model models/plotify-mini --target served --shape spike --users 64 --out report
      plotify bench load --model models/plotify-mini --target served --rate 1,4,16 --out report
    """
    from benchmarks.gpt2_small import weights
    from benchmarks.loadtest.drive import load as run_load
    from benchmarks.loadtest.drive import start, warm
    from benchmarks.loadtest.outcome import write_report
    from benchmarks.measured import measured_bundle
    from server.bundle import BundleError

    if max(users) > 4096:
        raise click.UsageError(f"{max(users)} users are more than one load generator can be; see docs/load.md.")
    if model == GPT2_SMALL and checkpoint is None:
        checkpoint = weights().checkpoint
    if checkpoint is None and set(target) - {"served"}:
        raise click.UsageError("The baseline reads a checkpoint: give it with --checkpoint, or --target served.")
    planned = courses(shape, users, rate, seconds)
    length = len(target) * sum(course.seconds for course in planned)
    click.echo(f"{length / 60:.1f} minutes of load, and the time to start and to warm", err=True)
    runs: list[tuple[str, str, float, Run]] = []
    try:
        bundle = measured_bundle(model, 0, max_tokens)
        asking = {
            "--max-tokens": max_tokens,
            "--prompt-words": prompt_words,
            "--longest": max(1, bundle.manifest.model.context // 2 - max_tokens),
            "--think": think,
            "--draw-seed": seed,
            "--behaviour": "poisson" if rate else behaviour,
        }
        ways = ("--ignore-eos", *(word for pair in asking.items() for word in pair))
        for name in target:
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            with start(name, bundle.path, checkpoint, precision, max(users), folder / "server.log") as server:
                warm(server)
                for course in planned:
                    click.echo(f"{name}: {course.label}", err=True)
                    own = folder / course.label.replace(" ", "-")
                    left = run_load(server, own, course.seconds, (*course.flags, *ways))
                    runs.append((name, course.label, course.level, left))
    except (BundleError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    settings = {
        "model": bundle.manifest.name,
        "precision": bundle.fastest_precision() if precision == "auto" else precision,
        "shape": "poisson" if rate else shape,
        "users": list(users) if not rate else None,
        "rates": list(rate) or None,
        "behaviour": "poisson" if rate else behaviour,
        "seconds": seconds,
        "max_tokens": max_tokens,
        "prompt_words": prompt_words,
        "think": think,
        "seed": seed,
    }
    write_report(out, history, settings, runs)
    click.echo(f"{out / 'report.html'}")
