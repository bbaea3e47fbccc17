"""The commands in the docs, and in the help of the commands themselves, have options that exist."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

import click
import pytest

from server.cli import plotify
from tests.documentation import PAGES, ROOT

LINE = re.compile(r"^ {2,}(?:\w+=\S+ )*(?:\.venv/bin/)?plotify (.+)$", re.MULTILINE)
"""A command on a line of its own, with variables before it or none."""

CONTEXT = click.Context(plotify)


def every_command(group: click.Group = plotify, before: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group and of the groups in it, each with its words, as "bench load"."""
    for name in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, name)
        assert command is not None
        yield " ".join((*before, name)), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*before, name))


COMMANDS = dict(every_command())


def check(text: str) -> int:
    """Check the commands in a text, and return their number."""
    found = [shlex.split(line, comments=True) for line in LINE.findall(text.replace("\\\n", " "))]
    for words in found:
        words = list(takewhile(lambda word: word not in ("|", ">", "<"), words))
        name = " ".join(words[:2]) if words[0] == "bench" else words[0]
        options = {option for each in COMMANDS[name].params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options, words
    return len(found)


def test_commands_in_the_docs() -> None:
    assert sum(check(page.read_text(encoding="utf-8")) for page in PAGES) > 50


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_in_help(name: str) -> None:
    help = COMMANDS[name].help or ""
    assert check(help) or not re.search(r"^Examples?:", help, re.MULTILINE)


def test_targets_of_make() -> None:
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^ {4}|`)make ([\w./-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(told) > 8
    assert told <= targets
