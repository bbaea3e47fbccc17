"""What a trial comes to: a row of the table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import MARKDOWN
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """asked: what was tried. target, measured: in words. figures: the measured numbers, for programs."""

    asked: str
    target: str
    measured: str
    reached: bool
    figures: dict[str, Any] = field(default_factory=dict)


def table(rows: Sequence[Row]) -> Table:
    """The rows as a table, which is Markdown as it is printed."""
    found = Table("asked", "target", "measured", "reached", box=MARKDOWN)
    for row in rows:
        found.add_row(row.asked, row.target, row.measured, "yes" if row.reached else "**no**")
    return found
