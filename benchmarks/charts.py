"""Charts as PNG, without a display."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@contextmanager
def chart(file: Path, width: float, height: float = 4.0) -> Iterator["Figure"]:
    """Yield a figure of this size in inches, and write it to `file` at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    figure.savefig(file, dpi=110)


def finish(panel: "Axes", title: str, across: str, up: str) -> None:
    """Set the title and the axis labels of a panel, and add a legend if there are labels."""
    panel.set(title=title, xlabel=across, ylabel=up)
    panel.grid(alpha=0.3)
    panel.spines[["top"]].set_visible(False)
    if panel.get_legend_handles_labels()[1]:
        panel.legend(fontsize=7)
