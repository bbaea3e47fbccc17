"""The command `plotify export`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make: the bundle.")
@click.option("--name", help="The model's name in the bundle and its API. [default: the checkpoint's]")
@click.option("--force", is_flag=True, help="Replace the bundle at --out, once the new one is verified.")
def export(checkpoint: Path, out: Path, name: str | None, force: bool) -> None:
    """Turn CHECKPOINT, a folder that `plotify train` wrote, into a bundle that `plotify serve` reads.

    Converts the TensorFlow weights to ONNX with a KV cache, then checks that both write the same: identical greedy
    tokens on 50 held-out beginnings, logits within 0.001. Measures perplexity and bits per byte on the held-out
    documents and writes a model card. When a check fails, or the command is stopped, nothing is left at --out.

    \b
    Examples:
      plotify export checkpoint --out bundle
      plotify export checkpoint --out models/plotify-mini --force
    """
    from export.bundle import export_bundle
    from export.errors import ExportError

    try:
        manifest = export_bundle(checkpoint, out, name, force, Console(stderr=True))
    except ExportError as refused:
        raise click.ClickException(str(refused)) from refused
    Console().print(summary(out, manifest))


def summary(out: Path, manifest: dict[str, Any]) -> Table:
    """The table that the command ends with: a row for each precision of the bundle."""
    verified = manifest["provenance"]["export"]["verified"]
    caption = (
        f"{verified['tokens']:,} greedy tokens on {verified['prompts']} prompts, all identical to the checkpoint's"
    )
    table = Table("file", title=f"{manifest['name']} in {out}", caption=caption)
    for heading in ("size", "perplexity", "bits per byte", "largest logit difference"):
        table.add_column(heading, justify="right")
    for precision in manifest["precisions"].values():
        table.add_row(
            precision["file"],
            f"{precision['bytes'] / 1e6:.1f} MB",
            f"{precision['perplexity']:.2f}",
            f"{precision['bits_per_byte']:.3f}",
            f"{verified['max_logit_difference']:.2g}",
        )
    return table
