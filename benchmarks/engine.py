"""The commands `plotify bench engine`, `arrivals` and `operators`: measure the engine without HTTP."""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Annotated

import click
import numpy as np
import onnxruntime as ort
from rich.console import Console

from benchmarks import frame
from benchmarks.circumstances import peak_resident_bytes
from benchmarks.latency import RANKS, Timing, milliseconds, summarise
from benchmarks.workload import SAMPLED, SAMPLING, Prompt, closed_loop, make_prompts
from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.engine.model.runner import Runner


@frame.command
def engine(
    model: Annotated[str, frame.option("A bundle, or gpt2-small: GPT-2 with random weights.", required=True)],
    precision: frame.Precision,
    device: frame.Device,
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens per request.")],
    concurrency: Annotated[tuple[int, ...], frame.several("1,8", "Clients at a time.")],
    requests: Annotated[int, frame.count(2, "Requests per client and round.")],
    rounds: Annotated[int, frame.count(3, "Rounds per concurrency.")],
    greedy: frame.Greedy,
    threads: Annotated[int, frame.count(0, "0 takes one per core.", least=0)],
    json_file: frame.JsonFile,
) -> None:
    """Measure whole requests through the warm engine, without HTTP.

    Prompts are random tokens, and requests do not end at the end of text, so each is the same amount of work. The
    concurrencies take turns, so a machine that slows down slows down all of them. Tokens per second are the median of
    the rounds, latencies are those of all requests. "Beside" is the time that scheduling, sampling and detokenizing add
    to the model's own.

    \b
    Examples:
      plotify bench engine --model bundle --prompt-tokens 64 --new-tokens 64 --concurrency 1,8 --json engine.json
      plotify bench engine --model gpt2-small --precision int8 --concurrency 1,8,32,64
    """
    sampling = Sampling(new_tokens, **SAMPLING[greedy])
    measured: dict[int, list[list[Timing]]] = {clients: [] for clients in concurrency}
    spent: dict[int, list[tuple[float, float]]] = {clients: [] for clients in concurrency}
    with open_engine(model, precision, device, threads, max(concurrency)) as running:
        bundle = running.bundle
        frame.check_context(bundle.manifest.model.context, prompt_tokens, new_tokens)
        with frame.progress("Measuring", (rounds + 1) * sum(concurrency)) as advance:
            for turn in range(rounds + 1):
                for clients in concurrency:
                    prompts = make_prompts(bundle, clients * (requests if turn else 1), prompt_tokens, seed=turn)
                    before = running.seconds, running.model_seconds
                    timings = run_on_engine(running, prompts, sampling, clients)
                    if turn:  # the first round is a warm-up
                        measured[clients].append(timings)
                        spent[clients].append((running.seconds - before[0], running.model_seconds - before[1]))
                    advance(clients)
    summaries = {clients: summarise(turns) for clients, turns in measured.items()}
    frame.print_table(
        f"{bundle.manifest.name}, {running.precision}: whole requests through the engine",
        ("clients", "tokens/s", "first token", "next token", "beside"),
        ((str(clients), *each.cells, f"{share_beside(spent[clients]):+.1%}") for clients, each in summaries.items()),
        f"first, next token: {RANKS} in milliseconds; beside: the time added by the engine to the model's own",
    )
    click.echo(f"memory: {peak_resident_bytes() / 1e6:.0f} MB resident at peak, this benchmark included")
    settings = frame.settings("prompt_tokens", "new_tokens", "threads", "rounds", model=bundle.manifest.name)
    settings |= {"precision": running.precision, "sampling": SAMPLED[greedy], "resident_bytes": peak_resident_bytes()}
    results = (
        {
            "concurrency": clients,
            "requests": sum(map(len, turns)),
            "tokens": sum(timing.tokens for timings in turns for timing in timings),
            **asdict(summaries[clients]),
            "beside_the_model": share_beside(spent[clients]),
        }
        for clients, turns in measured.items()
    )
    frame.write_json(json_file, settings, results)


def share_beside(spent: Sequence[tuple[float, float]]) -> float:
    """Return the time added by the engine to the model's own, as a share of the model's.

    Args:
        spent: the seconds of the engine and of the model, for each round.
    """
    return sum(took for took, _ in spent) / sum(in_model for _, in_model in spent) - 1


def open_engine(model: str, precision: str | None, device: str, threads: int, rows: int) -> Engine:
    """Return an engine on a bundle or on GPT-2 small. Raises EngineError and the errors of `open_bundle`."""
    config = EngineConfig(precision, device=device, threads=threads, rows=max(rows, 2), queue=rows)
    return Engine(frame.open_bundle(model), config)


