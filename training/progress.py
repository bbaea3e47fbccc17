"""Progress of long tasks: a bar in a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

LINE_EVERY = 15.0
"""Seconds between two lines if the output is not a terminal."""


def bar(console: Console) -> Progress:
    """Return a progress bar with the work done, the time taken and the time left."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, TextColumn("{task.fields[note]}"), console=console)


def track(console: Console, items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, and show on `console` how many have passed.

    Args:
        total: number of items, if known.
    """
    if console.is_terminal:
        with bar(console) as progress:
            task = progress.add_task(description, total=total, note="")
            for item in items:
                yield item
                progress.advance(task)
        return
    said, count = time.monotonic(), 0
    for count, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            console.print(f"{description}: {count:,}" + (f" of {total:,}" if total else ""), highlight=False)
    console.print(f"{description}: {count:,}, done", highlight=False)
