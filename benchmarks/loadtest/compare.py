"""The commands `plotify bench compare` and `plotify bench trend`."""

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.loadtest.command import HISTORY


def share(context: click.Context, parameter: click.Parameter, given: str | None) -> float | None:
    """Of "15%" or "0.15". Raises click.BadParameter for what is no share over 0."""
    if given is None:
        return None
    try:
        found = float(given.removesuffix("%")) / (100 if given.endswith("%") else 1)
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is no share such as 15%") from wrong
    if not 0 < found < float("inf"):
        raise click.BadParameter(f"{given!r} must be over 0")
    return found


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--fail-above", callback=share, help="Exit with 1 where B is worse than A by more than this, such as 15%."
)
@click.option("--history", default=HISTORY, show_default=True, type=click.Path(path_type=Path), help="For @1.")
def compare(a: str, b: str, fail_above: float | None, history: Path) -> None:
    """What changed from load test A to B: each a report's folder, or @1 for the last of the history, @2 before it.

    Only what both measured: the same target under the same load. A figure that was not to be trusted in either is shown
    and never fails. Exits with 1 where B is worse by more than --fail-above, or where there is nothing to compare; with
    2 where a run is not there.

    \b
    Example:
      plotify bench compare @2 @1 --fail-above 15%
    """
    from benchmarks.loadtest.history import HistoryError, changes, differing, find

    try:
        before, after = find(a, history), find(b, history)
    except HistoryError as error:
        raise click.UsageError(str(error)) from error
    found = changes(before, after)
    if not found:
        raise click.ClickException(f"{a} and {b} have no target under the same load in common")
    table = Table("target", "load", "", "A", "B", "", box=SIMPLE_HEAD)
    for each in found:
        per_second = each.measure == "tokens per second"
        figures = (f"{value:.1f}" if per_second else f"{1e3 * value:.1f} ms" for value in (each.before, each.after))
        how = f"{abs(each.worse):.1%} {'worse' if each.worse > 0 else 'better'}"
        table.add_row(each.target, each.label, each.measure, *figures, f"({how}) ?" if each.doubtful else how)
    Console().print(table)
    for difference in differing(before, after):
        click.echo(f"not the same: {difference}", err=True)
    if any(each.doubtful for each in found):
        click.echo("?: not to be trusted in A or B; their reports say why", err=True)
    worst = [each for each in found if fail_above is not None and each.worse > fail_above and not each.doubtful]
    for each in worst:
        click.echo(f"{each.target}, {each.label}: {each.measure} is {each.worse:.1%} worse", err=True)
    if worst:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--history", default=HISTORY, show_default=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A PNG.")
def trend(history: Path, out: Path) -> None:
    """Tokens per second of each load test in the history, as a picture.

    \b
    Example:
      plotify bench trend --out trend.png
    """
    from benchmarks.loadtest.history import HistoryError, read_history
    from benchmarks.loadtest.plots import draw_trend

    try:
        runs = read_history(history)
    except HistoryError as error:
        raise click.UsageError(str(error)) from error
    if not runs:
        raise click.UsageError(f"{history}: there is no run in it; `plotify bench load` appends to it")
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_trend(out, runs)
    click.echo(str(out))
