"""The command `plotify bench replicas`: the cost of the hop, throughput, the loss of a replica."""

import asyncio
import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import click
import psutil

from benchmarks import frame
from benchmarks.client import Reply, connect, run_streams, sample_requests
from benchmarks.latency import RANKS, Summary, Timing, summarise
from benchmarks.process import PLOTIFY, Serving, plotify
from benchmarks.workload import make_prompts
from server.bundle import Bundle

KILLED_TOKENS = 192
"""The most tokens of each text while a replica is killed. The least are half as many."""

KINDS = {
    "ServeReplica:plotify:Engine": "engine",
    "ServeReplica:plotify:App": "app",
    "ProxyActor": "proxy",
    "ray": "Ray",
    "": "server",
}
"""Kinds of processes by a part of their command line. The first match counts."""


SETUPS = {
    "one process, without Ray": (PLOTIFY, 1, 1),
    "one replica": (("-m", "benchmarks.one_replica"), 1, 1),
    "two replicas": (PLOTIFY, 2, 1),
    "two replicas, two apps": (PLOTIFY, 2, 2),
}
"""Program, number of replicas and number of apps of each server to measure."""


@dataclass(frozen=True)
class ReplicasSummary(Summary):
    """The figures of a setup.

    Attributes:
        seconds_per_token: seconds of a core for each token, by the kind of process.
        resident_bytes: memory of each process after the load, by kind.
    """

    seconds_per_token: dict[str, float]
    resident_bytes: dict[str, list[int]]


@dataclass(frozen=True)
class Killed:
    """The texts after a replica was killed.

    Attributes:
        identical: texts equal to those without a kill.
        silence: the longest gap in any stream, in seconds.
        silence_before: the same without a kill.
    """

    texts: int
    whole: int
    identical: int
    silence: float
    silence_before: float