def run_on_engine(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling, concurrency: int) -> list[Timing]:
    """Run a request for each of `prompts` through the engine's public interface, `concurrency` at a time.

    The clients are tasks on one event loop, as in the server. Each request has its own seed and generates all tokens
    allowed by `sampling`: it does not end at the end of text, so the work is the same in every run.
    """

    async def ask(numbered: tuple[int, Prompt]) -> Timing:
        seed, prompt = numbered
        submitted = time.perf_counter()
        stream = engine.submit(Request(prompt, replace(sampling, seed=seed, ignore_end=True)))
        arrivals = [(time.perf_counter(), len(chunk.token_ids)) async for chunk in stream]
        return Timing(submitted, arrivals[-1][0], tuple(arrival for arrival in arrivals if arrival[1]))

    return asyncio.run(closed_loop(concurrency, enumerate(prompts), ask))


PROMPT_TOKENS = 64
"""Prompt tokens of each running stream."""

Arrival = tuple[list[float], float]

ARRIVES_AFTER = 24
"""Tokens of the running streams when the long prompt arrives."""


@frame.command
def arrivals(
    model: frame.Model,
    precision: frame.Precision,
    device: frame.Device,
    again_tokens: Annotated[int, frame.count(512, "Tokens of a prompt sent twice.", least=33)],
    streams: Annotated[int, frame.count(16, "Streams running when the long prompt arrives.")],
    long_tokens: Annotated[int, frame.count(900, "Tokens of the long prompt.")],
    new_tokens: Annotated[int, frame.count(160, "New tokens per stream.", least=32)],
    rounds: Annotated[int, frame.count(5)],
    json_file: frame.JsonFile,
) -> None:
    """Measure a prompt sent again, and a long prompt that arrives among running streams.

    The first figures are the times to the first token of a new prompt, and of the same prompt with the prefix cache.
    The gaps of the streams are the seconds between their tokens, from before the long prompt arrives to their end.

    \b
    Example:
      plotify bench arrivals --model gpt2-small --precision int8
    """
    with open_engine(model, precision, device, 0, 64) as running:
        for read, written in ((again_tokens, 4), (long_tokens, 4), (PROMPT_TOKENS, new_tokens)):
            frame.check_context(running.bundle.manifest.model.context, read, written)
        with Console(stderr=True).status("Sending prompts twice"):
            cold, again = ask_again(running, again_tokens, rounds)
        with Console(stderr=True).status("Sending long prompts among running streams"):
            turns = [arrive_among(running, streams, new_tokens, long_tokens, seed) for seed in range(rounds + 1)]
        arrived = turns[1:]  # the first one is a warm-up
    ratio = median(again) / median(cold)
    ratios = [float(np.percentile(gaps, 99)) / median(gaps) for gaps, _ in arrived]
    gap = median(gap for gaps, _ in arrived for gap in gaps)
    name = running.bundle.manifest.name
    frame.print_table(
        f"{name}, {running.precision}",
        ("", ""),
        (
            (f"first token after {again_tokens} tokens", f"{milliseconds(median(cold))} ms"),
            ("the same text again", f"{milliseconds(median(again))} ms, {ratio:.1%} of that"),
            (f"{streams} streams: gap between tokens, p50", f"{milliseconds(gap)} ms"),
            (
                f"p99, while {long_tokens} tokens arrive",
                f"{median(ratios):.2f} times that (median of {frame.rounds(rounds)})",
            ),
            ("first token after these", f"{milliseconds(median(first for _, first in arrived))} ms"),
        ),
    )
    results = [
        {"again_tokens": again_tokens, "ratio": ratio, "cold": cold, "again": again},
        {"streams": streams, "long_tokens": long_tokens, "ratio": median(ratios), "rounds": ratios},
    ]
    frame.write_json(json_file, frame.settings("rounds", model=name, precision=running.precision), results)


def ask_again(engine: Engine, tokens: int, rounds: int) -> tuple[list[float], list[float]]:
    """Send `rounds` prompts of `tokens` tokens twice each, with different seeds, on an idle engine.

    Return the seconds to each first token: with a new prompt, and with the same prompt again.
    """

    def first_token(prompt: Prompt, seed: int) -> float:
        start = time.perf_counter()
        stream = engine.submit(Request(prompt, Sampling(4, temperature=0.8, top_p=0.9, seed=seed, ignore_end=True)))
        next(stream)
        took = time.perf_counter() - start
        list(stream)
        return took

    # One more than the rounds: the first prompt is a warm-up.
    prompts = make_prompts(engine.bundle, rounds + 1, tokens)
    _, *pairs = [(first_token(prompt, 1), first_token(prompt, 2)) for prompt in prompts]
    return [cold for cold, _ in pairs], [again for _, again in pairs]


