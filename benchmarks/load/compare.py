"""The commands `plotify bench compare` and `plotify bench trend`, and the history of runs that they read.

The history is a file with a line of JSON for each run: its load.json.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import click

from benchmarks import frame
from benchmarks.load.charts import draw_trend

HISTORY = Path("build/load-history.jsonl")
PICTURE = click.Path(dir_okay=False, path_type=Path)

MEASURES = {
    "tokens per second": (("tokens_per_second",), True),
    "first token, p95": (("first_token", "seconds", "95"), False),
    "next token, p50": (("next_token", "seconds", "50"), False),
}
"""The measures by which two runs are compared: the place in a result, and True where more is better."""

SAME = ("model", "precision", "behaviour", "max_tokens", "prompt_words", "shape")
"""Settings that two runs should share."""


@dataclass(frozen=True)
class Change:
    """One figure of two runs, A and B. worse: by which share B is worse, under 0 where it is better."""

    target: str
    label: str
    measure: str
    before: float
    after: float
    worse: float
    doubtful: bool


def share(context: click.Context, parameter: click.Parameter, given: str | None) -> float | None:
    """Of "15%" or "0.15". Raises click.BadParameter for a text that is no share over 0."""
    if given is None:
        return None
    try:
        found = float(given.removesuffix("%")) / (100 if given.endswith("%") else 1)
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is no share such as 15%") from wrong
    if not 0 < found < float("inf"):
        raise click.BadParameter(f"{given!r} must be over 0")
    return found


@frame.command
def compare(
    a: frame.Argument,
    b: frame.Argument,
    fail_above: Annotated[
        float | None, frame.option("Exit with 1 where B is worse by more, such as 15%.", callback=share)
    ],
    history: Annotated[Path, frame.option("For @1.", default=HISTORY, type=frame.FILE)],
) -> None:
    """The changes from load test A to B: each a report's folder, or @1 for the last of the history, @2 before it.

    Only what both measured: the same target under the same load. A figure that was not to be trusted in either is shown
    and never fails. Exits with 1 where B is worse by more than --fail-above, or where there is nothing to compare; with
    2 where a run is not there.

    \b
    Example:
      plotify bench compare @2 @1 --fail-above 15%
    """
    before, after = find(a, history), find(b, history)
    found = changes(before, after)
    if not found:
        raise click.ClickException(f"{a} and {b} have no target under the same load in common")
    frame.print_table("", ("target", "load", "", "A", "B", ""), map(_row, found))
    for difference in differing(before, after):
        click.echo(f"not the same: {difference}", err=True)
    if any(each.doubtful for each in found):
        click.echo("?: not to be trusted in A or B; their reports say why", err=True)
    worst = [each for each in found if fail_above is not None and each.worse > fail_above and not each.doubtful]
    for each in worst:
        click.echo(f"{each.target}, {each.label}: {each.measure} is {each.worse:.1%} worse", err=True)
    if worst:
        raise click.exceptions.Exit(1)


@frame.command
def trend(
    history: Annotated[Path, frame.option(default=HISTORY, type=frame.FILE)],
    out: Annotated[Path, frame.option("A PNG.", required=True, type=PICTURE)],
) -> None:
    """Tokens per second of each load test in the history, as a picture.

    \b
    Example:
      plotify bench trend --out trend.png
    """
    runs = read_history(history)
    if not runs:
        raise click.UsageError(f"{history}: there is no run in it; `plotify bench load` appends to it")
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_trend(out, runs)
    click.echo(str(out))


def append(history: Path, content: dict[str, Any]) -> None:
    """Adds a line: a load.json."""
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(content) + "\n")


def read_history(history: Path) -> list[dict[str, Any]]:
    """All runs of a history, the oldest first. Raises click.UsageError."""
    try:
        lines = filter(str.strip, history.read_text(encoding="utf-8").splitlines())
    except OSError as wrong:
        raise click.UsageError(f"{history}: {wrong.strerror}; `plotify bench load` writes it") from wrong
    return [_checked(line, f"{history}, line {number}") for number, line in enumerate(lines, start=1)]


def find(name: str, history: Path) -> dict[str, Any]:
    """A run by its name: a report's folder or its load.json, or @1 for the last of the history, @2 for the one before.

    Raises click.UsageError.
    """
    if name.startswith("@"):
        runs = read_history(history)
        if not name[1:].isdecimal() or not 1 <= int(name[1:]) <= len(runs):
            raise click.UsageError(f"{name}: {history} has @1 to @{len(runs)}")
        return runs[-int(name[1:])]
    file = Path(name) / "load.json" if Path(name).is_dir() else Path(name)
    try:
        return _checked(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as wrong:
        said = f"{file}: cannot be read ({wrong}); name a report's folder, or @1 of the history"
        raise click.UsageError(said) from wrong


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The changes of all figures that both have, for the same target under the same load."""
    known = {(each["target"], each["label"]): each for each in before["results"]}
    found = []
    for new in after["results"]:
        old = known.get((new["target"], new["label"]), {})
        for measure, (path, more_is_better) in MEASURES.items():
            one, other = _at(old, path), _at(new, path)
            if one and other:
                worse = one / other - 1 if more_is_better else other / one - 1
                doubtful = bool(old["doubts"] or new["doubts"])
                found.append(Change(new["target"], new["label"], measure, one, other, worse, doubtful))
    return found


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The differences that make two runs hard to compare: other settings, another machine."""
    pairs = {name: (before["settings"].get(name), after["settings"].get(name)) for name in SAME}
    pairs["machine"] = before["machine"]["processor"], after["machine"]["processor"]
    return [f"{name}: {one}, then {other}" for name, (one, other) in pairs.items() if one != other]


def _row(change: Change) -> tuple[str, ...]:
    per_second = change.measure == "tokens per second"
    figures = (f"{value:.1f}" if per_second else f"{1e3 * value:.1f} ms" for value in (change.before, change.after))
    how = f"{abs(change.worse):.1%} {'worse' if change.worse > 0 else 'better'}"
    return change.target, change.label, change.measure, *figures, f"({how}) ?" if change.doubtful else how


def _checked(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        if content["benchmark"] == "load" and isinstance(content["results"], list) and content["settings"]:
            return dict(content)
    except (json.JSONDecodeError, KeyError, TypeError):
        pass
    raise click.UsageError(f"{where}: is no load test's; `plotify bench load` writes load.json and the history")


def _at(result: dict[str, Any], path: Sequence[str]) -> float | None:
    found: Any = result
    for name in path:
        found = found.get(name) if found else None
    return found and float(found)
