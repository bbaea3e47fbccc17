"""The command line `plotify`: a group of commands, each in the package of its stage.

A command's module is imported when the command is called, and its heavy packages when it runs. So `plotify --help` is
quick and works in the base install.
"""

import importlib
from collections.abc import Sequence

import click

from server.extras import missing

COMMANDS = {
    "prepare": ("training.cli", "train"),
    "train": ("training.cli", "train"),
    "export": ("export.cli", "export"),
    "restore": ("export.cli", "export"),
    "tune": ("voice.cli", "voice"),
    "generate": ("server.commands", None),
    "serve": ("server.commands", None),
    "key": ("server.commands", None),
    "bench": ("benchmarks.cli", "bench"),
}
"""The module of each command, and the extra it needs; None if the base install is enough."""

OWN_PACKAGES = ("training", "export", "server", "voice", "benchmarks")


class StageGroup(click.Group):
    """Finds a command in its stage. If a package is missing, prints the line to install it."""

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
        except ModuleNotFoundError as error:
            extra = COMMANDS.get(ctx.invoked_subcommand or "", ("", None))[1]
            if extra is None or error.name is None or error.name.split(".")[0] in OWN_PACKAGES:
                raise
            needed = missing(error.name, extra)
            raise click.ClickException(f"`plotify {ctx.invoked_subcommand}` cannot run: {needed}") from error


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
    In your own voice:
      plotify tune my-stories/ --out data/mine
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `plotify` script."""
    plotify.main(args=arguments, prog_name="plotify")
