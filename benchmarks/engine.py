"""The command `plotify bench engine`: whole requests through the engine, without the web in between."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated

import click

from benchmarks import frame
from benchmarks.circumstances import peak_resident_bytes
from benchmarks.latency import RANKS, Timing, summarise
from benchmarks.workload import Prompt, closed_loop, make_prompts
from server.engine import Engine, Request, Sampling

SAMPLING = {True: "greedy", False: "temperature 1, top-p 0.9"}
"""The sampling of a benchmark, in words, by whether it is greedy."""


@frame.command
def engine(
    model: Annotated[str, frame.option("A bundle, or gpt2-small: GPT-2 with random weights.", required=True)],
    precision: frame.Precision,
    device: frame.Device,
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens of each.")],
    concurrency: Annotated[tuple[int, ...], frame.several("1,8", "Clients at a time.")],
    requests: Annotated[int, frame.count(2, "Of each client, in each round.")],
    rounds: Annotated[int, frame.count(3, "Turns of each concurrency.")],
    greedy: frame.Greedy,
    threads: Annotated[int, frame.count(0, "0: one for each core.", least=0)],
    json_file: frame.JsonFile,
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
    sampling = benchmark_sampling(new_tokens, greedy)
    measured: dict[int, list[list[Timing]]] = {clients: [] for clients in concurrency}
    spent = {clients: [0.0, 0.0] for clients in concurrency}
    with open_engine(model, precision, device, threads, max(concurrency)) as running:
        bundle = running.bundle
        frame.check_context(bundle.manifest.model.context, prompt_tokens, new_tokens)
        with frame.progress("Measuring", (rounds + 1) * sum(concurrency)) as advance:
            for turn in range(rounds + 1):
                for clients in concurrency:
                    prompts = make_prompts(bundle, clients * (requests if turn else 1), prompt_tokens, seed=turn)
                    before = running.seconds, running.model_seconds
                    timings = run_on_engine(running, prompts, sampling, clients)
                    if turn:  # the first one warms
                        measured[clients].append(timings)
                        spent[clients][0] += running.seconds - before[0]
                        spent[clients][1] += running.model_seconds - before[1]
                    advance(clients)
    summaries = {clients: summarise(turns) for clients, turns in measured.items()}
    beside = {clients: took / in_model - 1 for clients, (took, in_model) in spent.items()}
    frame.print_table(
        f"{bundle.manifest.name}, {running.precision}: whole requests through the engine",
        ("clients", "tokens/s", "first token", "next token", "beside"),
        ((str(clients), *each.cells, f"{beside[clients]:+.1%}") for clients, each in summaries.items()),
        f"first, next token: {RANKS} in milliseconds; beside: what the engine adds to the model's own time",
    )
    click.echo(f"memory: {peak_resident_bytes() / 1e6:.0f} MB resident at most, this benchmark included")
    settings = frame.settings("prompt_tokens", "new_tokens", "threads", "rounds", model=bundle.manifest.name)
    settings |= {"precision": running.precision, "sampling": SAMPLING[greedy], "resident_bytes": peak_resident_bytes()}
    results = (
        {
            "concurrency": clients,
            "requests": sum(map(len, turns)),
            "tokens": sum(timing.tokens for timings in turns for timing in timings),
            **asdict(summaries[clients]),
            "beside_the_model": beside[clients],
        }
        for clients, turns in measured.items()
    )
    frame.write_json(json_file, settings, results)


def open_engine(model: str, precision: str | None, device: str, threads: int, rows: int) -> Engine:
    """The engine on a bundle, or on GPT-2 small. Raises as `open_bundle`, and EngineError."""
    return Engine(frame.open_bundle(model), precision, device=device, threads=threads, rows=max(rows, 2), queue=rows)


def benchmark_sampling(new_tokens: int, greedy: bool) -> Sampling:
    """The sampling of the benchmarks, as `SAMPLING` says it."""
    return Sampling(new_tokens, temperature=0) if greedy else Sampling(new_tokens, temperature=1, top_p=0.9)


def run_on_engine(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling, concurrency: int) -> list[Timing]:
    """Whole requests through the engine's public interface, one for each of `prompts`, by `concurrency` clients.

    The clients are tasks on one event loop, as they are in the server. Each request gets a seed of its own, and all the
    tokens that `sampling` allows: the end of text does not end it, so that the work is the same in every run.
    """

    async def ask(numbered: tuple[int, Prompt]) -> Timing:
        seed, prompt = numbered
        submitted = time.perf_counter()
        stream = engine.submit(Request(prompt, replace(sampling, seed=seed, ignore_end=True)))
        arrivals = [(time.perf_counter(), len(chunk.token_ids)) async for chunk in stream]
        return Timing(submitted, arrivals[-1][0], tuple(arrival for arrival in arrivals if arrival[1]))

    return asyncio.run(closed_loop(concurrency, enumerate(prompts), ask))
