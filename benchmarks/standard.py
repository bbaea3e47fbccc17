"""The commands `plotify bench standard` and `plotify bench against`: a fixed set of measurements."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import click
import numpy as np

from benchmarks import frame
from benchmarks.circumstances import circumstances
from benchmarks.load.compare import append, read_history, share
from server.cores import cores

ROOT = Path(__file__).resolve().parents[1]
HISTORY = ROOT / "benchmarks" / "history.jsonl"
TABLE = ROOT / "docs" / "history.md"
PROGRAM = "from server.cli import main; main()"

SIZE = 512
"""Rows and columns of the reference's matrices."""

INTRODUCTION = """# What `make bench` has measured

    make bench

Each line is one run. The reference is a product of float32 matrices, measured in the same run, in billions of
operations a second: a machine with twice the reference should give about twice the tokens. Latencies and tokens are of
the shipped model. [Performance](performance.md) says what they mean.
"""


@dataclass(frozen=True)
class Measure:
    """One measurement of the set.

    Attributes:
        benchmark: the `plotify bench` command that gives it.
        read: takes its value from that command's JSON.
    """

    benchmark: str
    unit: str
    more_is_better: bool
    read: Callable[[dict[str, Any]], float]


def _speed_at(concurrency: int) -> Callable[[dict[str, Any]], float]:
    def read(content: dict[str, Any]) -> float:
        (found,) = (each["tokens_per_second"] for each in content["results"] if each["concurrency"] == concurrency)
        return float(found)

    return read


MEASURES = {
    "engine, 1 request": Measure("engine", "tokens/s", True, _speed_at(1)),
    "engine, 8 requests": Measure("engine", "tokens/s", True, _speed_at(8)),
    "engine, 64 requests": Measure("serve", "tokens/s", True, lambda it: it["results"][0]["tokens_per_second"]),
    "HTTP, 64 streams": Measure("serve", "tokens/s", True, lambda it: it["results"][1]["tokens_per_second"]),
    "event loop, 64 streams": Measure(
        "serve", "ms/token", False, lambda it: 1e3 * it["settings"]["core_seconds_beside_the_engine"]
    ),
    "desk, 8 writers": Measure("offers", "offers/s", True, lambda it: it["results"][0]["per_second"]),
    "desk, first letters, p95": Measure(
        "offers", "ms", False, lambda it: 1e3 * it["results"][0]["first_letters"]["95"]
    ),
}
"""The measurements, by name."""

FLAGS: dict[str, tuple[str, ...]] = {
    "engine": ("--concurrency", "1,8"),
    "serve": ("--concurrency", "64"),
    "offers": ("--writers", "8"),
}
"""The options of each command in the set."""

Rounds = Annotated[int, frame.count(8, "Times to measure the set. The median of each measurement counts.")]


@frame.command
def standard(
    model: frame.ShippedModel,
    rounds: Rounds,
    history: Annotated[Path, frame.option("File to append to.", default=HISTORY, type=frame.FILE, show_default=False)],
    table: Annotated[Path, frame.option("Page to write.", default=TABLE, type=frame.FILE, show_default=False)],
) -> None:
    """Measure the fixed set: the engine, the way to the client, and the desk.

    The set is measured several times, and the medians count, since machines are noisy. They go to
    benchmarks/history.jsonl, and docs/history.md is written anew from that. A reference loop in the same run tells how
    fast the machine was.

    \b
    Example:
      plotify bench standard
    """
    turns: list[dict[str, float]] = []
    references: list[float] = []
    with frame.progress("Measuring", rounds * len(FLAGS)) as advance:
        for number in range(rounds):
            turns.append({})
            references.append(reference_speed())
            for benchmark in FLAGS:
                turns[-1] |= measure(ROOT, benchmark, model)
                advance(line=f"round {number + 1} of {rounds}, {benchmark}")
    found = medians(turns)
    content = {"benchmark": "standard", **circumstances(), "settings": {"model": Path(model).name, "rounds": rounds}}
    content |= {"reference": median(references), "cores": cores(), "measures": found}
    # `plotify bench trend` draws these.
    speeds = {name: value for name, value in found.items() if MEASURES[name].unit == "tokens/s"}
    content["results"] = [
        {"target": target, "label": label, "tokens_per_second": speeds[name]}
        for name in speeds
        for target, label in [name.split(", ", 1)]
    ]
    append(history, content)
    write_table(table, [each for each in read_history(history) if each["benchmark"] == "standard"])
    rows = [(name, rounded(value), MEASURES[name].unit) for name, value in found.items()]
    frame.print_table(f"reference: {content['reference']:.0f} billion operations/s", ("", "", ""), rows)
    click.echo(f"The run is a line of {table} now.")


