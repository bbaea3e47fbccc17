"""The command `plotify bench load`: Locust users against the server and the eager baseline."""

from pathlib import Path
from typing import Annotated, Any

import click

from benchmarks import frame
from benchmarks.gpt2_small import weights
from benchmarks.load.compare import HISTORY
from benchmarks.load.report import print_headline, write_report
from benchmarks.load.run import TARGETS, LoadRun, run_locust, start, warm
from benchmarks.load.shapes import SHAPES, planned_runs

RATE = "Requests per second, such as 0.5,2: an open loop, in place of --users."


@frame.command
def load(
    model: frame.ShippedModel,
    checkpoint: Annotated[
        Path | None, frame.option("The bundle's checkpoint, for eager and pytorch.", type=frame.FILE)
    ],
    precision: Annotated[str, frame.option("One of the bundle's precisions.", default="auto")],
    target: Annotated[
        tuple[str, ...], frame.names("served", "Servers to test, one after another: served, eager, pytorch.", TARGETS)
    ],
    shape: Annotated[str, frame.choice("steady", SHAPES)],
    users: Annotated[tuple[int, ...], frame.several("1,8,32", "Users at a time: a closed loop.")],
    rate: Annotated[tuple[float, ...], frame.option(RATE, callback=frame.numbers)],
    behaviour: Annotated[str, frame.choice("clients", ("clients", "people", "mixed", "writers"))],
    seconds: Annotated[float, frame.option("Seconds per load.", default=60.0, type=click.FloatRange(3, 3600))],
    max_tokens: Annotated[int, frame.count(64, "New tokens per request.")],
    prompt_words: Annotated[int, frame.count(24, "Words of a client's prompt.")],
    think: Annotated[float, frame.option("Thinking time in seconds.", default=5.0, type=click.FloatRange(0))],
    seed: Annotated[int, frame.option("Seed of prompts, pauses and arrivals.", default=1)],
    out: Annotated[Path, frame.option("Folder for the report.", required=True, type=frame.FOLDER)],
    history: Annotated[Path, frame.option("File to append the figures to.", default=HISTORY, type=frame.FILE)],
) -> None:
    """Measure Locust users against the server, and against the eager baseline if you name it.

    The targets run one after another on the loopback. Each has its own process, and so has Locust. The report in --out
    is report.html, a page without other files. Beside it are its pictures, load.json and requests.csv; the logs of
    Locust and the targets are in folders below. Doubtful figures are marked. docs/load.md explains every number.

    \b
    Examples:
      plotify bench load --model gpt2-small --users 1,8,32 --target served,eager --out report
      plotify bench load --shape spike --users 64 --out report
      plotify bench load --rate 1,4,16 --out report
    """
    if max(users) > 4096:
        raise click.UsageError(f"{max(users)} users are too many for one load generator; see docs/load.md.")
    if model == frame.GPT2_SMALL and checkpoint is None:
        checkpoint = weights().checkpoint
    if checkpoint is None and set(target) - {"served"}:
        raise click.UsageError("The baseline needs a checkpoint: add --checkpoint, or choose --target served.")
    planned = planned_runs(shape, users, rate, seconds)
    length = len(target) * sum(each.seconds for each in planned)
    click.echo(f"{length / 60:.1f} minutes of load, and the time to start and warm up", err=True)
    runs: list[LoadRun] = []
    bundle = frame.open_bundle(model, 0, max_tokens)
    behaviour = "poisson" if rate else behaviour
    flags = (
        *("--ignore-eos", "--max-tokens", max_tokens, "--prompt-words", prompt_words, "--think", think),
        *("--longest", max(1, bundle.manifest.model.context // 2 - max_tokens), "--draw-seed", seed),
        *("--behaviour", behaviour),
    )
    with frame.progress("Measuring", length) as advance:
        for name in target:
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            with start(name, bundle.path, checkpoint, precision, max(users), folder / "server.log") as server:
                warm(server)
                for each in planned:
                    runs.append(run_locust(name, server, each, folder / each.label.replace(" ", "-"), flags))
                    tokens = f"{runs[-1].received} tokens in {len(runs[-1].asked)} requests"
                    advance(each.seconds, line=f"{name}, {each.label}: {tokens}")
    more: dict[str, Any] = {"model": bundle.manifest.name, "shape": "poisson" if rate else shape}
    more |= {"behaviour": behaviour, "users": None if rate else list(users), "rates": list(rate) or None}
    more["precision"] = bundle.fastest_precision() if precision == "auto" else precision
    settings = frame.settings("seconds", "max_tokens", "prompt_words", "think", "seed", **more)
    print_headline(bundle.manifest.name, write_report(out, history, settings, runs))
    click.echo(f"{out / 'report.html'}")
