"""The commands `plotify generate`, `plotify serve` and `plotify key`."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from server.extras import missing
from server.garbage import collect_less
from server.http.keys import NAME, SCOPES, Key
from server.settings import Settings, SettingsError, constraints, variable


def settings_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options for these settings to a command. They have priority over the environment."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            bounds, choices = constraints(name)
            kind: click.ParamType[Any] = click.STRING
            if choices:
                kind = click.Choice(choices)
            elif bounds.ge is not None:
                kind = click.IntRange(bounds.ge, bounds.le)  # type: ignore[arg-type]  # both are whole numbers
            help = f"{bounds.description} Default: ${variable(name)}, else {getattr(Settings, name)}."
            command = click.option(f"--{name.replace('_', '-')}", type=kind, help=help)(command)
        return command

    return decorate


@click.command()
@click.argument("prompt")
@click.option("--genre", help="One of the model's genres; an unknown one lists them. Default: any.")
@click.option("--max-tokens", type=int, default=120, show_default=True, help="New tokens at most.")
@click.option("--temperature", type=float, help="0 for the likeliest words, higher is wilder. Default: the model's.")
@click.option("--top-p", type=float, help="Draw from the likeliest words up to this probability. Default: the model's.")
@click.option("--guidance", type=float, help="How strongly the genre leads, 1 or more. Default: the model's.")
@click.option("--seed", type=int, help="The same seed gives the same plot. Default: a new one each time.")
@settings_options("model", "precision", "device")
def generate(
    prompt: str, genre: str | None, model: str | None, precision: str | None, device: str | None, **chosen: Any
) -> None:
    """Continue PROMPT and print the words as they are generated.

    \b
    Example:
      plotify generate "A detective in Lisbon" --genre Horror --seed 1
    """
    from server.bundle import Bundle, BundleError
    from server.engine import Engine, EngineConfig, EngineError, Request, Sampling

    settings = _settings({"model": model, "precision": precision, "device": device})
    opening = prompt.strip()
    if not opening:
        raise click.UsageError("The prompt is empty; write a few words to begin with.")
    try:
        config = dataclasses.replace(EngineConfig.of(settings), rows=2, kept=0)
        with Engine(Bundle.load(settings.model), config) as engine:
            manifest = engine.bundle.manifest
            template = manifest.prompt
            given = {name: value for name, value in chosen.items() if value is not None}
            sampling = Sampling(**dataclasses.asdict(manifest.sampling) | given)
            against = template.fill(opening, None, template.default_length) if genre else None
            filled = template.fill(opening, genre, template.default_length)
            stream = engine.submit(Request(filled, sampling, against))
            click.echo(opening, nl=False)
            for chunk in stream:
                click.echo(chunk.text, nl=False)
            click.echo()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (BundleError, EngineError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@settings_options("model", "host", "port", "precision", "device", "threads", "rows", "replicas", "apps", "log_level")
def serve(**flags: Any) -> None:
    """Serve the pages and the API until interrupted. docs/settings.md lists all settings.

    \b
    Example:
      plotify serve --model bundle --port 8080
      curl http://127.0.0.1:8080/api/plots -d prompt='A detective in Lisbon'
    """
    settings = _settings(flags)
    listener = _listen(settings)
    if sys.stderr.isatty():  # anywhere else, stderr is for logs and errors alone
        click.echo(f"Loading {settings.model.name}; the address follows in a few seconds", err=True)

    # The imports take the first of these seconds.
    import uvicorn

    from server.app import create_app
    from server.bundle import Bundle, BundleError
    from server.engine import Engine, EngineConfig, EngineError
    from server.http.connection import ServerConfig, allow_connections
    from server.http.keys import KeysError
    from server.observability.logs import configure
    from server.shelf import ShelfUnusable

    configure(settings.log_level, settings.log_format)
    address = f"http://{_in_address(settings.host)}:{listener.getsockname()[1]}"
    if settings.replicas > 1 or settings.apps > 1:
        _serve_replicas(settings, listener, address)
        return
    try:
        allow_connections(settings.connections)
        engine = Engine(Bundle.load(settings.model), EngineConfig.of(settings))
        app = create_app(engine, settings)
        asyncio.run(_open_shelf(settings.database))
    except (BundleError, EngineError, KeysError, SettingsError, ShelfUnusable) as error:
        raise click.ClickException(str(error)) from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            collect_less()
            click.echo(f"Plotify writes with {engine.bundle.manifest.name} at {address}")

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Meanwhile the server still answers probes, and clients that come back for the rest of a plot. Then
            # uvicorn waits for open connections, which end at once without an engine.
            engine.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.grace):
                    while (engine.running or engine.queued) and not self.force_exit:
                        await asyncio.sleep(0.05)
            await asyncio.to_thread(engine.close)
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Let running requests complete after the first signal, and stop at once after a second one."""
            self.force_exit = self.should_exit
            super().handle_exit(sig, frame)

    config = ServerConfig(
        app,
        settings,
        log_config=None,
        access_log=False,  # the app has its own
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=3,
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        Server(config).run(sockets=[listener])


@click.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=["completion"], show_default=True)
def key(name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key for NAME, and show it once.

    The last line is its entry, without the key itself. Put it into the file of PLOTIFY_KEYS_FILE, or into
    PLOTIFY_KEYS. To revoke the key, remove the entry. docs/access.md says more.

    \b
    Examples:
      plotify key alice
      plotify key prometheus --scope operator | tail -n 1 >> keys
    """
    if not NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is not a name for a key: use up to 64 letters, digits, _, . and -.")
    made, secret = Key.make(name, frozenset(scopes))
    click.echo(f"The key, shown only once:\n{secret}\nIts entry:\n{made.entry}")


def _serve_replicas(settings: Settings, listener: socket.socket, address: str) -> None:
    from server.bundle import BundleError
    from server.http.keys import Keys, KeysError
    from server.shelf import ShelfUnusable

    try:
        from server.cluster import local
    except ModuleNotFoundError as error:
        raise click.ClickException(f"`plotify serve --replicas` cannot run: {missing(error.name, 'scale')}") from error
    try:
        Keys(settings.keys, Path(settings.keys_file) if settings.keys_file else None)
        asyncio.run(_open_shelf(settings.database))
        local.run(settings, listener, lambda name: click.echo(f"Plotify writes with {name} at {address}"))
    except (BundleError, KeysError, RuntimeError, ShelfUnusable) as error:
        raise click.ClickException(str(error)) from error


def _settings(flags: dict[str, Any]) -> Settings:
    """Return the environment's settings, overridden by the given flags."""
    given = {variable(name): str(value) for name, value in flags.items() if value is not None}
    try:
        return Settings.read(os.environ | given)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


async def _open_shelf(database: str) -> None:
    """Open the shelf once, to find an unusable database before the start. Raises ShelfUnusable."""
    from server.shelf import Shelf

    async with Shelf.open(database):
        pass


def _listen(settings: Settings) -> socket.socket:
    """Return a socket at the server's address. Opened before the model loads, it reports a busy port.

    It listens, because two servers that start at the same moment could both bind the port. Clients that connect early
    wait until the server is ready. With replicas it is only bound: Ray's proxy will listen.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if settings.replicas == 1:
            listener.listen()
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port; 0 is any free one."
        ) from error
    return listener


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
