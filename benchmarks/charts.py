"""Charts as PNG, without a display."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 10
"""Numbers at an axis, at most: an axis over many powers of ten has only these."""

Point = tuple[float, float, bool]
"""A point of a line: across, up, and True if its figure is doubtful."""


@contextmanager
def chart(file: Path, width: float, height: float = 4.0) -> Iterator["Figure"]:
    """Yield a figure of this size in inches, and write it to `file` at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    figure.savefig(file, dpi=110)


def draw_line(
    panel: "Axes", points: Sequence[Point], label: str, colour: str, line: str = "-", mark: str = "o"
) -> None:
    """Draw points and the line through them, from left to right. Doubtful points are hollow."""
    across, up, _ = zip(*sorted(points), strict=True)
    panel.plot(across, up, line, marker=mark, color=colour, label=label)
    for at, value, doubtful in points:
        if doubtful:
            panel.plot(at, value, mark, color=colour, markerfacecolor="white")


def scale_up(panel: "Axes", values: Sequence[float]) -> None:
    """Make the upright axis logarithmic, with plain numbers. It has no place for a value of 0."""
    above = [value for value in values if value > 0] or [1.0]
    ticks = plain_ticks(min(above), max(above))
    panel.set_yscale("log")
    panel.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    panel.set_yticks([], minor=True)
    panel.set_ylim(ticks[0], ticks[-1])


def plain_ticks(lowest: float, highest: float) -> list[float]:
    """Return the numbers 1, 2, 5, 10, 20 … from below `lowest`, over 0, to above `highest`."""
    for steps in (1, 2, 5), (1,):
        every = [float(f"{step}e{power}") for power in range(-12, 13) for step in steps]
        ticks = every[bisect_left(every, lowest) - 1 : bisect_right(every, highest) + 1]
        if len(ticks) <= MOST_TICKS:
            break
    return ticks


def finish(panel: "Axes", title: str, across: str, up: str) -> None:
    """Set the title and the axis labels of a panel, and add a legend if there are labels."""
    panel.set(title=title, xlabel=across, ylabel=up)
    panel.grid(alpha=0.3)
    panel.spines[["top"]].set_visible(False)
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=7)
