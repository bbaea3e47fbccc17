"""The command group `plotify bench`. It imports a command's module when the command is called."""

import importlib

import click

MODULES = {
    "benchmarks.engine": ("engine", "arrivals", "operators"),
    "benchmarks.peers.command": ("peers",),
    "benchmarks.serve": ("serve",),
    "benchmarks.offers": ("offers",),
    "benchmarks.recording": ("recording",),
    "benchmarks.drafts": ("drafts",),
    "benchmarks.load.command": ("load",),
    "benchmarks.load.compare": ("compare", "trend"),
    "benchmarks.standard": ("standard", "against"),
    "benchmarks.replicas": ("replicas",),
    "benchmarks.words": ("words",),
    "benchmarks.trials.command": ("soak", "chaos", "garbage"),
}
COMMANDS = {name: module for module, names in MODULES.items() for name in names}


class Benchmarks(click.Group):
    """Imports each command from its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name]), name)
        return command


@click.group(cls=Benchmarks)
def bench() -> None:
    """Measure how fast a model answers, how it holds up, and what it writes.

    You can compare the figures of one run with each other. Compare figures of other days or machines with care: each
    comes with its circumstances.

    \b
    Examples:
      plotify bench engine --model bundle --concurrency 1,8
      plotify bench arrivals --model bundle
      plotify bench operators --model bundle
      plotify bench peers --concurrency 1,8,64 --out peers
      plotify bench serve --model bundle
      plotify bench offers
      plotify bench recording
      plotify bench drafts
      plotify bench load --users 1,8,32 --out report
      plotify bench standard
      plotify bench against HEAD~1 --fail-above 15%
      plotify bench replicas
      plotify bench words --held-out data/corpora/test.jsonl
      plotify bench soak --seconds 60
      plotify bench chaos --kills 5
      plotify bench garbage --count 1000
    """