@frame.command
def replicas(
    model: frame.ShippedModel,
    precision: frame.Precision,
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens per stream.")],
    concurrency: Annotated[int, frame.count(64, "Streams at a time.", least=4)],
    rounds: Annotated[int, frame.count(3, "Rounds of two streams per client.")],
    texts: Annotated[int, frame.count(16, "Texts running when a replica is killed.")],
    json_file: frame.JsonFile,
) -> None:
    """Measure the cost and the gain of replicas on Ray Serve. Needs the extra `scale`.

    Four servers on this machine get the same streams of /v1/completions, one after the other: one process without Ray;
    one replica behind Ray Serve, for the cost of the extra hop; two replicas, each with half of the cores and rows; and
    the same with two apps. Then a replica's process is killed during generation. The command exits with 1 unless every
    text is still the one of its seed.

    \b
    Example:
      plotify bench replicas --concurrency 64 --json build/replicas.json
    """
    bundle = frame.open_bundle(model, prompt_tokens, new_tokens)
    precision = precision or bundle.fastest_precision()
    found: dict[str, ReplicasSummary] = {}
    with tempfile.TemporaryDirectory() as folder, frame.progress("Measuring", len(SETUPS) * (rounds + 1)) as advance:
        for name, (program, number, apps) in SETUPS.items():
            log, rows = Path(folder) / "server.log", max(concurrency // number, 2)
            served = {"model": bundle.path, "precision": precision, "queue": concurrency, "kept": 0}
            with plotify(log, 0, program, replicas=number, apps=apps, rows=rows, **served) as server:
                tokens = (prompt_tokens, new_tokens)
                found[name] = measure(server, bundle, tokens, concurrency, rounds, advance)
                if apps > 1:
                    killed = kill(server, texts, seed=1)
    frame.print_table(
        f"{bundle.manifest.name}, {precision}: {concurrency} streams",
        ("", "tokens/s", "first token", "next token", "of a core", "memory"),
        (
            (
                name,
                *each.cells,
                "\n".join(f"{kind} {1e3 * seconds:.2f}" for kind, seconds in each.seconds_per_token.items()),
                "\n".join(f"{kind} {sum(held) / 1e6:.0f}" for kind, held in each.resident_bytes.items()),
            )
            for name, each in found.items()
        ),
        f"first, next token: {RANKS} in milliseconds; of a core: milliseconds for each token; memory: MB of all "
        "processes of a kind",
    )
    alone, *behind_ray = found
    for name in behind_ray:
        share = found[name].tokens_per_second / found[alone].tokens_per_second
        click.echo(f"{name}: {share:.1%} of the tokens per second of one process")
    click.echo(
        f"a replica was killed: {killed.identical} of {killed.texts} texts are identical, {killed.whole} whole; "
        f"the longest silence was {killed.silence:.2f} s ({killed.silence_before:.2f} s without a kill)"
    )
    settings = frame.settings("prompt_tokens", "new_tokens", "concurrency", "rounds", model=bundle.manifest.name)
    settings |= {"precision": precision, "killed": asdict(killed)}
    frame.write_json(json_file, settings, [{"name": name} | asdict(each) for name, each in found.items()])
    if killed.identical < killed.texts:
        raise SystemExit(1)


def measure(
    server: Serving, bundle: Bundle, tokens: tuple[int, int], clients: int, rounds: int, advance: Callable[[], None]
) -> ReplicasSummary:
    """Measure rounds of two streams for each client, after a warm-up round.

    Args:
        tokens: prompt tokens and new tokens of each stream.
        advance: is called after each round.
    """
    timings: list[list[Timing]] = []
    warm: dict[str, float] = {}
    for turn in range(rounds + 1):
        if turn == 1:
            warm = _spent(server)
        prompts = make_prompts(bundle, clients * (2 if turn else 1), tokens[0], seed=turn)
        timings.append(run_streams(server, prompts, tokens[1], False, clients))
        advance()
    spent = _spent(server)
    counted = tokens[1] * sum(map(len, timings[1:]))
    return ReplicasSummary(
        **vars(summarise(timings[1:])),
        seconds_per_token={kind: (spent[kind] - warm[kind]) / counted for kind in spent},
        resident_bytes={kind: [each.memory_info().rss for each in found] for kind, found in _processes(server).items()},
    )


def kill(server: Serving, texts: int, seed: int) -> Killed:
    """Generate the same texts twice, and kill a replica's process the second time, once all have begun."""

    async def write(victim: int | None) -> list[Reply]:
        replies = [Reply(each) for each in islice(sample_requests(seed, KILLED_TOKENS, (), ("stream",)), texts)]
        async with connect(server) as client:
            asking = [asyncio.create_task(client.ask(reply)) for reply in replies]
            while victim and not all(reply.first for reply in replies):
                await asyncio.sleep(0.01)
            if victim:
                os.kill(victim, signal.SIGKILL)
            return await asyncio.gather(*asking)

    def silence(replies: Sequence[Reply]) -> float:
        return max((after - before for reply in replies for before, after in pairwise(reply.arrivals)), default=0.0)

    before = asyncio.run(write(None))
    after = asyncio.run(write(_processes(server)["engine"][0].pid))
    whole = [(reply, old) for reply, old in zip(after, before, strict=True) if reply.end == "whole"]
    identical = sum(reply.text == old.text for reply, old in whole)
    return Killed(texts, len(whole), identical, silence(after), silence(before))


def _spent(server: Serving) -> dict[str, float]:
    """Return the seconds of a core used so far by the server's processes, by kind."""
    return {kind: sum(sum(each.cpu_times()[:2]) for each in found) for kind, found in _processes(server).items()}


def _processes(server: Serving) -> dict[str, list[psutil.Process]]:
    """Return the server's process and all its children, by kind."""
    found = defaultdict(list)
    own = psutil.Process(server.pid)
    for process in (own, *own.children(recursive=True)):
        line = " ".join(process.cmdline()) if process != own else ""
        found[next(kind for holds, kind in KINDS.items() if holds in line)].append(process)
    return found
