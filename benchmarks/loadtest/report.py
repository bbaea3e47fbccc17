"""The report of a load test: a page that needs no other file, pictures, and the figures as JSON and CSV."""

import base64
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from benchmarks.loadtest.drive import TARGETS
from benchmarks.loadtest.figures import Figures, Percentiles
from benchmarks.loadtest.record import Asked
from benchmarks.report import milliseconds
from benchmarks.timing import PERCENTILES

BASELINE, OURS = "eager", "served"
NONE = "–"


def write_page(file: Path, content: dict[str, Any], figures: Sequence[Figures], pictures: Sequence[Path]) -> None:
    """content: as load.json has it, for the circumstances and the settings."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(("html", "jinja")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    inline = [(each.stem, base64.b64encode(each.read_bytes()).decode()) for each in pictures]
    page = environment.get_template("report.html.jinja").render(
        content=content,
        circumstances={"commit": content["commit"], **content["machine"], **content["versions"]},
        targets=TARGETS,
        headline=headline(figures),
        rows=[_row(each) for each in figures],
        ranks=" / ".join(f"p{rank}" for rank in PERCENTILES),
        pictures=inline,
    )
    file.write_text(page, encoding="utf-8")


def headline(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """For each load that ours and the baseline both had: the speeds, and how many times better ours is.

    A ratio of which a side is doubtful is doubtful.
    """
    found = []
    by_load = {(each.target, each.label): each for each in figures}
    for ours in (each for each in figures if each.target == OURS):
        theirs = by_load.get((BASELINE, ours.label))
        if theirs is None:
            continue
        slow, fast = theirs.next_token.seconds.get(50), ours.next_token.seconds.get(50)
        found.append(
            {
                "label": ours.label,
                "ours": f"{ours.tokens_per_second:.1f}",
                "theirs": f"{theirs.tokens_per_second:.1f}",
                "throughput": _times(ours.tokens_per_second, theirs.tokens_per_second),
                "next_token": _times(slow, fast),
                "first_ours": told(ours.first_token, 95),
                "first_theirs": told(theirs.first_token, 95),
                "doubtful": bool(ours.doubts or theirs.doubts),
            }
        )
    return found


def told(found: Percentiles, rank: int) -> str:
    """In milliseconds, with > where it would have been longer; a dash where there are too few samples."""
    if rank not in found.seconds:
        return NONE
    return f"{'> ' if rank in found.at_least else ''}{milliseconds(found.seconds[rank])}"


def write_requests(file: Path, runs: Sequence[tuple[str, str, Sequence[Asked]]]) -> None:
    """A line for each request: the target, the load, and when it was submitted, began and ended, in seconds."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(
            ("target", "load", "behaviour", "submitted", "first_token", "ended", "prompt_tokens", "tokens", "problem")
        )
        for target, label, asked in runs:
            for each in asked:
                first = each.arrivals[0] if each.arrivals else ""
                times = (each.submitted, first, each.ended)
                table.writerow(
                    (target, label, each.behaviour, *times, each.prompt_tokens, each.tokens, each.problem or "")
                )


def as_results(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """For JSON, which has no numbers as keys."""
    return [json.loads(json.dumps(asdict(each))) for each in figures]


def _row(each: Figures) -> dict[str, Any]:
    return {
        "target": each.target,
        "label": each.label,
        "requests": f"{each.answered} of {each.requests}",
        "failures": each.failures,
        "prompt": f"{each.prompt_tokens:g}",
        "speed": f"{each.tokens_per_second:.1f}",
        "first_token": " / ".join(told(each.first_token, rank) for rank in PERCENTILES),
        "next_token": " / ".join(told(each.next_token, rank) for rank in PERCENTILES),
        "generator": f"{each.shares.generator:.2f}",
        "server": f"{each.shares.server:.2f}",
        "doubts": each.doubts,
    }


def _times(more: float | None, less: float | None) -> str:
    return f"{more / less:.1f} ×" if more and less else NONE
