"""The command `plotify bench` and what it can measure."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.lists import whole_numbers
from benchmarks.loadtest.command import load
from benchmarks.loadtest.compare import compare, trend
from benchmarks.measured import GPT2_SMALL, check_room, measured_bundle
from benchmarks.peers.command import peers
from benchmarks.replicas.command import replicas
from benchmarks.report import milliseconds
from benchmarks.serve.command import serve
from benchmarks.timing import PERCENTILES, Round, Summary
from benchmarks.trust.command import chaos, garbage, soak

if TYPE_CHECKING:
    from server.engine import Engine, EngineConfig


@click.group()
def bench() -> None:
    """Measure how fast a model answers.

    Figures of one run compare with one another; those of another day or machine only with care, so each comes with its
    circumstances.

    \b
    Examples:
      plotify bench engine --model bundle --concurrency 1,8
      plotify bench arrivals --model bundle
      plotify bench operators --model bundle
      plotify bench peers --concurrency 1,8,64 --out peers
      plotify bench serve --model bundle
      plotify bench load --users 1,8,32 --out report
      plotify bench replicas
      plotify bench soak --seconds 60
      plotify bench chaos --kills 5
      plotify bench garbage --count 1000
    """


bench.add_command(peers)
bench.add_command(serve)
bench.add_command(load)
bench.add_command(replicas)
bench.add_command(compare)
bench.add_command(trend)
bench.add_command(soak)
bench.add_command(chaos)
bench.add_command(garbage)


@bench.command()
@click.option("--model", required=True, help="A bundle, or gpt2-small: GPT-2 at its real size with random weights.")
@click.option("--precision", help="One that the bundle carries. [default: its fastest]")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--concurrency", default="1,8", show_default=True, callback=whole_numbers, help="Clients at a time.")
@click.option("--requests", default=2, show_default=True, type=click.IntRange(1), help="Of each client, in each round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each concurrency.")
@click.option("--greedy", is_flag=True, help="Take the likeliest token. [default: draw, temperature 1, top-p 0.9]")
@click.option("--threads", default=0, show_default=True, type=click.IntRange(0), help="0: one for each core.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def engine(
    model: str,
    precision: str | None,
    device: str,
    prompt_tokens: int,
    new_tokens: int,
    concurrency: tuple[int, ...],
    requests: int,
    rounds: int,
    greedy: bool,
    threads: int,
    json_file: Path | None,
) -> None:
    """Whole requests through the engine, warm, without the web in between.

    Prompts of random tokens; the end of text does not stop a request, so that each is the same amount of work. The
    concurrencies take turns, so that a machine whose speed drifts drifts under all of them; tokens per second are the
    median of the rounds, the latencies those of all requests. "Beside" is what scheduling, sampling and
    detokenizing add to the time that the session itself runs.

    \b
    Examples:
      plotify bench engine --model bundle --prompt-tokens 64 --new-tokens 64 --concurrency 1,8 --json engine.json
      plotify bench engine --model gpt2-small --precision int8 --concurrency 1,8,32,64
    """
    from benchmarks.load import make_prompts, run_load
    from benchmarks.report import peak_resident_bytes, write_json
    from benchmarks.timing import summarise
    from server.bundle import BundleError
    from server.engine import EngineError, Sampling

    sampling = Sampling(new_tokens, temperature=0) if greedy else Sampling(new_tokens, temperature=1, top_p=0.9)
    measured: dict[int, list[Round]] = {clients: [] for clients in concurrency}
    try:
        with open_engine(model, precision, device, threads, max(concurrency)) as running:
            bundle = running.bundle
            check_room(bundle, prompt_tokens, new_tokens)
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("Measuring", total=(rounds + 1) * sum(concurrency))
                for turn in range(rounds + 1):
                    for clients in concurrency:
                        prompts = make_prompts(bundle, clients * (requests if turn else 1), prompt_tokens, seed=turn)
                        before = running.seconds, running.model_seconds
                        timings = run_load(running, prompts, sampling, clients)
                        spent = running.seconds - before[0], running.model_seconds - before[1]
                        if turn:  # the first one warms
                            measured[clients].append(Round(timings, *spent))
                        progress.advance(task, clients)
    except (BundleError, EngineError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    summaries = [summarise(clients, turns) for clients, turns in measured.items()]
    named = f"{bundle.manifest.name}, {running.precision}"
    Console().print(engine_table(named, summaries))
    click.echo(f"memory: {peak_resident_bytes() / 1e6:.0f} MB resident at most, this benchmark included")
    if json_file:
        settings = {
            "model": bundle.manifest.name,
            "precision": running.precision,
            "prompt_tokens": prompt_tokens,
            "new_tokens": new_tokens,
            "sampling": "greedy" if greedy else "temperature 1, top-p 0.9",
            "threads": threads,
            "rounds": rounds,
            "resident_bytes": peak_resident_bytes(),
        }
        write_json(json_file, "engine", settings, [asdict(summary) for summary in summaries])


@bench.command()
@click.option("--model", default=GPT2_SMALL, show_default=True, help="A bundle, or gpt2-small.")
@click.option("--precision", help="One that the bundle carries. [default: its fastest]")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--again-tokens", default=512, show_default=True, type=click.IntRange(33), help="Of a text asked twice.")
@click.option("--streams", default=16, show_default=True, type=click.IntRange(1), help="That run when the other comes.")
@click.option("--long-tokens", default=900, show_default=True, type=click.IntRange(1), help="Of the prompt that comes.")
@click.option("--new-tokens", default=160, show_default=True, type=click.IntRange(32), help="Of each stream.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def arrivals(
    model: str,
    precision: str | None,
    device: str,
    again_tokens: int,
    streams: int,
    long_tokens: int,
    new_tokens: int,
    rounds: int,
    json_file: Path | None,
) -> None:
    """What a writer feels: asking again for a long text, and a long text arriving among running streams.

    "Again" is the time to the first token of a text that was read before, beside that of the first time. The streams'
    gaps are the seconds between their tokens from before the long prompt arrives to their end.

    \b
    Example:
      plotify bench arrivals --model gpt2-small --precision int8
    """
    from statistics import median

    from benchmarks.arrivals import PROMPT_TOKENS, arrive_among, ask_again
    from benchmarks.report import write_json
    from server.bundle import BundleError
    from server.engine import EngineError

    try:
        with open_engine(model, precision, device, 0, 64) as running:
            for read, written in ((again_tokens, 4), (long_tokens, 4), (PROMPT_TOKENS, new_tokens)):
                check_room(running.bundle, read, written)
            with Console(stderr=True).status("Asking again"):
                again = ask_again(running, again_tokens, rounds)
            with Console(stderr=True).status("Letting a long prompt arrive"):
                turns = [arrive_among(running, streams, new_tokens, long_tokens, seed) for seed in range(rounds + 1)]
            arrived = turns[1:]  # the first one warms
    except (BundleError, EngineError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    gaps = [gap for each in arrived for gap in each.gaps]
    ratio = median(each.ratio for each in arrived)
    table = Table("", "", title=f"{running.bundle.manifest.name}, {running.precision}", box=SIMPLE_HEAD)
    table.add_row(f"first token, {again_tokens} tokens read", f"{milliseconds(median(again.cold))} ms")
    table.add_row("the same text again", f"{milliseconds(median(again.again))} ms, {again.ratio:.1%}")
    table.add_row(f"{streams} streams: gap between tokens, p50", f"{milliseconds(median(gaps))} ms")
    table.add_row(f"p99, while {long_tokens} tokens arrive", f"{ratio:.2f} times that (median of {rounds} rounds)")
    table.add_row("first token of these", f"{milliseconds(median(each.time_to_first_token for each in arrived))} ms")
    Console().print(table)
    if json_file:
        settings = {"model": running.bundle.manifest.name, "precision": running.precision, "rounds": rounds}
        results = [
            {"again_tokens": again_tokens, "ratio": again.ratio, **asdict(again)},
            {
                "streams": streams,
                "long_tokens": long_tokens,
                "ratio": ratio,
                "rounds": [each.ratio for each in arrived],
            },
        ]
        write_json(json_file, "arrivals", settings, results)


@bench.command()
@click.option("--model", default=GPT2_SMALL, show_default=True, help="A bundle, or gpt2-small.")
@click.option("--precision", help="One that the bundle carries. [default: its fastest]")
@click.option("--rows", default=64, show_default=True, type=click.IntRange(1), help="Rows of a decode.")
@click.option(
    "--tokens", default=64, show_default=True, type=click.IntRange(1), help="Of each row, and of each prompt."
)
def operators(model: str, precision: str | None, rows: int, tokens: int) -> None:
    """Which operators a step's time goes to, by ONNX Runtime's own profile, which makes it a little slower.

    \b
    Example:
      plotify bench operators --model gpt2-small --precision int8 --rows 64
    """
    from benchmarks.operators import PREFILL_ROWS, profile_decode, profile_prefill
    from server.bundle import BundleError

    try:
        bundle = measured_bundle(model, tokens, 1)
        precision = precision or bundle.fastest_precision()
        with Console(stderr=True).status("Profiling"):
            decode, prefill = (
                profile_decode(bundle, precision, rows, tokens),
                profile_prefill(bundle, precision, tokens),
            )
    except (BundleError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    headings = ("operator", f"decode, {rows} rows", f"prefill, {PREFILL_ROWS} × {tokens} tokens")
    table = Table(*headings, title=f"{bundle.manifest.name}, {precision}: milliseconds a run", box=SIMPLE_HEAD)
    for name, spent in decode.milliseconds.items():
        table.add_row(name, f"{spent:.2f}", f"{prefill.milliseconds.get(name, 0):.2f}")
    sums = (sum(each.milliseconds.values()) for each in (decode, prefill))
    table.add_row(f"all {decode.nodes} nodes", *(f"{spent:.2f}" for spent in sums))
    Console().print(table)


def open_engine(model: str, precision: str | None, device: str, threads: int, rows: int) -> "Engine":
    """The engine on a bundle, or on GPT-2 small with random weights, which are made first where they are not there.

    Raises BundleError, EngineError, and ChildProcessError when the weights could not be made.
    """
    from server.engine import Engine

    bundle = measured_bundle(model, 0, 0)
    return Engine(bundle, EngineConfig(precision, device=device, threads=threads, rows=max(rows, 2), queue=rows))


def engine_table(name: str, summaries: Sequence[Summary]) -> Table:
    """A row for each concurrency."""
    ranks = " / ".join(f"p{rank}" for rank in PERCENTILES)
    title, caption = (
        f"{name}: whole requests through the engine",
        (f"first, next token: {ranks} in milliseconds; beside: what the engine adds to the model's own time"),
    )
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD)
    for heading in ("clients", "tokens/s", "first token", "next token", "beside"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        latencies = (summary.time_to_first_token, summary.inter_token_latency)
        table.add_row(
            str(summary.concurrency),
            f"{summary.tokens_per_second:.1f}",
            *(" / ".join(milliseconds(seconds) for seconds in ranked.values()) for ranked in latencies),
            f"{summary.beside_the_model:+.1%}",
        )
    return table
