"""Progress of what takes long: a bar in a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

LINE_EVERY = 15.0
"""Seconds between two lines where the output is no terminal."""


def bar(console: Console) -> Progress:
    """A progress bar with what is done, and the time that was taken and is left."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, TextColumn("{task.fields[note]}"), console=console)


def track(console: Console, items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, and show on `console` how many have passed; `total` is how many there are, where that is known."""
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
