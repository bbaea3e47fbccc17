"""The command `plotify tune`."""

from pathlib import Path

import click
from rich.console import Console


@click.command()
@click.argument("texts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the bundle.")
@click.option("--base", help="A bundle, a checkpoint's folder, or a hub name.  [default: the bundle that ships]")
@click.option("--force", is_flag=True, help="Replace the bundle at --out, once the new one is verified.")
def tune(texts: tuple[Path, ...], out: Path, base: str | None, force: bool) -> None:
    """Tune a model on TEXTS, so that it writes more like their author.

    TEXTS are files or folders: .txt, .md, .docx, .epub. Nothing leaves this machine. A tenth of the passages is held
    out, to measure what the tuning brings. If the command is killed, the same command goes on from there. Afterwards,
    `plotify serve --model OUT` writes in the new voice.

    \b
    Example:
      plotify tune my-stories/ --out data/mine
      plotify serve --model data/mine
    """
    from server.settings import SHIPPED_MODEL
    from voice.manuscripts import ManuscriptError
    from voice.tune import LONG_RUN, tune

    console = Console(stderr=True)
    try:
        tuned = tune(texts, base or str(SHIPPED_MODEL), out, force, console)
    except KeyboardInterrupt as stop:
        raise click.ClickException("stopped; the same command goes on from there") from stop
    except (ManuscriptError, ChildProcessError) as error:
        raise click.ClickException(str(error)) from error
    change = tuned.after / tuned.before - 1
    console.print(
        f"bits per byte on the held-out tenth: {tuned.before:.3f} before, {tuned.after:.3f} now ({change:+.1%})",
        highlight=False,
    )
    if len(tuned.shared) > LONG_RUN:
        console.print(
            f"It repeats what it has read: one of 30 samples has {len(tuned.shared)} words in a row from your texts:\n"
            f"  {' '.join(tuned.shared)}",
            highlight=False,
        )
    else:
        console.print(f"the longest run of your words in 30 samples: {len(tuned.shared)} words", highlight=False)
    console.print(f"written to {out}; try it with: plotify serve --model {out}", highlight=False)
