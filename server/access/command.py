"""The command `plotify key`."""

import click

from server.access.keys import NAME, SCOPES, Key


@click.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=["completion"], show_default=True)
def key(name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key for NAME, and say it this once.

    The last line is its entry: it goes into the file that PLOTIFY_KEYS_FILE names, or into PLOTIFY_KEYS, and does not
    tell the key. To take a key back, take its entry out. docs/access.md tells more.

    \b
    Examples:
      plotify key alice
      plotify key prometheus --scope operator | tail -n 1 >> keys
    """
    if not NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is not a name for a key: use up to 64 letters, digits, _, . and -.")
    made, secret = Key.make(name, frozenset(scopes))
    click.echo(f"The key, which is nowhere kept:\n{secret}\nIts entry:\n{made.entry}")
