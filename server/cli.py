"""The command line `plotify`: one group, whose commands live in the stage that they run.

A command's module is imported when it is called and imports its heavy packages when it runs, so that `plotify --help`
is quick and works in the base install.
"""

import importlib
import sys
from collections.abc import Sequence

import click

COMMANDS = {
    "prepare": ("training.cli", "train"),
    "train": ("training.cli", "train"),
    "export": ("export.cli", "export"),
    "generate": ("server.commands", None),
    "serve": ("server.commands", None),
    "key": ("server.commands", None),
    "bench": ("benchmarks.cli", "bench"),
}
"""Command: the module that holds it, and the extra that it needs (None: the base install has everything)."""

OWN_PACKAGES = ("training", "export", "server", "benchmarks")


class StageGroup(click.Group):
    """Finds a command in its stage, and turns a missing package into the line that installs it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as missing:
            extra = COMMANDS.get(ctx.invoked_subcommand or "", ("", None))[1]
            if extra is None or missing.name is None or missing.name.split(".")[0] in OWN_PACKAGES:
                raise
            raise click.ClickException(
                f"`plotify {ctx.invoked_subcommand}` needs {missing.name}, which is not installed. Install it with:\n"
                f"  {sys.executable} -m pip install -c constraints.txt -e '.[{extra}]'"
            ) from missing


@click.group(cls=StageGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plotify")
def plotify() -> None:
    """A few words in, a few plot lines out.

    \b
    From corpora to a page, stage by stage:
      plotify prepare --mpst mpst_full_data.csv --cmu booksummaries.txt --out data
      plotify train --data data --base mini --out checkpoint
      plotify export checkpoint --out bundle
      plotify serve --model bundle
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `plotify` script."""
    plotify.main(args=arguments, prog_name="plotify")
