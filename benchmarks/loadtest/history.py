"""Runs that were measured before: a file with a line of JSON for each, and how two of them differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURES = {
    "tokens per second": (("tokens_per_second",), True),
    "first token, p95": (("first_token", "seconds", "95"), False),
    "next token, p50": (("next_token", "seconds", "50"), False),
}
"""What two runs are compared by: where it stands in a result, and whether more is better."""


class HistoryError(Exception):
    """A run that is not there, or is no load test's; the message says which, and what to do."""


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


def append(history: Path, content: dict[str, Any]) -> None:
    """One more line: a load.json."""
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(content) + "\n")


def read_history(history: Path) -> list[dict[str, Any]]:
    """All runs of a history, the oldest first. Raises HistoryError."""
    try:
        return [_checked(line, f"{history}, line {number}") for number, line in enumerate(_lines(history), start=1)]
    except OSError as wrong:
        raise HistoryError(f"{history}: {wrong.strerror}; `plotify bench load` writes it") from wrong


def find(name: str, history: Path) -> dict[str, Any]:
    """A run by its name: a report's folder or its load.json, or @1 for the last of the history, @2 for the one before.

    Raises HistoryError.
    """
    if name.startswith("@"):
        runs = read_history(history)
        if not name[1:].isdecimal() or not 1 <= int(name[1:]) <= len(runs):
            raise HistoryError(f"{name}: {history} has @1 to @{len(runs)}")
        return runs[-int(name[1:])]
    file = Path(name) / "load.json" if Path(name).is_dir() else Path(name)
    try:
        return _checked(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as wrong:
        raise HistoryError(f"{file}: cannot be read ({wrong}); name a report's folder, or @1 of the history") from wrong


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Of all figures that both have, for the same target under the same load."""
    known = {(each["target"], each["label"]): each for each in before["results"]}
    found = []
    for new in after["results"]:
        old = known.get((new["target"], new["label"]))
        if old is None:
            continue
        for measure, (path, more_is_better) in MEASURES.items():
            one, other = _at(old, path), _at(new, path)
            if one and other:
                worse = one / other - 1 if more_is_better else other / one - 1
                doubtful = bool(old["doubts"] or new["doubts"])
                found.append(Change(new["target"], new["label"], measure, one, other, worse, doubtful))
    return found


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What makes two runs hard to compare: other settings, another machine."""
    settings = [
        f"{name}: {before['settings'].get(name)}, then {after['settings'].get(name)}"
        for name in ("model", "precision", "behaviour", "max_tokens", "prompt_words", "shape")
        if before["settings"].get(name) != after["settings"].get(name)
    ]
    machines = [before["machine"]["processor"], after["machine"]["processor"]]
    return settings + ([f"machine: {machines[0]}, then {machines[1]}"] if machines[0] != machines[1] else [])


def _lines(history: Path) -> Sequence[str]:
    return [line for line in history.read_text(encoding="utf-8").splitlines() if line.strip()]


def _checked(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        if content["benchmark"] == "load" and isinstance(content["results"], list) and content["settings"]:
            return dict(content)
    except (json.JSONDecodeError, KeyError, TypeError):
        pass
    raise HistoryError(f"{where}: is no load test's; `plotify bench load` writes load.json and the history")


def _at(result: dict[str, Any], path: Sequence[str]) -> float | None:
    found: Any = result
    for name in path:
        found = found.get(name)
        if found is None:
            return None
    return float(found)
