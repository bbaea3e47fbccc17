"""The command `plotify bench serve`."""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measured import GPT2_SMALL, measured_bundle
from benchmarks.report import milliseconds, write_json
from benchmarks.timing import PERCENTILES, Timing, percentiles, tokens_per_second


@dataclass(frozen=True)
class Served:
    """One side of the comparison. Latencies are percentiles in seconds, by their rank.

    tokens_per_second: the median of `each_round`.
    """

    name: str
    tokens_per_second: float
    each_round: list[float]
    time_to_first_token: dict[int, float]
    inter_token_latency: dict[int, float]


@click.command()
@click.option("--model", default=GPT2_SMALL, show_default=True, help="A bundle, or gpt2-small.")
@click.option("--precision", help="One that the bundle carries. [default: its fastest]")
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--concurrency", default=64, show_default=True, type=click.IntRange(1), help="Streams at a time.")
@click.option("--requests", default=2, show_default=True, type=click.IntRange(1), help="Of each client, in each round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each side.")
@click.option("--greedy", is_flag=True, help="Take the likeliest token. [default: draw, temperature 1, top-p 0.9]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def serve(
    model: str,
    precision: str | None,
    prompt_tokens: int,
    new_tokens: int,
    concurrency: int,
    requests: int,
    rounds: int,
    greedy: bool,
    json_file: Path | None,
) -> None:
    """What is left of the engine's speed behind HTTP and server-sent events.

    The server and the bare engine, each in a process of its own, take turns at the same requests; those of the server
    are streams of /v1/completions, read by this process, which shares the machine with it: what it takes of a core is
    said beside the figures.

    \b
    Example:
      plotify bench serve --model gpt2-small --precision int8 --concurrency 64
    """
    from benchmarks.load import make_prompts
    from benchmarks.serve.bare import bare_engine
    from benchmarks.serve.clients import run_streams
    from benchmarks.serve.server import server
    from server.bundle import BundleError
    from server.engine import Sampling

    sampling = Sampling(new_tokens, temperature=0) if greedy else Sampling(new_tokens, temperature=1, top_p=0.9)
    bare: list[list[Timing]] = []
    served: list[list[Timing]] = []
    shares: list[float] = []
    try:
        bundle = measured_bundle(model, prompt_tokens, new_tokens)
        precision = precision or bundle.fastest_precision()
        with (
            tempfile.TemporaryDirectory() as folder,
            bare_engine(bundle.path, precision, concurrency) as engine,
            server(bundle.path, precision, concurrency, Path(folder) / "server.log") as served_at,
            Progress(console=Console(stderr=True), transient=True) as bar,
        ):
            for turn in bar.track(range(rounds + 1), description="Measuring"):
                prompts = make_prompts(bundle, concurrency * (requests if turn else 1), prompt_tokens, seed=turn)
                alone = engine.run(prompts, sampling, concurrency)
                spent, start = time.process_time(), time.perf_counter()
                streamed = run_streams(served_at.address, served_at.model, prompts, new_tokens, greedy, concurrency)
                if turn:  # the first one warms
                    bare.append(alone)
                    served.append(streamed)
                    shares.append((time.process_time() - spent) / (time.perf_counter() - start))
    except (BundleError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    sides = [_summary("the engine alone", bare), _summary("behind HTTP", served)]
    ratio = median(after / before for before, after in zip(*(side.each_round for side in sides), strict=True))
    Console().print(_table(f"{served_at.model}, {precision}: {concurrency} streams", sides))
    click.echo(f"behind HTTP: {ratio:.1%} of the engine's tokens per second (median of {rounds} rounds)")
    click.echo(f"this process, which reads the streams, took {median(shares):.0%} of a core meanwhile")
    if json_file:
        settings = {
            "model": served_at.model,
            "precision": precision,
            "prompt_tokens": prompt_tokens,
            "new_tokens": new_tokens,
            "concurrency": concurrency,
            "sampling": "greedy" if greedy else "temperature 1, top-p 0.9",
            "rounds": rounds,
            "ratio": ratio,
            "reader_share_of_a_core": median(shares),
        }
        write_json(json_file, "serve", settings, [asdict(side) for side in sides])


def _summary(name: str, rounds: list[list[Timing]]) -> Served:
    timings = [timing for each in rounds for timing in each]
    speeds = [tokens_per_second(each) for each in rounds]
    return Served(
        name,
        median(speeds),
        speeds,
        percentiles([timing.arrivals[0][0] - timing.submitted for timing in timings]),
        percentiles([gap for timing in timings for gap in timing.gaps]),
    )


def _table(title: str, sides: list[Served]) -> Table:
    ranks = " / ".join(f"p{rank}" for rank in PERCENTILES)
    table = Table(title=title, caption=f"first, next token: {ranks} in milliseconds", box=SIMPLE_HEAD)
    for heading in ("", "tokens/s", "first token", "next token"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for side in sides:
        latencies = (side.time_to_first_token, side.inter_token_latency)
        ranked = (" / ".join(map(milliseconds, each.values())) for each in latencies)
        table.add_row(side.name, f"{side.tokens_per_second:.1f}", *ranked)
    return table
