"""The charts of a load test, as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.charts import chart
from benchmarks.load.figures import LoadFigures
from benchmarks.load.run import LoadRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = {50: "-", 95: "--", 99: ":"}
BIN = 1.0
"""Seconds of a step of the time line."""


def draw_latency(file: Path, figures: Sequence[LoadFigures], axis: str) -> None:
    """Percentiles of first and next token against the load; an arrow at figures that would have been longer."""
    with chart(file, 10) as figure:
        for panel, title in zip(figure.subplots(1, 2), ("first token", "next token"), strict=True):
            for number, target in enumerate(_targets(figures)):
                own = [
                    (each.level, getattr(each, title.replace(" ", "_"))) for each in figures if each.target == target
                ]
                for rank, line in LINES.items():
                    points = sorted((level, found.seconds[rank]) for level, found in own if rank in found.seconds)
                    marked = [(level, found.seconds[rank]) for level, found in own if rank in found.at_least]
                    for some, style in ((points, f"o{line}"), (marked, "^")):
                        if some:
                            label = f"{target}, p{rank}" if some is points else None
                            size = 6 if some is points else 10
                            panel.plot(
                                *zip(*some, strict=True), style, color=f"C{number}", label=label, markersize=size
                            )
            panel.set_yscale("log")
            _loads(panel, figures)
            _finish(panel, title, axis, "seconds")


def draw_throughput(file: Path, figures: Sequence[LoadFigures], axis: str) -> None:
    """Tokens per second against the load; hollow where the figure is doubtful."""
    with chart(file, 6) as figure:
        panel = figure.subplots()
        for number, target in enumerate(_targets(figures)):
            own = [(each.level, each.tokens_per_second, each.doubts) for each in figures if each.target == target]
            panel.plot(*zip(*sorted(each[:2] for each in own), strict=True), "-", color=f"C{number}", label=target)
            for level, speed, doubts in own:
                face = "white" if doubts else f"C{number}"
                panel.plot(level, speed, "o", color=f"C{number}", markerfacecolor=face)
        panel.set_yscale("log")
        _loads(panel, figures)
        _finish(panel, "throughput (hollow: not to be trusted)", axis, "tokens/s")


def draw_time_line(file: Path, run: LoadRun) -> None:
    """One run, second by second: users, tokens, and how long each request waited for its first token."""
    start = run.stages[0].at
    end = max(run.stages[-1].at, start + BIN)
    with chart(file, 10, 5) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        edges = np.arange(0, end - start + BIN, BIN)
        arrivals = [arrival for each in run.asked for arrival in each.timing.arrivals]
        times, weights = [time - start for time, _ in arrivals], [tokens for _, tokens in arrivals]
        above.stairs(
            np.histogram(times, edges, weights=weights)[0] / BIN, edges, label="tokens/s", fill=True, alpha=0.5
        )
        users = above.twinx()
        users.step([each.at - start for each in run.stages], [each.users for each in run.stages], "k-", where="post")
        users.set(ylabel="users")
        users.set_ylim(bottom=0)
        _finish(above, f"{run.target}, {run.label}", "", "tokens/s")
        begun = [each for each in run.asked if each.arrivals]
        waits = [each.arrivals[0] - each.submitted for each in begun]
        below.plot([each.submitted - start for each in begun], waits, ".", label="first token")
        failed = [each.submitted - start for each in run.asked if each.failed]
        below.plot(failed, [0.0] * len(failed), "rx", label="failed")
        _finish(below, "", "seconds", "seconds to the first token")


def draw_trend(file: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Tokens per second of each run of a history, in their order: a line for each target and load."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for number, entry in enumerate(entries):
        for result in entry["results"]:
            name = f"{entry['settings']['model']}: {result['target']}, {result['label']}"
            lines.setdefault(name, []).append((number, result["tokens_per_second"]))
    with chart(file, 10) as figure:
        panel = figure.subplots()
        for name, points in lines.items():
            panel.plot(*zip(*points, strict=True), "o-", label=name)
        panel.set_yscale("log")
        dates = [f"{entry['date'][:16]}\n{entry.get('commit') or ''}" for entry in entries]
        panel.set_xticks(range(len(entries)), dates, fontsize=7)
        _finish(panel, "tokens per second, run by run", "", "tokens/s")


def _loads(panel: "Axes", figures: Sequence[LoadFigures]) -> None:
    levels = sorted({each.level for each in figures})
    panel.set_xscale("log", base=2)
    panel.set_xticks(levels, [f"{level:g}" for level in levels])
    panel.set_xticks([], minor=True)


def _finish(panel: "Axes", title: str, across: str, up: str) -> None:
    panel.set(title=title, xlabel=across, ylabel=up)
    panel.grid(alpha=0.3)
    panel.spines[["top"]].set_visible(False)
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=7)


def _targets(figures: Sequence[LoadFigures]) -> list[str]:
    return list(dict.fromkeys(each.target for each in figures))