@frame.command
def against(
    commit: frame.Argument,
    model: frame.ShippedModel,
    rounds: Rounds,
    fail_above: Annotated[
        float | None,
        frame.option("Exit with 1 if a measurement is worse by more than this, such as 15%.", callback=share),
    ],
) -> None:
    """Compare this checkout with COMMIT, by turns on this machine.

    The server of COMMIT and the one here are measured by the benchmarks here. Both take turns, so a machine that slows
    down slows down both. Medians are compared.

    \b
    Example:
      plotify bench against HEAD~1 --fail-above 15%
    """
    turns: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    with (
        checkout(commit) as before,
        frame.progress("Measuring", rounds * len(FLAGS) * len(turns)) as advance,
    ):
        for number in range(rounds):
            for name, folder, said in (("before", before, commit), ("after", ROOT, "this checkout")):
                turns[name].append({})
                for benchmark in FLAGS:
                    turns[name][-1] |= measure(folder, benchmark, str(Path(model).resolve()))
                    advance(line=f"round {number + 1} of {rounds}, {said}, {benchmark}")
    changes = compared(*turns.values())
    rows = [
        (
            name,
            MEASURES[name].unit,
            rounded(one),
            rounded(other),
            f"{abs(worse):.1%} {'worse' if worse > 0 else 'better'}",
        )
        for name, (one, other, worse) in changes.items()
    ]
    frame.print_table("", ("", "", commit, "here", ""), rows)
    failed = [name for name, (_, _, worse) in changes.items() if fail_above is not None and worse > fail_above]
    for name in failed:
        click.echo(f"{name}: worse by more than {fail_above:.0%}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def compared(
    before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]
) -> dict[str, tuple[float, float, float]]:
    """Return the medians before and after, and the share by which it is worse now; under 0 if better."""
    ones, others = medians(before), medians(after)
    return {
        name: (one, other, (one / other - 1 if MEASURES[name].more_is_better else other / one - 1))
        for (name, one), other in zip(ones.items(), others.values(), strict=True)
    }


def medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each measurement, by name."""
    return {name: median(turn[name] for turn in turns) for name in MEASURES}


def rounded(value: float) -> str:
    """Return a measurement with three digits, or without decimals if it has more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def measure(folder: Path, benchmark: str, model: str) -> dict[str, float]:
    """Run a `plotify bench` command once on a checkout's server. Return its measurements by name.

    Raises:
        ChildProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "figures.json"
        flags = ("--model", model, "--rounds", "1", *FLAGS[benchmark], "--json", str(file))
        command = [sys.executable, "-c", PROGRAM, "bench", benchmark, *flags]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ChildProcessError(f"plotify bench {benchmark} failed in {folder}: {done.stderr.strip()[-500:]}")
        content = json.loads(file.read_text(encoding="utf-8"))
    return {name: each.read(content) for name, each in MEASURES.items() if each.benchmark == benchmark}


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Yield a folder with the files of a commit, and with the benchmarks of this checkout.

    Raises:
        ChildProcessError: git does not know the commit.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "before"
        _git("worktree", "add", "--detach", str(folder), commit)
        try:
            shutil.rmtree(folder / "benchmarks", ignore_errors=True)
            shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def reference_speed(seconds: float = 1.0) -> float:
    """Return the speed of a product of float32 matrices on all cores, in billions of operations a second."""
    left = np.ones((SIZE, SIZE), np.float32)
    products, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        left @ left
        products += 1
    return products * 2 * SIZE**3 / (time.perf_counter() - start) / 1e9


def write_table(file: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Write the page with a line for each run, the latest first."""
    units = [f"{name}, {each.unit}" for name, each in MEASURES.items()]
    lines = [["date", "commit", "machine", "reference", *units], ["---"] * (4 + len(units))]
    for run in reversed(runs):
        machine = f"{run['cores']} cores of {run['machine']['processor']}"
        figures = [rounded(run["measures"][name]) if name in run["measures"] else "–" for name in MEASURES]
        lines.append([run["date"][:10], run["commit"] or "–", machine, f"{run['reference']:.0f}", *figures])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    file.write_text(f"{INTRODUCTION}\n{table}\n", encoding="utf-8")


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
