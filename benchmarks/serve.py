"""The command `plotify bench serve`: compares the server with the bare engine."""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import click
import psutil

from benchmarks import frame
from benchmarks.client import run_streams
from benchmarks.engine import run_on_engine
from benchmarks.latency import RANKS, Timing, summarise
from benchmarks.process import Server, Serving, plotify
from benchmarks.workload import SAMPLED, SAMPLING, make_prompts
from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Sampling


@frame.command
def serve(
    model: frame.ShippedModel,
    precision: frame.Precision,
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens per stream.")],
    concurrency: Annotated[int, frame.count(64, "Streams at a time.")],
    requests: Annotated[int, frame.count(2, "Requests per client and round.")],
    rounds: Annotated[int, frame.count(3, "Rounds per side.")],
    greedy: frame.Greedy,
    json_file: frame.JsonFile,
) -> None:
    """Measure the share of the engine's speed left behind HTTP and server-sent events.

    The server and the bare engine, each in its own process, take turns with the same requests. The server's are streams
    of /v1/completions. This process reads them on the same machine, so its share of a core is printed with the figures.
    The processor time of the server's event loop compares even where other programs run.

    \b
    Example:
      plotify bench serve --concurrency 64
      plotify bench serve --concurrency 1000 --requests 1 --rounds 2
    """
    sampling = Sampling(new_tokens, **SAMPLING[greedy])
    sides: dict[str, list[list[Timing]]] = {"the engine alone": [], "behind HTTP": []}
    shares: list[float] = []
    beside: list[float] = []
    bundle = frame.open_bundle(model, prompt_tokens, new_tokens)
    precision = precision or bundle.fastest_precision()
    with (
        tempfile.TemporaryDirectory() as folder,
        bare_engine(bundle.path, precision, concurrency) as bare,
        start_server(bundle.path, precision, concurrency, Path(folder) / "server.log") as server,
        frame.progress("Measuring", rounds + 1) as advance,
    ):
        for turn in range(rounds + 1):
            prompts = make_prompts(bundle, concurrency * (requests if turn else 1), prompt_tokens, seed=turn)
            alone = run_bare(bare, prompts, sampling, concurrency)
            reading, serving, start = time.process_time(), loop_seconds(server), time.perf_counter()
            streamed = run_streams(server, prompts, new_tokens, greedy, concurrency)
            if turn:  # the first round is a warm-up
                sides["the engine alone"].append(alone)
                sides["behind HTTP"].append(streamed)
                shares.append((time.process_time() - reading) / (time.perf_counter() - start))
                beside.append((loop_seconds(server) - serving) / (len(prompts) * new_tokens))
            advance()
    summaries = {name: summarise(timings) for name, timings in sides.items()}
    rounds_of_both = zip(*(each.each_round for each in summaries.values()), strict=True)
    ratio = median(after / before for before, after in rounds_of_both)
    frame.print_table(
        f"{server.model}, {precision}: {concurrency} streams",
        ("", "tokens/s", "first token", "next token"),
        ((name, *each.cells) for name, each in summaries.items()),
        f"first, next token: {RANKS} in milliseconds",
    )
    click.echo(f"behind HTTP: {ratio:.1%} of the engine's tokens per second (median of {frame.rounds(rounds)})")
    click.echo(f"beside the engine: {1e3 * median(beside):.3f} ms of a core for each token, in the server's event loop")
    click.echo(f"reading the streams in this process took {median(shares):.0%} of a core meanwhile")
    settings = frame.settings("prompt_tokens", "new_tokens", "concurrency", "rounds", model=server.model)
    settings |= {"precision": precision, "sampling": SAMPLED[greedy], "ratio": ratio}
    settings |= {"reader_share_of_a_core": median(shares), "core_seconds_beside_the_engine": median(beside)}
    frame.write_json(json_file, settings, [{"name": name} | asdict(each) for name, each in summaries.items()])


def start_server(bundle: Path, precision: str, rows: int, log: Path) -> Server:
    """Serve a bundle without a prefix cache, so every prompt is prefilled.

    Args:
        rows: the number of rows, and of rows in the queue.
        log: the file for its standard error.

    Raises:
        ChildProcessError: it does not start.
    """
    return plotify(log, model=bundle, precision=precision, rows=max(rows, 2), queue=rows, kept=0)


def bare_engine(bundle: Path, precision: str, rows: int) -> ProcessPoolExecutor:
    """Return a process with only the engine. `rows` is the number of rows, and of rows in the queue."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, initializer=_load, initargs=(bundle, precision, rows))


def run_bare(bare: ProcessPoolExecutor, *load: Any) -> list[Timing]:
    """Do the same as `run_on_engine` in the other process. Both processes have the same clock.

    Raises:
        ChildProcessError: the process has ended.
    """
    try:
        return bare.submit(_run, *load).result()
    except BrokenProcessPool as ended:
        raise ChildProcessError("the process of the bare engine ended; the reason is above") from ended


def _load(bundle: Path, precision: str, rows: int) -> None:
    """Open the engine of this process, for the life of the process."""
    global _engine
    _engine = Engine(Bundle.load(bundle), EngineConfig(precision, queue=rows, rows=max(rows, 2), kept=0))


def _run(*load: Any) -> list[Timing]:
    return run_on_engine(_engine, *load)


def loop_seconds(server: Serving) -> float:
    """Return the processor time so far of a server's event loop, which runs on its first thread."""
    [loop] = (thread for thread in psutil.Process(server.pid).threads() if thread.id == server.pid)
    return float(loop.user_time + loop.system_time)


_engine: Engine
