"""The command `plotify bench` and what it can measure."""

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.timing import PERCENTILES, Summary


def whole_numbers(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Of "1,8,32". Raises click.BadParameter for anything but numbers over 0."""
    try:
        numbers = tuple(int(number) for number in given.split(","))
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is not a list of whole numbers such as 1,8") from wrong
    if min(numbers) < 1:
        raise click.BadParameter(f"{min(numbers)} is under 1")
    return numbers


@click.group()
def bench() -> None:
    """Measure how fast a model answers.

    Figures of one run compare with one another; those of another day or machine only with care, so each comes with its
    circumstances.

    \b
    Examples:
      plotify bench engine --model bundle --concurrency 1,8
      plotify bench eager checkpoint bundle
    """


@bench.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The bundle.")
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--concurrency", default="1,8", show_default=True, callback=whole_numbers, help="Clients at a time.")
@click.option(
    "--requests", type=click.IntRange(1), help="Requests of each run. [default: 4 for each client, at least 8]"
)
@click.option("--threads", default=0, show_default=True, type=click.IntRange(0), help="0: one for each core.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def engine(
    model: Path,
    prompt_tokens: int,
    new_tokens: int,
    concurrency: tuple[int, ...],
    requests: int | None,
    threads: int,
    json_file: Path | None,
) -> None:
    """Whole requests through the engine, warm, without the web in between.

    Prompts of random tokens, sampled with the bundle's decoding defaults; the end of text does not stop them, so that
    every request is the same amount of work. The time to first token includes waiting for a turn.

    \b
    Example:
      plotify bench engine --model bundle --prompt-tokens 64 --new-tokens 64 --concurrency 1,8 --json engine.json
    """
    from benchmarks.load import load_endless, make_prompts, run_load
    from benchmarks.report import write_json
    from benchmarks.timing import summarise
    from server.bundle import BundleError
    from server.engine import Engine

    try:
        bundle = load_endless(model)
    except BundleError as refused:
        raise click.ClickException(str(refused)) from refused
    _check_room(prompt_tokens, new_tokens, bundle.manifest.model.context)
    summaries = []
    with Engine(bundle, threads=threads, queue=max(concurrency)) as running:
        for clients in track(concurrency, "Measuring", console=Console(stderr=True), transient=True):
            count = requests or max(8, 4 * clients)
            run_load(running, make_prompts(bundle, clients, prompt_tokens, seed=1), new_tokens, clients)
            timings = run_load(running, make_prompts(bundle, count, prompt_tokens), new_tokens, clients)
            summaries.append(summarise(clients, timings))
    Console().print(engine_table(bundle.manifest.name, summaries))
    if json_file:
        settings = {"model": bundle.manifest.name, "prompt_tokens": prompt_tokens, "new_tokens": new_tokens}
        settings["threads"] = threads
        write_json(json_file, "engine", settings, [asdict(summary) for summary in summaries])


def engine_table(name: str, summaries: Sequence[Summary]) -> Table:
    """A row for each concurrency."""
    ranks = " / ".join(f"p{rank}" for rank in PERCENTILES)
    title, caption = f"{name}: whole requests through the engine", f"first, next token: {ranks} in milliseconds"
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD)
    for heading in ("clients", "tokens/s", "first token", "next token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        latencies = (summary.time_to_first_token, summary.inter_token_latency)
        table.add_row(
            str(summary.concurrency),
            f"{summary.tokens_per_second:.1f}",
            *(" / ".join(_milliseconds(seconds) for seconds in ranked.values()) for ranked in latencies),
        )
    return table


@bench.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--concurrency", default=8, show_default=True, type=click.IntRange(1), help="Requests at once.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each, after a warm one.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def eager(
    checkpoint: Path,
    bundle: Path,
    prompt_tokens: int,
    new_tokens: int,
    concurrency: int,
    rounds: int,
    json_file: Path | None,
) -> None:
    """The engine on BUNDLE against TensorFlow's eager `generate` on CHECKPOINT, by turns.

    The same prompts, sampling and number of new tokens for both, whatever the model would stop at; TensorFlow gets its
    requests as one batch, which suits it best.

    \b
    Example:
      plotify bench eager checkpoint bundle --concurrency 8
    """
    if importlib.util.find_spec("tensorflow") is None:  # said here, before the process that needs it ends without
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
    from benchmarks.eager import compare
    from benchmarks.report import write_json
    from server.bundle import Bundle, BundleError

    try:
        manifest = Bundle.load(bundle).manifest
    except BundleError as refused:
        raise click.ClickException(str(refused)) from refused
    _check_room(prompt_tokens, new_tokens, manifest.model.context)
    try:
        with Console(stderr=True).status("Taking turns"):
            speeds = compare(checkpoint, bundle, prompt_tokens, new_tokens, concurrency, rounds)
    except ProcessLookupError as ended:
        raise click.ClickException(str(ended)) from ended
    table = Table("", "tokens/s, median", "each round", title=f"{manifest.name}, {concurrency} requests at once")
    medians = {name: median(each) for name, each in speeds.items()}
    for name, each in speeds.items():
        table.add_row(name, f"{medians[name]:.1f}", " ".join(f"{speed:.1f}" for speed in each))
    table.caption = f"the engine is {medians['engine'] / medians['eager']:.1f} times as fast"
    Console().print(table)
    if json_file:
        settings = {"model": manifest.name, "prompt_tokens": prompt_tokens, "new_tokens": new_tokens}
        results = [
            {"system": name, "concurrency": concurrency, "tokens_per_second": each} for name, each in speeds.items()
        ]
        write_json(json_file, "eager", settings, results)


def _check_room(prompt_tokens: int, new_tokens: int, context: int) -> None:
    if prompt_tokens + new_tokens > context:
        raise click.UsageError(f"{prompt_tokens} prompt and {new_tokens} new tokens are over the model's {context}.")


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"
