"""The report of a load test: a self-contained page, charts, and the figures as JSON and CSV."""

import base64
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from benchmarks import frame
from benchmarks.charts import chart, draw_line, finish, scale_up
from benchmarks.latency import PERCENTILES, RANKS, milliseconds
from benchmarks.load.compare import append
from benchmarks.load.figures import LoadFigures, Percentiles, figures_of, knees
from benchmarks.load.run import TARGETS, LoadRun

BASELINE, OURS = "eager", "served"
NONE = "–"
COLUMNS = "target load behaviour submitted first_token ended prompt_tokens tokens problem"


def write_report(out: Path, history: Path, settings: dict[str, Any], runs: Sequence[LoadRun]) -> list[LoadFigures]:
    """Write all files of the report, append a line to the history, and return the figures."""
    shape = settings["shape"]
    figures = [each for run in runs for each in figures_of(run, shape)]
    axis = "requests a second" if shape == "poisson" else "users"
    pictures = [out / "latency.png", out / "throughput.png"]
    draw_latency(pictures[0], figures, axis)
    draw_throughput(pictures[1], figures, axis)
    if shape != "steady":
        for run in runs:
            pictures.append(out / f"time-line-{run.target}-{run.label.replace(' ', '-')}.png")
            draw_time_line(pictures[-1], run)
    if shape == "knee":
        settings = {**settings, "knee": knees(figures)}
    counts = [{name: getattr(run, name) for name in ("target", "label", "received", "written")} for run in runs]
    # JSON has no numbers as keys.
    results = json.loads(json.dumps([asdict(each) for each in figures]))
    frame.write_json(out / "load.json", {**settings, "counts": counts}, results)
    content = json.loads((out / "load.json").read_text(encoding="utf-8"))
    write_page(out / "report.html", content, figures, pictures)
    write_requests(out / "requests.csv", runs)
    append(history, content)
    return figures


def print_headline(model: str, figures: Sequence[LoadFigures]) -> None:
    """Print the figures as a table, and how they compare with the baseline's."""
    headings = ("target", "load", "tokens/s", "first token", "next token", "answered", "failed")

    def row(each: LoadFigures) -> tuple[str, ...]:
        waits = (" / ".join(told(found, rank) for rank in PERCENTILES) for found in (each.first_token, each.next_token))
        speed = f"({each.tokens_per_second:.1f}?)" if each.doubts else f"{each.tokens_per_second:.1f}"
        return each.target, each.label, speed, *waits, str(each.answered), str(each.failures)

    caption = f"first, next token: {RANKS} in milliseconds; in parentheses: doubtful, the report says why"
    frame.print_table(model, headings, map(row, figures), caption)
    for ours, baseline in pairs(figures):
        ratio = times(ours.tokens_per_second, baseline.tokens_per_second)
        click.echo(f"{ours.label}: {ratio} the baseline's tokens per second")


def write_page(file: Path, content: dict[str, Any], figures: Sequence[LoadFigures], pictures: Sequence[Path]) -> None:
    """Write the page from its template. `content` is that of load.json."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(("html", "jinja")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        content=content,
        circumstances={"commit": content["commit"], **content["machine"], **content["versions"]},
        targets=TARGETS,
        pairs=pairs(figures),
        rows=figures,
        percentiles=PERCENTILES,
        told=told,
        times=times,
        pictures=[(each.stem, base64.b64encode(each.read_bytes()).decode()) for each in pictures],
    )
    file.write_text(page, encoding="utf-8")


def pairs(figures: Sequence[LoadFigures]) -> list[tuple[LoadFigures, LoadFigures]]:
    """Return our figures and the baseline's, for each load with both."""
    baseline = {each.label: each for each in figures if each.target == BASELINE}
    return [(each, baseline[each.label]) for each in figures if each.target == OURS and each.label in baseline]


def told(found: Percentiles, rank: int, unit: str = "") -> str:
    """Return a percentile in milliseconds, with > if it is a lower bound; a dash without enough samples."""
    if rank not in found.seconds:
        return NONE
    return f"{'> ' if rank in found.at_least else ''}{milliseconds(found.seconds[rank])}{unit}"


def times(more: float | None, less: float | None) -> str:
    """Return the ratio of two figures; a dash if one is missing."""
    return f"{more / less:.1f} ×" if more and less else NONE


