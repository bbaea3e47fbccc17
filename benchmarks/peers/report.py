"""The report on all contenders: ratios, agreement, a table, JSON and a chart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import frame
from benchmarks.charts import chart
from benchmarks.peers.contenders import PROBES, PeerFigures, Workload
from benchmarks.processor_time import DISTURBING

OURS = "Plotify"
"""The names of our engine's contenders begin with this."""

REFERENCE = "PyTorch eager"
"""The contender to compare the others' tokens with."""

ALONE = ("llama.cpp q4_0", "llama.cpp q8_0", "TensorFlow eager")
"""The contenders to compare with at one request at a time."""


@dataclass(frozen=True)
class Agreement:
    """The share of probes, 0 to 1, with the reference's first new token, and with all its new tokens."""

    first: float
    all: float


@dataclass(frozen=True)
class Ratio:
    """The ratio of our tokens per second to theirs, with `concurrency` requests at once."""

    concurrency: int
    ours: str
    theirs: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.concurrency} at once: {self.ours} is {self.ratio:.2f} times as fast as {self.theirs}"


def agreements(figures: Sequence[PeerFigures]) -> dict[str, Agreement]:
    """Return the agreement of each contender with tokens, by name; empty without the reference's tokens."""
    written = {each.name: each.texts for each in figures if each.texts}

    def share(texts: Sequence[Sequence[int]], tokens: int | None) -> float:
        pairs = zip(texts, written[REFERENCE], strict=True)
        return sum(list(text[:tokens]) == list(right[:tokens]) for text, right in pairs) / len(texts)

    if REFERENCE not in written:
        return {}
    return {name: Agreement(share(texts, 1), share(texts, None)) for name, texts in written.items()}


def ratios(figures: Sequence[PeerFigures]) -> list[Ratio]:
    """Return the ratios of all measured contenders.

    int8 and fp16 compare with the best peer, fp32 with the best fp32 peer. With one request at a time, our best
    quantized or fp16 engine also compares with each of `ALONE`.
    """
    ours = [each for each in figures if each.name.startswith(OURS)]
    peers = [each for each in figures if not each.name.startswith(OURS)]
    found: list[Ratio | None] = []
    for concurrency in sorted({count for each in figures for count in each.speeds}):
        alike = [each for each in peers if each.precision == "fp32"]
        for precision, rivals in (("int8", peers), ("fp16", peers), ("fp32", alike)):
            mine = [each for each in ours if each.precision == precision]
            found.append(_ratio(concurrency, mine, rivals))
    quantised = [each for each in ours if each.precision != "fp32"]
    for name in ALONE:
        found.append(_ratio(1, quantised, [each for each in peers if each.name == name]))
    return list(dict.fromkeys(ratio for ratio in found if ratio is not None))


def _ratio(concurrency: int, ours: Sequence[PeerFigures], theirs: Sequence[PeerFigures]) -> Ratio | None:
    """Return the ratio of the fastest of each side; None if a side has no figures."""
    mine, rivals = ([each for each in side if each.speeds.get(concurrency)] for side in (ours, theirs))
    if not mine or not rivals:
        return None

    def speed(each: PeerFigures) -> float:
        return median(each.speeds[concurrency])

    best, rival = max(mine, key=speed), max(rivals, key=speed)
    return Ratio(concurrency, best.name, rival.name, speed(best) / speed(rival))


def print_peers(title: str, figures: Sequence[PeerFigures], workload: Workload) -> None:
    """Print a table with a row for each contender and a column for each concurrency.

    Print `remarks` below it.
    """
    alike = agreements(figures)

    def row(each: PeerFigures) -> list[str]:
        speeds = (each.speeds.get(concurrency) for concurrency in workload.concurrency)
        same = alike.get(each.name)
        agreement = f"{same.first:.0%} / {same.all:.0%}" if same else "–"
        return [each.name, *(f"{median(found):.1f}" if found else "–" for found in speeds), agreement]

    headings = ("requests at once", *map(str, workload.concurrency), "agreement")
    frame.print_table(title, headings, map(row, figures), bold=OURS)


def remarks(figures: Sequence[PeerFigures], workload: Workload) -> list[str]:
    """Return lines to print below the table: its units, missing or fewer rounds, and the ratios."""
    lines = [
        f"Tokens per second, whole requests of {workload.prompt_tokens} + {workload.new_tokens} tokens, medians.",
        f"Agreement: share of {PROBES} prompts with PyTorch's first token / first {workload.probe_tokens} tokens.",
    ]
    for each in figures:
        if each.problem:
            lines.append(f"{each.name}: {each.problem}")
        for concurrency, warm in each.warm_seconds.items():
            counted = len(each.speeds.get(concurrency, []))
            if counted < workload.rounds:
                why = "it failed" if each.problem else f"its warm turn took {warm:.0f} s"
                lines.append(
                    f"{each.name}, {concurrency} at once: {counted} of {workload.rounds} rounds, because {why}"
                )
        for concurrency, cores in each.others.items():
            if max(cores) > DISTURBING:
                lines.append(
                    f"{each.name}, {concurrency} at once: others used {min(cores):.1f} to {max(cores):.1f} cores "
                    "meanwhile; measure again on a quiet machine"
                )
    return lines + [str(ratio) for ratio in ratios(figures)]


def as_results(figures: Sequence[PeerFigures]) -> list[dict[str, Any]]:
    """Return the figures of each contender for JSON. JSON has no numbers as keys."""

    def by_count(found: dict[int, Any]) -> dict[str, Any]:
        return {str(count): value for count, value in found.items()}

    alike = agreements(figures)
    return [
        {name: getattr(each, name) for name in ("name", "precision", "install", "problem", "versions")}
        | {
            "agreement": asdict(alike[each.name]) if each.name in alike else None,
            "warm_seconds": by_count(each.warm_seconds),
            "tokens_per_second": by_count(each.speeds),
            "others_cores": by_count(each.others),
        }
        for each in figures
    ]


def draw(file: Path, title: str, figures: Sequence[PeerFigures], workload: Workload) -> None:
    """Draw a bar chart: a panel for each concurrency, a bar for each measured contender."""
    measured = [each for each in figures if each.speeds]
    colours = ["tab:orange" if each.name.startswith(OURS) else "tab:blue" for each in measured]
    with chart(file, 4 * len(workload.concurrency) + 1, 1.5 + 0.32 * len(measured)) as figure:
        panels = figure.subplots(1, len(workload.concurrency), sharey=True, squeeze=False)[0]
        for panel, concurrency in zip(panels, workload.concurrency, strict=True):
            speeds = [median(each.speeds.get(concurrency, [0.0])) for each in measured]
            bars = panel.barh([each.name for each in measured], speeds, color=colours)
            panel.bar_label(bars, labels=[f"{speed:.0f}" if speed else "" for speed in speeds], padding=2)
            panel.margins(x=0.15)
            panel.set(title=f"{concurrency} at once", xlabel="tokens/s")
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].invert_yaxis()
        figure.suptitle(title)
