"""The commands `plotify export` and `plotify restore`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

PRECISIONS = ("fp32", "int8", "fp16")


def _precisions(context: click.Context, parameter: click.Parameter, given: str) -> tuple[str, ...]:
    """Parse "fp32,int8" or "all".

    Raises:
        click.BadParameter: the text contains any other word.
    """
    if given == "all":
        return PRECISIONS
    for precision in given.split(","):
        if precision not in PRECISIONS:
            raise click.BadParameter(f"{precision!r} is not one of {', '.join(PRECISIONS)}; give all for all of them")
    return tuple(dict.fromkeys(given.split(",")))


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the bundle.")
@click.option(
    "--precision",
    "precisions",
    default="fp32,int8",
    show_default=True,
    callback=_precisions,
    help="Precisions in the bundle: all, or some of fp32, int8, fp16 (for CUDA).",
)
@click.option("--name", help="The model's name in the bundle and its API. [default: the checkpoint's]")
@click.option("--force", is_flag=True, help="Replace the bundle at --out, once the new one is verified.")
@click.option(
    "--figures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown with figures that you measured elsewhere, to stand on the model card.",
)
def export(
    checkpoint: Path, out: Path, precisions: tuple[str, ...], name: str | None, force: bool, figures: Path | None
) -> None:
    """Turn CHECKPOINT, a folder written by `plotify train`, into a bundle for `plotify serve`.

    Converts the TensorFlow weights to ONNX with a KV cache, and rewrites the graph for the engine. Then checks that
    checkpoint and graph write the same: identical greedy tokens on 200 held-out beginnings, ties aside, logits within
    0.001. Measures perplexity and bits per byte of each precision on the held-out documents, and writes a model card.
    If a check fails, or if you stop the command, nothing is left at --out.

    \b
    Examples:
      plotify export checkpoint --out bundle
      plotify export checkpoint --out bundle --precision all --force
    """
    from export.bundle import export_bundle
    from export.errors import ExportError

    text = figures.read_text(encoding="utf-8") if figures else ""
    try:
        manifest = export_bundle(checkpoint, out, name, force, precisions, Console(stderr=True), text)
    except ExportError as refused:
        raise click.ClickException(str(refused)) from refused
    Console().print(summary(out, manifest))


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the checkpoint.")
@click.option("--force", is_flag=True, help="Replace the checkpoint at --out.")
def restore(bundle: Path, out: Path, force: bool) -> None:
    """Turn BUNDLE, a folder written by `plotify export`, back into a checkpoint to train from.

    The weights come from the precision closest to the trained ones: fp32, else fp16, else int8.

    \b
    Example:
      plotify restore models/plotify-mini --out restored
      plotify train --data data --base restored --out checkpoint
    """
    from export.errors import ExportError
    from export.restore import restore_checkpoint

    try:
        precision = restore_checkpoint(bundle, out, force)
    except ExportError as refused:
        raise click.ClickException(str(refused)) from refused
    Console().print(f"{out}: a checkpoint with the {precision} weights of {bundle}")


def summary(out: Path, manifest: dict[str, Any]) -> Table:
    """Return the table printed at the end, with a row for each precision of the bundle."""
    verified = manifest["provenance"]["export"]["verified"]
    ties = f" but for {verified['ties']} in a tie" if verified["ties"] else ""
    caption = (
        f"fp32: {verified['tokens']:,} greedy tokens on {verified['prompts']} prompts, all identical to the "
        f"checkpoint's{ties}; logits at most {verified['max_logit_difference']:.2g} apart"
    )
    table = Table("file", title=f"{manifest['name']} in {out}", caption=caption)
    for heading in ("size", "perplexity", "against fp32", "bits per byte"):
        table.add_column(heading, justify="right")
    for precision in manifest["precisions"].values():
        table.add_row(
            precision["file"],
            f"{precision['bytes'] / 1e6:.1f} MB",
            f"{precision['perplexity']:.2f}",
            f"{precision['perplexity_vs_fp32'] - 1:+.2%}",
            f"{precision['bits_per_byte']:.3f}",
        )
    return table