def arrive_among(engine: Engine, streams: int, new_tokens: int, long_tokens: int, seed: int) -> Arrival:
    """Run `streams` streams of `new_tokens` tokens each, and send a prompt of `long_tokens` meanwhile.

    Use another seed in each round: the prompts must be new to the prefix cache.

    Returns:
        The seconds between the tokens of the streams, and the seconds to the long prompt's first token.
    """
    prompts = make_prompts(engine.bundle, streams, PROMPT_TOKENS, seed)
    (long,) = make_prompts(engine.bundle, 1, long_tokens, seed)

    async def read(prompt: Prompt, tokens: int, begun: asyncio.Event) -> list[float]:
        sampling = Sampling(tokens, temperature=0.8, top_p=0.9, seed=1, ignore_end=True)
        times = [time.perf_counter()]
        async for _ in engine.submit(Request(prompt, sampling)):
            times.append(time.perf_counter())
            if len(times) > ARRIVES_AFTER:
                begun.set()
        return times

    async def read_all() -> Arrival:
        begun = asyncio.Event()
        running = [asyncio.create_task(read(prompt, new_tokens, begun)) for prompt in prompts]
        await begun.wait()
        arrived = await read(long, 4, begun)
        times = await asyncio.gather(*running)
        # Leave out the first tokens, while the streams wait for each other's prefill.
        gaps = [float(gap) for each in times for gap in np.diff(each[ARRIVES_AFTER // 2 :])]
        return gaps, arrived[1] - arrived[0]

    return asyncio.run(read_all())


PREFILL_ROWS = 8
"""Prompts in one prefill run."""

STEPS = 12
"""Runs of each kind. The first two do not count."""


Profile = tuple[dict[str, float], int]
"""Milliseconds of each operator in one run, the longest first, and the number of nodes in a run."""


class ProfiledRunner(Runner):
    """A runner with ONNX Runtime's profiling: it records the time of each node, in files named `prefix`…"""

    prefix = ""

    def _open(self, path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
        options.enable_profiling = True
        options.profile_file_prefix = self.prefix
        return super()._open(path, options)

    def end_profiling(self) -> str:
        """Stop profiling, and return the name of the file."""
        return str(self._session.end_profiling())


@frame.command
def operators(
    model: frame.Model,
    precision: frame.Precision,
    rows: Annotated[int, frame.count(64, "Rows of a decode.")],
    tokens: Annotated[int, frame.count(64, "Tokens per row and per prompt.")],
) -> None:
    """Show the time of each operator in a step, by ONNX Runtime's own profiler.

    Profiling makes the steps a little slower.

    \b
    Example:
      plotify bench operators --model gpt2-small --precision int8 --rows 64
    """
    bundle = frame.open_bundle(model, tokens, 1)
    precision = precision or bundle.fastest_precision()
    with Console(stderr=True).status("Profiling"):
        decode, nodes = profile_decode(bundle, precision, rows, tokens)
        prefill, _ = profile_prefill(bundle, precision, tokens)
    spent = {name: (took, prefill.get(name, 0)) for name, took in decode.items()}
    spent[f"all {nodes} nodes"] = (sum(decode.values()), sum(prefill.values()))
    frame.print_table(
        f"{bundle.manifest.name}, {precision}: milliseconds a run",
        ("operator", f"decode, {rows} rows", f"prefill, {PREFILL_ROWS} × {tokens} tokens"),
        ((name, *(f"{took:.2f}" for took in each)) for name, each in spent.items()),
    )


def profile_decode(bundle: Bundle, precision: str, rows: int, tokens: int) -> Profile:
    """Profile the decode of one token in `rows` rows of `tokens` tokens."""
    ids = [[token for (token,) in make_prompts(bundle, rows, 1, step)] for step in range(STEPS)]
    return _profile(bundle, precision, rows, lambda runner, step: runner.decode(ids[step], [tokens] * rows))


def profile_prefill(bundle: Bundle, precision: str, tokens: int) -> Profile:
    """Profile the prefill of `PREFILL_ROWS` prompts of `tokens` tokens each."""
    ids = make_prompts(bundle, PREFILL_ROWS, tokens)
    return _profile(bundle, precision, PREFILL_ROWS, lambda runner, step: runner.prefill(0, 0, ids))


def _profile(bundle: Bundle, precision: str, rows: int, run: Callable[[Runner, int], object]) -> Profile:
    with tempfile.TemporaryDirectory() as folder:
        ProfiledRunner.prefix = str(Path(folder) / "profile")
        runner = ProfiledRunner(bundle, precision, 0, rows)
        for step in range(STEPS):
            run(runner, step)
        events = json.loads(Path(runner.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    each = len(nodes) // STEPS
    total: Counter[str] = Counter()
    for event in nodes[2 * each :]:
        total[event["args"]["op_name"]] += event["dur"]
    return {name: spent / 1e3 / (STEPS - 2) for name, spent in total.most_common()}, each
