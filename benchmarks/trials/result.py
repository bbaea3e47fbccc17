"""The result of a trial: a row of the table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import MARKDOWN
from rich.table import Table


@dataclass(frozen=True)
class TrialResult:
    """asked: the trial. target, measured: in words. figures: the measured numbers, for programs."""

    asked: str
    target: str
    measured: str
    reached: bool
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: str, target: str, measured: str, reached: bool, figures: dict[str, Any]) -> "TrialResult":
        """A result whose first three `problems` are told with what was measured; with any, it is not reached."""
        problems = figures.get("problems", [])
        told = "; ".join((measured, *problems[:3]))
        return cls(asked, target, told, reached and not problems, figures)


def table(results: Sequence[TrialResult]) -> Table:
    """The results as a table, which is Markdown as it is printed."""
    found = Table("asked", "target", "measured", "reached", box=MARKDOWN)
    for each in results:
        found.add_row(each.asked, each.target, each.measured, "yes" if each.reached else "**no**")
    return found
