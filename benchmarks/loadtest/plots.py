"""The pictures of a load test, as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.loadtest.figures import Figures
from benchmarks.loadtest.record import Asked, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = {50: "-", 95: "--", 99: ":"}
BIN = 1.0
"""Seconds of a step of the time line."""


def draw_latency(file: Path, figures: Sequence[Figures], axis: str) -> None:
    """Percentiles of first and next token against the load; an arrow at what would have been longer."""
    chart = _figure(10)
    panels = chart.subplots(1, 2)
    for panel, title in zip(panels, ("first token", "next token"), strict=True):
        for number, target in enumerate(_targets(figures)):
            for rank, line in LINES.items():
                points = []
                for each in figures:
                    found = each.first_token if title == "first token" else each.next_token
                    if each.target == target and rank in found.seconds:
                        points.append((each.level, found.seconds[rank], rank in found.at_least))
                if not points:
                    continue
                levels, seconds, _ = zip(*sorted(points), strict=True)
                colour = f"C{number}"
                panel.plot(levels, seconds, line, marker="o", color=colour, label=f"{target}, p{rank}")
                marked = [point[:2] for point in points if point[2]]
                if marked:
                    panel.plot(*zip(*marked, strict=True), "^", color=colour, markersize=10)
        panel.set_yscale("log")
        _loads(panel, figures)
        _finish(panel, title, axis, "seconds")
    chart.savefig(file, dpi=110)


def draw_throughput(file: Path, figures: Sequence[Figures], axis: str) -> None:
    """Tokens per second against the load; hollow where the figure is doubtful."""
    chart = _figure(6)
    panel = chart.subplots()
    for number, target in enumerate(_targets(figures)):
        own = sorted((each for each in figures if each.target == target), key=lambda each: each.level)
        colour = f"C{number}"
        panel.plot(
            [each.level for each in own], [each.tokens_per_second for each in own], "-", color=colour, label=target
        )
        for each in own:
            face = "white" if each.doubts else colour
            panel.plot(each.level, each.tokens_per_second, "o", color=colour, markerfacecolor=face)
    panel.set_yscale("log")
    _loads(panel, figures)
    _finish(panel, "throughput (hollow: not to be trusted)", axis, "tokens/s")
    chart.savefig(file, dpi=110)


def draw_time_line(file: Path, title: str, asked: Sequence[Asked], stages: Sequence[Stage]) -> None:
    """One run, second by second: users, tokens, and how long each request waited for its first token."""
    start, end = stages[0].at, max(stages[-1].at, stages[0].at + BIN)
    chart = _figure(10, 5)
    above, below = chart.subplots(2, 1, sharex=True)
    edges = np.arange(0, end - start + BIN, BIN)
    times = [(time - start, count) for each in asked for time, count in each.timing.arrivals]
    counts, _ = np.histogram([time for time, _ in times], edges, weights=[count for _, count in times])
    above.stairs(counts / BIN, edges, label="tokens/s", fill=True, alpha=0.5)
    users = above.twinx()
    users.step([stage.at - start for stage in stages], [stage.users for stage in stages], "k-", where="post")
    users.set_ylabel("users")
    users.set_ylim(bottom=0)
    _finish(above, title, "", "tokens/s")
    first = [(each.submitted - start, each.arrivals[0] - each.submitted) for each in asked if each.arrivals]
    failed = [each.submitted - start for each in asked if each.failed]
    below.plot([at for at, _ in first], [seconds for _, seconds in first], ".", label="first token")
    below.plot(failed, [0.0] * len(failed), "rx", label="failed")
    _finish(below, "", "seconds", "seconds to the first token")
    chart.savefig(file, dpi=110)


def draw_trend(file: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Tokens per second of each run of a history, in their order: a line for each target and load."""
    chart = _figure(10)
    panel = chart.subplots()
    lines: dict[str, list[tuple[int, float]]] = {}
    for number, entry in enumerate(entries):
        for result in entry["results"]:
            name = f"{entry['settings']['model']}: {result['target']}, {result['label']}"
            lines.setdefault(name, []).append((number, result["tokens_per_second"]))
    for name, points in lines.items():
        panel.plot(*zip(*points, strict=True), "o-", label=name)
    panel.set_yscale("log")
    dates = [f"{entry['date'][:16]}\n{entry.get('commit') or ''}" for entry in entries]
    panel.set_xticks(range(len(entries)), dates, fontsize=7)
    _finish(panel, "tokens per second, run by run", "", "tokens/s")
    chart.savefig(file, dpi=110)


def _figure(width: float, height: float = 4.0) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chart = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(chart)
    return chart


def _loads(panel: "Axes", figures: Sequence[Figures]) -> None:
    levels = sorted({each.level for each in figures})
    panel.set_xscale("log", base=2)
    panel.set_xticks(levels, [f"{level:g}" for level in levels])
    panel.set_xticks([], minor=True)


def _finish(panel: "Axes", title: str, across: str, up: str) -> None:
    panel.set_title(title)
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    panel.grid(alpha=0.3)
    panel.spines[["top"]].set_visible(False)
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=7)


def _targets(figures: Sequence[Figures]) -> list[str]:
    return list(dict.fromkeys(each.target for each in figures))
