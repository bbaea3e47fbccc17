"""The commands in docs/deployment.md: services, profiles and flags exist, and the backup works."""

import argparse
import json
import re
import shlex
import sqlite3
from itertools import takewhile
from pathlib import Path

import click
import pytest

from server.cli import plotify
from tests.conftest import ROOT
from tests.deployment.compose import PROFILES, SERVICES
from tests.deployment.dockerfile import arguments, environment
from tests.documentation import DOCS

PAGE = (DOCS / "deployment.md").read_text()
DATABASE = Path(environment("cpu")["PLOTIFY_DATABASE"])


def compose_parser() -> argparse.ArgumentParser:
    """Return a parser for the parts of Compose's command line used in the docs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", action="append", default=[])
    parser.add_argument("-f", action="append", default=[])
    commands = parser.add_subparsers(required=True)
    for name, flags in {
        "up": ["--build", "--no-build", "--detach", "--wait"],
        "build": ["--pull"],
        "stop": [],
        "down": ["--volumes"],
        "config": [],
        "run": ["--rm", "--build", "--no-deps", "-T"],
        "exec": ["-T"],
    }.items():
        command = commands.add_parser(name)
        for flag in flags:
            command.add_argument(flag, action="store_true")
        if name in ("run", "exec"):
            command.add_argument("services", nargs=1)
            command.add_argument("words", nargs=argparse.REMAINDER)
        else:
            command.add_argument("--scale", default="")
            command.add_argument("--build-arg", default="")
            command.add_argument("services", nargs="*")
    return parser


COMMANDS = re.findall(r"(?:^    |`)(docker compose [^`\n]*)", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_services_and_files_in_commands_of_the_docs_are_there(command: str) -> None:
    given = takewhile(lambda word: word not in ("<", ">"), shlex.split(command, comments=True))
    told = compose_parser().parse_args(list(given)[2:])
    assert set(told.profile) <= PROFILES | {"*"}
    assert all((ROOT / file).exists() for file in told.f)
    scaled = [told.scale.split("=")[0]] if getattr(told, "scale", "") else []
    assert {*told.services, *scaled} <= set(SERVICES)
    if words := getattr(told, "words", []):
        assert {DATABASE.parent / name for name in ("plotify.sqlite", "copy.sqlite")} >= {
            Path(path) for path in re.findall(r"/var/lib/[\w./]+", " ".join(words))
        }
        if told.services == ["train"]:
            words = [*json.loads(arguments("train", "ENTRYPOINT")[0]), *words]
        if words[0] == "plotify":
            known = plotify.get_command(click.Context(plotify), words[1])
            assert known is not None
            flags = {flag for parameter in known.params for flag in parameter.opts}
            assert {word for word in words[2:] if word.startswith("-")} <= flags


def test_the_copy_of_a_shelf_is_whole_while_it_is_written(tmp_path: Path) -> None:
    (statement,) = re.findall(r'"(VACUUM INTO .*)"', PAGE)
    with sqlite3.connect(tmp_path / "plotify.sqlite") as shelf:
        shelf.execute("PRAGMA journal_mode = WAL")
        shelf.execute("CREATE TABLE plots AS SELECT 'A fox' AS title")
        shelf.commit()
        shelf.execute(statement.replace(str(DATABASE.parent), str(tmp_path)))
        shelf.execute("DELETE FROM plots")
    with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
        assert copy.execute("SELECT title FROM plots").fetchall() == [("A fox",)]
