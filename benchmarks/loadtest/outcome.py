"""From the runs of a load test to its report and to the history."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.loadtest.drive import Run
from benchmarks.loadtest.figures import Figures, miscounted, summarise, windows
from benchmarks.loadtest.history import append
from benchmarks.loadtest.plots import draw_latency, draw_throughput, draw_time_line
from benchmarks.loadtest.report import as_results, write_page, write_requests
from benchmarks.loadtest.shapes import knee, users_label
from benchmarks.report import write_json

Runs = Sequence[tuple[str, str, float, Run]]
"""Of each run: its target, its label, its users or its rate, and what it left."""


def figures_of(target: str, label: str, level: float, run: Run, shape: str) -> list[Figures]:
    """Of each stage of a run; of the two halves of a soak, which ought to be alike."""
    found = []
    for number, (start, end, users) in enumerate(windows(run.stages)):
        parts = [(label if shape in ("steady", "poisson") else users_label(users), start, end)]
        if shape == "spike":
            parts = [(f"{users_label(users)}, {('before', 'in the spike', 'after')[number]}", start, end)]
        if shape == "soak":
            middle = (start + end) / 2
            parts = [
                (f"{users_label(users)}, first half", start, middle),
                (f"{users_label(users)}, second half", middle, end),
            ]
        for name, begin, finish in parts:
            shares = run.watch.shares(begin, finish)
            of_level = level if shape == "poisson" else float(users)
            found.append(summarise(target, of_level, name, run.asked, begin, finish, shares))
    doubt = miscounted(sum(each.tokens for each in run.asked), run.written)
    return [replace(each, doubts=(*each.doubts, doubt)) for each in found] if doubt else found


def knees(figures: Sequence[Figures]) -> str:
    """Of each target: the users from which on twice as many bring hardly more, where they came to that."""
    found = []
    for target in dict.fromkeys(each.target for each in figures):
        own = sorted((each for each in figures if each.target == target), key=lambda each: each.level)
        speeds = [each.tokens_per_second for each in own]
        bent = next((number for number in range(len(own)) if knee(speeds[: number + 1])), None)
        found.append(f"{target}: {'not reached' if bent is None else own[bent - 1].label}")
    return ", ".join(found)


def write_report(out: Path, history: Path, settings: dict[str, Any], runs: Runs) -> list[Figures]:
    """All files of the report, and a line of history; the figures."""
    shape = settings["shape"]
    figures = [each for target, label, level, run in runs for each in figures_of(target, label, level, run, shape)]
    counts = [
        {"target": target, "label": label, "received": sum(each.tokens for each in run.asked), "written": run.written}
        for target, label, _, run in runs
    ]
    axis = "requests a second" if shape == "poisson" else "users"
    draw_latency(out / "latency.png", figures, axis)
    draw_throughput(out / "throughput.png", figures, axis)
    pictures = [out / "latency.png", out / "throughput.png"]
    if shape != "steady":
        for target, label, _, run in runs:
            pictures.append(out / f"time-line-{target}-{label.replace(' ', '-')}.png")
            draw_time_line(pictures[-1], f"{target}, {label}", run.asked, run.stages)
    if shape == "knee":
        settings = {**settings, "knee": knees(figures)}
    write_json(out / "load.json", "load", {**settings, "counts": counts}, as_results(figures))
    content = json.loads((out / "load.json").read_text(encoding="utf-8"))
    write_page(out / "report.html", content, figures, pictures)
    write_requests(out / "requests.csv", [(target, label, run.asked) for target, label, _, run in runs])
    append(history, content)
    return figures