def write_requests(file: Path, runs: Sequence[LoadRun]) -> None:
    """Write a CSV line for each request, with its times in seconds."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(COLUMNS.split())
        for run in runs:
            for each in run.asked:
                begun = each.arrivals[0] if each.arrivals else ""
                counts = (each.prompt_tokens, each.tokens, each.problem or "")
                table.writerow((run.target, run.label, each.behaviour, each.submitted, begun, each.ended, *counts))


if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = {50: ("-", "o"), 95: ("--", "s"), 99: (":", "D")}
"""The line and the mark of each percentile, so that nobody needs colours to tell them apart."""

BIN = 1.0
"""Width of a step of the time line, in seconds."""


def draw_latency(file: Path, figures: Sequence[LoadFigures], axis: str) -> None:
    """Draw the percentiles of first and next token against the load. An arrow marks a lower bound."""
    with chart(file, 10) as figure:
        for panel, title in zip(figure.subplots(1, 2), ("first token", "next token"), strict=True):
            name, drawn = title.replace(" ", "_"), list[float]()
            for number, target in enumerate(_targets(figures)):
                own = [
                    (each.level, getattr(each, name), bool(each.doubts)) for each in figures if each.target == target
                ]
                for rank, (line, mark) in LINES.items():
                    points = [
                        (level, 1e3 * found.seconds[rank], doubtful)
                        for level, found, doubtful in own
                        if rank in found.seconds
                    ]
                    if points:
                        draw_line(panel, points, f"{target}, p{rank}", f"C{number}", line, mark)
                        drawn += [value for _, value, _ in points]
                    for level, found, _ in own:
                        if rank in found.at_least:
                            above = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center"}
                            panel.annotate("↑", (level, 1e3 * found.seconds[rank]), color=f"C{number}", **above)
            scale_up(panel, drawn)
            _loads(panel, figures)
            finish(panel, f"{title} (hollow: doubtful, ↑: at least)", axis, "milliseconds")


def draw_throughput(file: Path, figures: Sequence[LoadFigures], axis: str) -> None:
    """Draw the tokens per second against the load. Doubtful figures are hollow."""
    with chart(file, 6) as figure:
        panel = figure.subplots()
        for number, target in enumerate(_targets(figures)):
            own = [(each.level, each.tokens_per_second, bool(each.doubts)) for each in figures if each.target == target]
            draw_line(panel, own, target, f"C{number}")
        scale_up(panel, [each.tokens_per_second for each in figures])
        _loads(panel, figures)
        finish(panel, "throughput (hollow: doubtful)", axis, "tokens/s")


def draw_time_line(file: Path, run: LoadRun) -> None:
    """Draw one run second by second: users, tokens, and the time to the first token of each request."""
    start = run.stages[0].at
    end = max(run.stages[-1].at, start + BIN)
    with chart(file, 10, 5) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        edges = np.arange(0, end - start + BIN, BIN)
        arrivals = [arrival for each in run.asked for arrival in each.timing.arrivals]
        times, weights = [time - start for time, _ in arrivals], [tokens for _, tokens in arrivals]
        speeds = np.histogram(times, edges, weights=weights)[0] / BIN
        above.stairs(speeds, edges, label="tokens/s", fill=True, alpha=0.5)
        users = above.twinx()
        users.step([each.at - start for each in run.stages], [each.users for each in run.stages], "k-", where="post")
        users.set(ylabel="users")
        users.set_ylim(bottom=0)
        finish(above, f"{run.target}, {run.label}", "", "tokens/s")
        begun = [each for each in run.asked if each.arrivals]
        waits = [1e3 * (each.arrivals[0] - each.submitted) for each in begun]
        below.plot([each.submitted - start for each in begun], waits, ".", label="first token")
        failed = [each.submitted - start for each in run.asked if each.failed]
        below.plot(failed, [0.0] * len(failed), "rx", label="failed")
        finish(below, "", "seconds", "milliseconds to the first token")


def _loads(panel: "Axes", figures: Sequence[LoadFigures]) -> None:
    levels = sorted({each.level for each in figures})
    panel.set_xscale("log", base=2)
    panel.set_xticks(levels, [f"{level:g}" for level in levels])
    panel.set_xticks([], minor=True)


def _targets(figures: Sequence[LoadFigures]) -> list[str]:
    return list(dict.fromkeys(each.target for each in figures))
