"""The frame of every `plotify bench` command: options, the bundle, progress, table and JSON file."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Unpack, get_args, get_origin, get_type_hints

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.circumstances import circumstances
from benchmarks.gpt2_small import weights
from server.bundle import Bundle, BundleError
from server.engine import EngineError
from server.settings import SHIPPED_MODEL

GPT2_SMALL = "gpt2-small"

Option = Callable[[str, str], Callable[[Callable[..., None]], object]]
"""Makes a click decorator from a flag and a name. It is part of the annotation of a parameter."""


def option(help: str | None = None, **more: Any) -> Option:
    """Return an option with the arguments of click.option."""
    return partial(click.option, help=help, **{"show_default": True} | more)


def count(default: int, help: str | None = None, *, least: int = 1, most: int | None = None) -> Option:
    """Return an option for a whole number."""
    return option(help, default=default, type=click.IntRange(least, most))


def choice(default: str, known: Iterable[str], help: str | None = None, **more: Any) -> Option:
    """Return an option for one of the known names."""
    return option(help, default=default, type=click.Choice(list(known)), **more)


LINE_EVERY = 15.0
"""Seconds between two lines of progress if the output is not a terminal."""

SPEED_OF = 600.0
"""Seconds of work that the time left is estimated from, at most."""

FILE = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

Argument = Annotated[str, lambda flag, name: click.argument(name)]
Model = Annotated[str, option("A bundle, or gpt2-small.", default=GPT2_SMALL)]
Precision = Annotated[str | None, option("One of the bundle's precisions. [default: the fastest]")]
Device = Annotated[str, choice("auto", ("auto", "cpu", "cuda"))]
Greedy = Annotated[bool, option("Take the likeliest token. [default: draw, temperature 1, top-p 0.9]", is_flag=True)]
JsonFile = Annotated[Path | None, option("Also write the figures to this file.", type=FILE)]
ShippedModel = Annotated[
    str, option("A bundle, or gpt2-small. [default: the shipped one]", default=str(SHIPPED_MODEL), show_default=False)
]


class Command(click.Command):
    """A command with a one-line message if a bundle, the engine or a process fails."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BundleError, EngineError, ChildProcessError) as refused:
            raise click.ClickException(str(refused)) from refused


def command(function: Callable[..., None]) -> click.Command:
    """Return a click command with the function's name and the options in its annotations."""
    hints = get_type_hints(function, include_extras=True)
    for shared in [hint for hint in hints.values() if get_origin(hint) is Unpack]:
        hints |= get_type_hints(get_args(shared)[0], include_extras=True)
    for name, hint in reversed(hints.items()):
        for option in getattr(hint, "__metadata__", ()):
            option(f"--{name.replace('_', '-').removesuffix('-file')}", name)(function)
    return click.command(cls=Command)(function)


def whole_numbers(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Return the numbers in "1,8,32". Raises click.BadParameter for anything but numbers over 0."""
    try:
        found = tuple(int(number) for number in given.split(","))
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is not a list of whole numbers such as 1,8") from wrong
    if min(found) < 1:
        raise click.BadParameter(f"{min(found)} is under 1")
    return found


def numbers(context: click.Context, parameter: click.Parameter, given: str | None) -> tuple[float, ...]:
    """Return the numbers in "0.5,2"; none for None. Raises click.BadParameter unless all are over 0."""
    try:
        found = tuple(float(number) for number in given.split(",")) if given else ()
    except ValueError as wrong:
        raise click.BadParameter(f"{given!r} is not a list of numbers such as 0.5,2") from wrong
    if not all(0 < number < float("inf") for number in found):
        raise click.BadParameter(f"{given!r}: every number must be over 0")
    return found


def names_of(known: Iterable[str], given: str) -> tuple[str, ...]:
    """Return the names in "served,eager", or all of `known` for "all". Raises click.BadParameter."""
    known = tuple(known)
    found = known if given == "all" else tuple(dict.fromkeys(filter(None, given.split(","))))
    for name in found:
        if name not in known:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    return found


def several(default: str, help: str) -> Option:
    """Return an option for a list of whole numbers."""
    return option(help, default=default, callback=whole_numbers)


def names(default: str, help: str, known: Iterable[str]) -> Option:
    """Return an option for a list of known names."""
    return option(help, default=default, callback=lambda *given: names_of(known, given[-1]))


def open_bundle(model: str, prompt_tokens: int = 0, new_tokens: int = 0) -> Bundle:
    """Return the bundle in the folder `model`, or GPT-2 small with random weights, made on first use.

    Raises:
        BundleError: the folder is not a valid bundle.
        ChildProcessError: the random weights cannot be made.
        click.UsageError: prompt and new tokens do not fit into the model's context.
    """
    bundle = Bundle.load(weights().bundle if model == GPT2_SMALL else Path(model))
    check_context(bundle.manifest.model.context, prompt_tokens, new_tokens)
    return bundle


def check_context(context: int, prompt_tokens: int, new_tokens: int) -> None:
    """Raise click.UsageError if prompt and new tokens do not fit into the model's context."""
    if prompt_tokens + new_tokens > context:
        raise click.UsageError(
            f"{prompt_tokens} prompt and {new_tokens} new tokens are more than the model's context of {context}."
        )


@contextmanager
def progress(description: str, total: float) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error. Yield a function to advance it and to describe the step.

    With `line`, the function also prints a line with the time that is left. Lines stay, and files have them, too. If
    standard error is no terminal, a line comes at the beginning and then every `LINE_EVERY` seconds.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 1000)
    with Progress(*columns, console=console, transient=True, speed_estimate_period=SPEED_OF) as bar:
        bar.add_task(description, total=total)
        task, said = bar.tasks[0], time.monotonic()
        if not console.is_terminal:
            console.print(f"{description}: 0 of {total:,.0f}", highlight=False)

        def advance(by: float = 1, description: str | None = None, line: str | None = None) -> None:
            nonlocal said
            bar.update(task.id, advance=by, description=description)
            if line is None and not console.is_terminal and time.monotonic() - said > LINE_EVERY:
                line = f"{task.description}: {task.completed:,.0f} of {total:,.0f}"
            if line is not None:
                left = task.time_remaining
                console.print(line if left is None else f"{line}; {time_left(left)}", highlight=False)
                said = time.monotonic()

        yield advance


def time_left(seconds: float) -> str:
    """Return a time to wait in words."""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left"


def print_table(
    title: str, headings: Iterable[str], rows: Iterable[Sequence[str]], caption: str | None = None, bold: str = "-"
) -> None:
    """Print a table with right-aligned figures. Rows that begin with `bold` are bold."""
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row, style="bold" if row[0].startswith(bold) else None)
    print_wide(table)


def print_wide(table: Table) -> None:
    """Print a table, in its full width unless it is for a terminal: in a file no cell may be cut."""
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def rounds(number: int) -> str:
    """Return "1 round", or the number of rounds."""
    return f"{number} round{'' if number == 1 else 's'}"


def settings(*names: str, **more: Any) -> dict[str, Any]:
    """Return settings for the JSON file: `more`, and the running command's options of these names."""
    given = click.get_current_context().params
    return more | {name: given[name] for name in names}


def write_json(file: Path | None, settings: dict[str, Any], results: Iterable[dict[str, Any]]) -> None:
    """Write the running command's settings, results and circumstances, if there is a file."""
    if file is not None:
        content = {"benchmark": click.get_current_context().info_name, **circumstances(), "settings": settings}
        content["results"] = list(results)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
