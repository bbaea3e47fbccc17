"""Measuring decoding defaults: `python -m export.decoding CHECKPOINT`.

Continues held-out beginnings under a grid of settings, and compares their repetition and diversity with those of the
documents themselves, for the same number of texts of the same length. Good defaults come close to the human figures.
With more repetition, a model goes round in circles. With more diversity than the human text, it loses the thread.
"""

import itertools
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from export import convert
from export.checkpoint import read_checkpoint
from export.diversity import distinct, mean_words, repetition
from export.errors import ExportError
from export.samples import continue_prompts, cut_held_out


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--temperature", "temperatures", multiple=True, type=float, default=(0.7, 0.8, 0.9, 1.0), show_default=True
)
@click.option("--top-p", "top_ps", multiple=True, type=float, default=(0.9, 0.95), show_default=True)
@click.option("--penalty", "penalties", multiple=True, type=float, default=(1.0, 1.1, 1.2), show_default=True)
@click.option("--texts", default=64, show_default=True, help="Maximum number of held-out beginnings to continue.")
def measure(
    checkpoint: Path,
    temperatures: tuple[float, ...],
    top_ps: tuple[float, ...],
    penalties: tuple[float, ...],
    texts: int,
) -> None:
    """Measure repetition and diversity of CHECKPOINT's continuations for all combinations of settings.

    \b
    Example:
      python -m export.decoding checkpoint --temperature 0.8 --temperature 0.9 --top-p 0.95 --penalty 1.1
    """
    try:
        read = read_checkpoint(checkpoint)
        held_out = cut_held_out(read, texts)
        model = convert.to_torch(convert.load_tensorflow(read))
    except ExportError as refused:
        raise click.ClickException(str(refused)) from refused
    table = Table("temperature", "top p", "penalty", "repeated 4-grams", "distinct-1", "distinct-2", "words")
    grid = list(itertools.product(temperatures, top_ps, penalties))
    for temperature, top_p, penalty in track(grid, "Sampling", console=Console(stderr=True)):
        sampling = {"temperature": temperature, "top_k": 0, "top_p": top_p, "repetition_penalty": penalty}
        continued = continue_prompts(model, read, held_out.prompts, sampling, seed=0)
        table.add_row(f"{temperature:g}", f"{top_p:g}", f"{penalty:g}", *figures(continued))
    table.add_section()
    table.add_row("the held-out text", "", "", *figures(held_out.continuations))
    Console().print(table)


def figures(texts: list[str]) -> list[str]:
    """Return the columns of the table for `texts`.

    They are repeated 4-grams, distinct-1, distinct-2 and the mean number of words.
    """
    return [
        f"{repetition(texts):.2%}",
        f"{distinct(texts, 1):.3f}",
        f"{distinct(texts, 2):.3f}",
        f"{mean_words(texts):.1f}",
    ]


if __name__ == "__main__":
    measure()
