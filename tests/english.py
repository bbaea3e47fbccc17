"""Plain English in docstrings: `python -m tests.english` lists the problems, and fails if any exist.

Relative clauses make sentences longer than need be. Openings such as "What is left" or "How far it goes" hide their
subject. The docstrings of nano-vllm, mini-sglang and Datasette stay within the same bounds.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("training", "export", "server", "voice", "benchmarks", "silence", "tests")

FIRST_LINE = 100
"""A docstring's first line has fewer characters than this."""

OPENING = re.compile(r"(?:What|Who|Whom|Whose|How|Whether)\b")
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")

BOUNDS = {"who, whom, whose": 0.5, "that, which": 12.0}
"""The most occurrences of each group of words in 1,000 words of docstrings."""


@dataclass(frozen=True)
class Docstring:
    """A docstring, and its place as `path:line`."""

    place: str
    text: str


def docstrings(source: str, path: str) -> Iterator[Docstring]:
    """Yield the docstrings of modules, classes and functions, and strings below constants and attributes."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield Docstring(f"{path}:{node.lineno}", text.strip())


def problems(found: list[Docstring]) -> list[str]:
    """Return a line for each bad opening, each long first line, and each group of words over its bound."""
    listed = []
    for each in found:
        first = each.text.split("\n")[0]
        if OPENING.match(first):
            listed.append(f"{each.place}: opens with {first.split()[0]!r}; say what it is or does")
        if len(first) >= FIRST_LINE:
            listed.append(f"{each.place}: the first line has {len(first)} characters; give it fewer than {FIRST_LINE}")
    words = [(word.lower().partition("'")[0], each.place) for each in found for word in WORD.findall(each.text)]
    for group, bound in BOUNDS.items():
        places = [place for word, place in words if word in group.split(", ")]
        if 1000 * len(places) > bound * len(words):
            share = 1000 * len(places) / len(words)
            listed.append(
                f"{group}: {share:.1f} in 1,000 words, {bound:g} at most; see {', '.join(sorted(set(places)))}"
            )
    return listed


def docstrings_in(folder: Path) -> list[Docstring]:
    """Return the docstrings of all modules in `folder` and the folders below it.

    Raises:
        FileNotFoundError: there are none, so the check would pass without checking anything.
    """
    files = sorted(folder.rglob("*.py"))
    found = [
        each for file in files for each in docstrings(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT)))
    ]
    if not found:
        raise FileNotFoundError(f"{folder}: no docstrings")
    return found


if __name__ == "__main__":
    found = [each for package in PACKAGES for each in docstrings_in(ROOT / package)]
    listed = problems(found)
    print("\n".join(listed) or f"{len(found)} docstrings are in plain English, as far as it can be counted.")
    sys.exit(bool(listed))
