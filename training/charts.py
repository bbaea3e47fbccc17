"""Charts of the data set and of the training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from training.prompt import LENGTHS

INK, ACCENT, QUIET, MUTED = "#1f2933", "#2a6f77", "#d07c40", "#9aa5b1"
plt.rcParams.update(
    {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 120, "text.color": INK}
)


def draw_lengths(lengths: Mapping[str, Sequence[int]], path: Path) -> None:
    """Draw a histogram of text lengths for each source, with the bounds of the length classes.

    Lengths are in words, on a logarithmic axis.
    """
    figure, axes = plt.subplots(figsize=(8, 4))
    low, high = 8, max(map(max, lengths.values())) + 1
    edges = [low * (high / low) ** (i / 60) for i in range(61)]
    colors = [ACCENT, QUIET, MUTED][: len(lengths)]
    axes.hist(list(lengths.values()), bins=edges, stacked=True, label=list(lengths), color=colors)
    axes.set_xscale("log")
    ticks = [tick for tick in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    top = axes.get_ylim()[1]
    for each in LENGTHS:
        axes.axvline(each.min_words, color=INK, linewidth=0.6, linestyle=":")
        if low < each.min_words < high or each is LENGTHS[0]:
            axes.text(max(low, each.min_words) * 1.04, top, each.name, va="top", fontsize=9)
    axes.set(xlabel="words", ylabel="texts", title="Length of the texts kept", xlim=(low, high))
    axes.legend(frameon=False, loc="center right")
    save(figure, path)


def draw_genres(genres: Mapping[str, int], without: int, path: Path) -> None:
    """Draw bars for the number of summaries with each genre, and with none."""
    rows = [*sorted(genres.items(), key=lambda row: row[1]), ("no genre", without)]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2))
    bars = axes.barh(
        [name for name, _ in rows], [count for _, count in rows], color=[ACCENT] * (len(rows) - 1) + [QUIET]
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set(xlabel="summaries", title="Genres of the summaries kept (one may have several)")
    save(figure, path)


def draw_losses(
    training: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]], best_step: int, path: Path
) -> None:
    """Draw the loss curves of training and validation, and mark the best step.

    Args:
        training, validation: pairs of (step, nats per token).
    """
    figure, axes = plt.subplots(figsize=(8, 4.5))
    axes.plot(*zip(*training, strict=True), color=ACCENT, linewidth=1, label="training")
    if validation:
        axes.plot(*zip(*validation, strict=True), color=QUIET, marker="o", markersize=3, label="validation")
        axes.axvline(best_step, color=INK, linewidth=0.8, linestyle=":", label=f"best, step {best_step:,}")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title="Loss")
    axes.legend(frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
