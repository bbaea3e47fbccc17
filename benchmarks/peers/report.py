"""The figures of all contenders as a table, as JSON and as a chart."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.peers.course import PROBES, Course, Figures
from benchmarks.peers.neighbours import DISTURBING
from benchmarks.peers.ratios import OURS, Agreement, agreements, ratios


def peers_table(title: str, figures: Sequence[Figures], course: Course) -> Table:
    """A row for each contender, a column for each concurrency; what `remarks` says belongs underneath."""
    alike = agreements(figures)
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column("requests at once", no_wrap=True)
    for concurrency in course.concurrency:
        table.add_column(str(concurrency), justify="right", no_wrap=True)
    table.add_column("agreement", justify="right", no_wrap=True)
    for each in figures:
        table.add_row(
            each.name,
            *(_speed(each.speeds.get(concurrency)) for concurrency in course.concurrency),
            _share(alike.get(each.name)),
            style="bold" if each.name.startswith(OURS) else None,
        )
    return table


def remarks(figures: Sequence[Figures], course: Course) -> list[str]:
    """Lines to be read with the table: what its figures are, which are missing or of fewer rounds, and the ratios."""
    lines = [
        f"Tokens per second, whole requests of {course.prompt_tokens} + {course.new_tokens} tokens, medians.",
        f"Agreement: share of {PROBES} prompts with PyTorch's first token / first {course.probe_tokens} tokens.",
    ]
    for each in figures:
        if each.problem:
            lines.append(f"{each.name}: {each.problem}")
        for concurrency, warm in each.warm_seconds.items():
            counted = len(each.speeds.get(concurrency, []))
            if counted < course.rounds:
                why = "it failed" if each.problem else f"its warm turn took {warm:.0f} s"
                lines.append(f"{each.name}, {concurrency} at once: {counted} of {course.rounds} rounds, as {why}")
        for concurrency, cores in each.others.items():
            if max(cores) > DISTURBING:
                lines.append(
                    f"{each.name}, {concurrency} at once: others used {min(cores):.1f} to {max(cores):.1f} cores "
                    "meanwhile; measure again on a quiet machine"
                )
    return lines + [str(ratio) for ratio in ratios(figures)]


def as_results(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """For `benchmarks.report.write_json`: each contender, then the ratios."""
    alike = agreements(figures)
    return [
        {
            "name": each.name,
            "precision": each.precision,
            "install": each.install,
            "problem": each.problem,
            "versions": each.versions,
            "agreement": asdict(alike[each.name]) if each.name in alike else None,
            "warm_seconds": {str(count): seconds for count, seconds in each.warm_seconds.items()},
            "tokens_per_second": {str(count): speeds for count, speeds in each.speeds.items()},
            "others_cores": {str(count): cores for count, cores in each.others.items()},
        }
        for each in figures
    ]


def draw(file: Path, title: str, figures: Sequence[Figures], course: Course) -> None:
    """A bar chart as PNG: a panel for each concurrency, a bar for each contender that was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = [each for each in figures if each.speeds]
    chart = Figure(figsize=(4 * len(course.concurrency) + 1, 1.5 + 0.32 * len(measured)), layout="constrained")
    FigureCanvasAgg(chart)
    panels = chart.subplots(1, len(course.concurrency), sharey=True, squeeze=False)[0]
    for panel, concurrency in zip(panels, course.concurrency, strict=True):
        speeds = [median(each.speeds.get(concurrency, [0.0])) for each in measured]
        colours = ["tab:orange" if each.name.startswith(OURS) else "tab:blue" for each in measured]
        bars = panel.barh([each.name for each in measured], speeds, color=colours)
        panel.bar_label(bars, labels=[f"{speed:.0f}" if speed else "" for speed in speeds], padding=2)
        panel.margins(x=0.15)
        panel.set_title(f"{concurrency} at once")
        panel.set_xlabel("tokens/s")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    chart.suptitle(title)
    chart.savefig(file, dpi=120)


def _speed(rounds: Sequence[float] | None) -> str:
    return f"{median(rounds):.1f}" if rounds else "–"


def _share(agreement: Agreement | None) -> str:
    return f"{agreement.first:.0%} / {agreement.all:.0%}" if agreement else "–"
