"""The command `plotify bench replicas`."""

import tempfile
from dataclasses import asdict
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measured import measured_bundle
from benchmarks.report import milliseconds, write_json
from benchmarks.timing import PERCENTILES
from server.settings import SHIPPED_MODEL


@click.command()
@click.option("--model", default=str(SHIPPED_MODEL), help="A bundle, or gpt2-small. [default: the shipped one]")
@click.option("--precision", help="One that the bundle carries. [default: its fastest]")
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--concurrency", default=64, show_default=True, type=click.IntRange(4), help="Streams at a time.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of two streams for each client.")
@click.option("--texts", default=16, show_default=True, type=click.IntRange(1), help="Under way when a replica dies.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures here.")
def replicas(
    model: str,
    precision: str | None,
    prompt_tokens: int,
    new_tokens: int,
    concurrency: int,
    rounds: int,
    texts: int,
    json_file: Path | None,
) -> None:
    """What replicas on Ray Serve cost and bring, on this machine; needs the extra scale.

    The same streams of /v1/completions, from one server after the other: one process without Ray, one replica behind
    Ray Serve, which is what the extra hop costs, and two replicas, each with half of the cores and of the rows. Then a
    replica's process is killed while texts are written: exits with 1 unless each ends as its seed's.

    \b
    Example:
      plotify bench replicas --concurrency 64 --json build/replicas.json
    """
    from benchmarks.replicas.measuring import SETUPS, kill, measure
    from server.bundle import BundleError

    try:
        bundle = measured_bundle(model, prompt_tokens, new_tokens)
        precision = precision or bundle.fastest_precision()
        results = []
        with (
            tempfile.TemporaryDirectory() as folder,
            Progress(console=Console(stderr=True), transient=True) as bar,
        ):
            task = bar.add_task("Measuring", total=len(SETUPS) * (rounds + 1))
            for setup in SETUPS:
                with setup.serve(bundle.path, precision, concurrency, Path(folder) / "server.log") as server:
                    tokens = (prompt_tokens, new_tokens)
                    results.append(
                        measure(setup, server, bundle, tokens, concurrency, rounds, lambda: bar.advance(task))
                    )
                    if setup is SETUPS[-1]:
                        killed = kill(server, texts, seed=1)
    except (BundleError, ChildProcessError) as refused:
        raise click.ClickException(str(refused)) from refused
    table = Table(
        title=f"{bundle.manifest.name}, {precision}: {concurrency} streams",
        caption=f"first, next token: {' / '.join(f'p{rank}' for rank in PERCENTILES)} in milliseconds; "
        "of a core: milliseconds for each token; memory: MB of all processes of a kind",
        box=SIMPLE_HEAD,
    )
    for heading in ("", "tokens/s", "first token", "next token", "of a core", "memory"):
        table.add_column(heading, justify="right" if heading else "left")
    for each in results:
        latencies = (each.time_to_first_token, each.inter_token_latency)
        cores = "\n".join(f"{kind} {1e3 * seconds:.2f}" for kind, seconds in each.seconds_per_token.items())
        memory = "\n".join(f"{kind} {sum(found) / 1e6:.0f}" for kind, found in each.resident_bytes.items())
        table.add_row(
            each.name,
            f"{each.tokens_per_second:.1f}",
            *(" / ".join(map(milliseconds, latency.values())) for latency in latencies),
            cores,
            memory,
        )
    Console().print(table)
    alone, hop, two = (each.tokens_per_second for each in results)
    click.echo(f"behind Ray Serve: {hop / alone:.1%} of the tokens per second; two replicas to one: {two / hop:.2f}")
    click.echo(
        f"a replica was killed: {killed.identical} of {killed.texts} texts are their seeds', {killed.whole} whole; "
        f"the longest silence was {killed.silence:.2f} s ({killed.silence_before:.2f} s without)"
    )
    if json_file:
        settings = {
            "model": bundle.manifest.name,
            "precision": precision,
            "prompt_tokens": prompt_tokens,
            "new_tokens": new_tokens,
            "concurrency": concurrency,
            "rounds": rounds,
            "killed": asdict(killed),
        }
        write_json(json_file, "replicas", settings, [asdict(each) for each in results])
    if killed.identical < killed.texts:
        raise SystemExit(1)
