"""The commands `plotify bench compare` and `plotify bench trend`, and the history of load tests.

The history is a file with the load.json of each run, one per line.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import click

from benchmarks import frame
from benchmarks.charts import Point, chart, draw_line, finish, scale_up

HISTORY = Path("build/load-history.jsonl")
PICTURE = click.Path(dir_okay=False, path_type=Path)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


MEASURES = {
    "tokens per second": (("tokens_per_second",), True, "{:.1f}".format),
    "first token, p95": (("first_token", "seconds", "95"), False, _milliseconds),
    "next token, p50": (("next_token", "seconds", "50"), False, _milliseconds),
}
"""The measures to compare: the place in a result, True if more is better, and the format."""

SAME = ("model", "precision", "behaviour", "max_tokens", "prompt_words", "shape")
"""Settings to share between two runs."""


def share(context: click.Context, parameter: click.Parameter, given: str | None) -> float | None:
    """Return the share in "15%" or "0.15". Raises click.BadParameter unless it is over 0."""
    if given is None:
        return None
    with suppress(ValueError):
        found = float(given.removesuffix("%")) / (100 if given.endswith("%") else 1)
        if 0 < found < float("inf"):
            return found
    raise click.BadParameter(f"{given!r} is not a share over 0, such as 15%")


@frame.command
def compare(
    a: frame.Argument,
    b: frame.Argument,
    fail_above: Annotated[
        float | None, frame.option("Exit with 1 if B is worse by more than this, such as 15%.", callback=share)
    ],
    history: Annotated[Path, frame.option("File for @1.", default=HISTORY, type=frame.FILE)],
) -> None:
    """Compare load test A with B.

    Each is a report's folder, or @1 for the last run in the history, @2 for the one before. Only results of the same
    target under the same load are compared. Doubtful figures in either run are shown, but never fail. Exits with 1 if B
    is worse by more than --fail-above, or if there is nothing to compare; with 2 if a run is missing.

    \b
    Example:
      plotify bench compare @2 @1 --fail-above 15%
    """
    before, after = find(a, history), find(b, history)
    known = {(each["target"], each["label"]): each for each in before["results"]}
    rows, remarks, failed = [], [], False
    for new in after["results"]:
        target, label = new["target"], new["label"]
        old = known.get((target, label), {})
        for measure, (path, more_is_better, unit) in MEASURES.items():
            one, other = _at(old, path), _at(new, path)
            if not one or not other:
                continue
            change = other / one - 1
            worse = -change if more_is_better else change
            how = f"{abs(worse):.1%} {'worse' if worse > 0 else 'better'}"
            doubtful = old["doubts"] or new["doubts"]
            rows.append((target, label, measure, unit(one), unit(other), f"({how}) ?" if doubtful else how))
            if fail_above is not None and worse > fail_above and not doubtful:
                remarks.append(f"{target}, {label}: {measure} is {how}")
                failed = True
    if not rows:
        raise click.ClickException(f"{a} and {b} have no target under the same load in common")
    frame.print_table("", ("target", "load", "", "A", "B", ""), rows)
    if any(row[-1].endswith("?") for row in rows):
        remarks.insert(0, "?: doubtful in A or B; their reports give the reasons")
    for remark in (*(f"different {difference}" for difference in differing(before, after)), *remarks):
        click.echo(remark, err=True)
    if failed:
        raise click.exceptions.Exit(1)


@frame.command
def trend(
    history: Annotated[Path, frame.option(default=HISTORY, type=frame.FILE)],
    out: Annotated[Path, frame.option("A PNG.", required=True, type=PICTURE)],
) -> None:
    """Draw the tokens per second of each load test in the history, or of each run of `make bench`.

    \b
    Examples:
      plotify bench trend --out trend.png
      plotify bench trend --history benchmarks/history.jsonl --out trend.png
    """
    runs = read_history(history)
    if not runs:
        raise click.UsageError(f"{history}: has no runs; `plotify bench load` appends them")
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_trend(out, runs)
    click.echo(str(out))


def append(history: Path, content: dict[str, Any]) -> None:
    """Append a load.json as a line."""
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(content) + "\n")


def read_history(history: Path) -> list[dict[str, Any]]:
    """Return all runs of a history, the oldest first.

    Raises:
        click.UsageError: the file cannot be read, or a line is not a load test.
    """
    try:
        lines = filter(str.strip, history.read_text(encoding="utf-8").splitlines())
    except OSError as wrong:
        raise click.UsageError(f"{history}: {wrong.strerror}; `plotify bench load` writes it") from wrong
    return [_checked(line, f"{history}, line {number}") for number, line in enumerate(lines, start=1)]


def find(name: str, history: Path) -> dict[str, Any]:
    """Return a run by its name: a report's folder, its load.json, or @1 for the last run in the history.

    Raises:
        click.UsageError: there is no such run.
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
        said = f"{file}: cannot be read ({wrong}); use a report's folder, or @1 for the last run in the history"
        raise click.UsageError(said) from wrong


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the differences in settings and machine between two runs. They make a comparison doubtful."""
    pairs = {name: (before["settings"].get(name), after["settings"].get(name)) for name in SAME}
    pairs["machine"] = before["machine"]["processor"], after["machine"]["processor"]
    return [f"{name}: {one}, then {other}" for name, (one, other) in pairs.items() if one != other]


def _checked(text: str, where: str) -> dict[str, Any]:
    with suppress(json.JSONDecodeError, KeyError, TypeError):
        content = json.loads(text)
        if (
            content["benchmark"] in ("load", "standard")
            and isinstance(content["results"], list)
            and content["settings"]
        ):
            return dict(content)
    raise click.UsageError(f"{where}: not from a load test; `plotify bench load` writes load.json and the history")


def _at(result: dict[str, Any], path: Sequence[str]) -> float | None:
    found: Any = result
    for name in path:
        found = found.get(name) if found else None
    return found and float(found)


def draw_trend(file: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Draw the tokens per second of the runs in order, with a line for each target and load."""
    lines: dict[str, list[Point]] = {}
    for number, entry in enumerate(entries):
        for result in entry["results"]:
            name = f"{entry['settings']['model']}: {result['target']}, {result['label']}"
            lines.setdefault(name, []).append((number, result["tokens_per_second"], bool(result.get("doubts"))))
    with chart(file, 10) as figure:
        panel = figure.subplots()
        for number, (name, points) in enumerate(lines.items()):
            draw_line(panel, points, name, f"C{number}")
        scale_up(panel, [speed for points in lines.values() for _, speed, _ in points])
        dates = [f"{entry['date'][:16]}\n{entry.get('commit') or ''}" for entry in entries]
        panel.set_xticks(range(len(entries)), dates, fontsize=7)
        finish(panel, "tokens per second, run by run (hollow: doubtful)", "", "tokens/s")
