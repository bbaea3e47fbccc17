"""The report of a load test: a page that needs no other file, pictures, and the figures as JSON and CSV."""

import base64
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from benchmarks import frame
from benchmarks.latency import PERCENTILES, milliseconds
from benchmarks.load.charts import draw_latency, draw_throughput, draw_time_line
from benchmarks.load.compare import append
from benchmarks.load.figures import LoadFigures, Percentiles, figures_of, knees
from benchmarks.load.run import TARGETS, LoadRun

BASELINE, OURS = "eager", "served"
NONE = "–"
COLUMNS = "target load behaviour submitted first_token ended prompt_tokens tokens problem"


def write_report(out: Path, history: Path, settings: dict[str, Any], runs: Sequence[LoadRun]) -> None:
    """Writes all files of the report, and a line of history."""
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
    # In JSON no numbers are keys.
    results = json.loads(json.dumps([asdict(each) for each in figures]))
    frame.write_json(out / "load.json", {**settings, "counts": counts}, results)
    content = json.loads((out / "load.json").read_text(encoding="utf-8"))
    write_page(out / "report.html", content, figures, pictures)
    write_requests(out / "requests.csv", runs)
    append(history, content)


def write_page(file: Path, content: dict[str, Any], figures: Sequence[LoadFigures], pictures: Sequence[Path]) -> None:
    """Fills the template. content: as load.json has it, for the circumstances and the settings."""
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
    """The figures of ours and of the baseline, for each load that both had."""
    baseline = {each.label: each for each in figures if each.target == BASELINE}
    return [(each, baseline[each.label]) for each in figures if each.target == OURS and each.label in baseline]


def told(found: Percentiles, rank: int, unit: str = "") -> str:
    """A percentile in milliseconds, with > where it would have been longer; a dash where there are too few samples."""
    if rank not in found.seconds:
        return NONE
    return f"{'> ' if rank in found.at_least else ''}{milliseconds(found.seconds[rank])}{unit}"


def times(more: float | None, less: float | None) -> str:
    """The ratio of two figures; a dash where one of them is not there."""
    return f"{more / less:.1f} ×" if more and less else NONE


def write_requests(file: Path, runs: Sequence[LoadRun]) -> None:
    """A line for each request: the target, the load, and when it was submitted, began and ended, in seconds."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(COLUMNS.split())
        for run in runs:
            for each in run.asked:
                begun = each.arrivals[0] if each.arrivals else ""
                counts = (each.prompt_tokens, each.tokens, each.problem or "")
                table.writerow((run.target, run.label, each.behaviour, each.submitted, begun, each.ended, *counts))
