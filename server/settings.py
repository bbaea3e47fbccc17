"""The server's settings, read from the environment in one place. Each has a working default.

docs/settings.md is the table of them. Tests keep it and this module in agreement.
"""

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

import msgspec
from msgspec import Meta

logger = logging.getLogger(__name__)

PREFIX = "PLOTIFY_"
KUBERNETES_PORT = re.compile(r"tcp://\S+:\d+")
"""The PLOTIFY_PORT that Kubernetes sets in the pods of a namespace with a Service named plotify."""

SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "models" / "plotify-mini"


class SettingsError(Exception):
    """A setting has an unusable value. The message names the setting and says what is allowed."""


@dataclass(frozen=True)
class Settings:
    """The settings, each with its type, bounds and description.

    Raises:
        SettingsError: a value is out of bounds, or the settings for pictures or traces don't fit together.
    """

    model: Annotated[Path, Meta(description="The bundle: a folder that `plotify export` wrote.")] = SHIPPED_MODEL
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 for any free one.")] = 8000
    precision: Annotated[
        Literal["auto", "fp32", "int8", "fp16"],
        Meta(description="The precision of the model; auto for its fastest on the device."),
    ] = "auto"
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Meta(description="The device to compute on; auto for a GPU if there is one.")
    ] = "auto"
    threads: Annotated[int, Meta(ge=0, le=1024, description="Compute threads; 0 for one per physical core.")] = 0
    replicas: Annotated[int, Meta(ge=1, le=256, description="Engine processes; several need the extra `scale`.")] = 1
    apps: Annotated[int, Meta(ge=1, le=256, description="App processes; several need the extra `scale`.")] = 1
    rows: Annotated[int, Meta(ge=2, le=1024, description="Sequences at once. A plot with a genre counts as two.")] = 64
    kept: Annotated[int, Meta(ge=0, le=1024, description="Prompts in the prefix cache; 0 for none.")] = 32
    queue: Annotated[int, Meta(ge=1, le=4096, description="Rows that may be queued. Above that, 503.")] = 4
    deadline: Annotated[int, Meta(ge=1, le=86400, description="Seconds for a request, the queue included.")] = 300
    grace: Annotated[int, Meta(ge=0, le=86400, description="Seconds for requests to end when the server stops.")] = 20
    max_tokens: Annotated[int, Meta(ge=1, le=4096, description="Tokens of the longest plot.")] = 256
    plot_grace: Annotated[int, Meta(ge=1, le=86400, description="Seconds that a plot goes on without a reader.")] = 30
    plot_ttl: Annotated[int, Meta(ge=1, le=86400, description="Seconds that you can read a plot after its end.")] = 300
    plot_limit: Annotated[int, Meta(ge=1, le=65536, description="Plots that stay in memory after their end.")] = 1024
    plot_record: Annotated[
        int, Meta(ge=0, le=604800, description="Seconds that a plot is recorded in the database; 0 to record none.")
    ] = 3600
    heartbeat: Annotated[int, Meta(ge=1, le=3600, description="Seconds between comments in silent event streams.")] = 15
    keys: Annotated[str, Meta(description="API keys, separated by white space.")] = field(default="", repr=False)
    keys_file: Annotated[str, Meta(description="A file of API keys. The server reads it again when it changes.")] = ""
    desk: Annotated[Literal["open", "closed"], Meta(description="The pages, for people without a key.")] = "open"
    hosts: Annotated[str, Meta(description="Names that the server answers to, separated by commas.")] = ""
    origins: Annotated[
        str, Meta(description="Origins of pages on other sites that may use the API, separated by commas.")
    ] = ""
    proxies: Annotated[str, Meta(description="Addresses and networks of trusted proxies, separated by commas.")] = ""
    per_client: Annotated[int, Meta(ge=0, le=4096, description="Texts in progress per client; 0 for no limit.")] = 0
    rate: Annotated[int, Meta(ge=0, le=10**6, description="Text requests per client and minute; 0 for no limit.")] = 0
    pictures: Annotated[
        Literal["none", "stability", "openai", "automatic1111", "local"],
        Meta(description="The provider of pictures; none for drawn covers."),
    ] = "none"
    pictures_url: Annotated[str, Meta(description="The address of the picture service; empty for its usual one.")] = ""
    pictures_key: Annotated[
        str, Meta(description="The key of the picture service; for automatic1111 it is user:password.")
    ] = field(default="", repr=False)
    pictures_model: Annotated[str, Meta(description="The service's model, or the folder of the local pipeline.")] = ""
    pictures_cap: Annotated[int, Meta(ge=1, le=10**6, description="Pictures for the whole server in an hour.")] = 20
    connections: Annotated[int, Meta(ge=1, le=65536, description="Connections at once.")] = 2048
    keep_alive: Annotated[int, Meta(ge=1, le=3600, description="Seconds for a connection between requests.")] = 75
    root_path: Annotated[str, Meta(description="The path below which a proxy serves this server, as /plotify.")] = ""
    patience: Annotated[int, Meta(ge=1, le=3600, description="Seconds that the server waits for a client.")] = 30
    hsts: Annotated[int, Meta(ge=0, le=10**9, description="Seconds of Strict-Transport-Security; 0 for none.")] = 0
    database: Annotated[
        str, Meta(description="The database of the shelf: the path of a SQLite file, or a PostgreSQL URL.")
    ] = field(default="", repr=False)
    log_level: Annotated[
        Literal["critical", "error", "warning", "info", "debug"], Meta(description="The least level to log to stderr.")
    ] = "warning"
    log_format: Annotated[Literal["text", "json"], Meta(description="Lines to read, or JSON objects.")] = "text"
    traces: Annotated[str, Meta(description="Address of an OpenTelemetry collector; empty for no traces.")] = ""

    def __post_init__(self) -> None:
        for setting in fields(self):
            decoded(setting.name, getattr(self, setting.name))
        self._check_pictures()
        _ = self.trusted_proxies
        for name, form, example in (
            ("hosts", r"\*|(\*\.)?[\w-]+(\.[\w-]+)*", "a name as plotify.example, *.plotify.example or *"),
            ("origins", r"\*|null|[a-z][a-z0-9+.-]*://[^\s/,]+", "an origin as https://example.org, null or *"),
        ):
            for each in listed(getattr(self, name)):
                if not re.fullmatch(form, each):
                    raise SettingsError(f"{variable(name)} holds {each!r}; each must be {example}")
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.root_path):
            raise SettingsError(f"PLOTIFY_ROOT_PATH is {self.root_path!r}; it must be a path as /plotify")
        if self.traces and not self.traces.startswith(("http://", "https://")):
            raise SettingsError(
                f"{variable('traces')} is {self.traces!r}; it must be an address, http://… or https://…"
            )

    @property
    def trusted_proxies(self) -> list[str]:
        """The proxies as networks, or `*` for any.

        Those of IPv4 are there twice, because a server on `::` sees 192.0.2.7 as ::ffff:192.0.2.7.
        """
        networks: list[str] = []
        for proxy in listed(self.proxies):
            if proxy == "*":
                return ["*"]
            try:
                network = ipaddress.ip_network(proxy, strict=False)
            except ValueError as error:
                raise SettingsError(
                    f"PLOTIFY_PROXIES holds {proxy!r}; each must be an address, a network as 10.0.0.0/8, or *"
                ) from error
            networks.append(str(network))
            if network.version == 4:
                networks.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
        return networks

    def _check_pictures(self) -> None:
        """Raise SettingsError if the settings for pictures don't fit together. No message holds the key."""
        given = {name for name in ("pictures_url", "pictures_key", "pictures_model") if getattr(self, name)}
        # Your own server may need no key; OpenAI does.
        needs_key = self.pictures == "stability" or (self.pictures == "openai" and not self.pictures_url)
        needed = {"pictures_key"} if needs_key else {"pictures_model"} if self.pictures == "local" else set()
        used = {"none": set(), "local": {"pictures_model"}}.get(self.pictures, given)
        for name in sorted(needed - given):
            raise SettingsError(f"PLOTIFY_PICTURES is {self.pictures!r}, which needs {variable(name)}")
        for name in sorted(given - used):
            raise SettingsError(f"{variable(name)} is set, but PLOTIFY_PICTURES is {self.pictures!r} and ignores it")
        if self.pictures_url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", self.pictures_url):
            raise SettingsError(
                "PLOTIFY_PICTURES_URL must be http://… or https://… without a key, query or fragment in it"
            )
        if not re.fullmatch(r"[!-~]*", self.pictures_key):
            raise SettingsError("PLOTIFY_PICTURES_KEY holds white space or characters that no key has; copy it again")
        if self.pictures == "automatic1111" and self.pictures_key and ":" not in self.pictures_key:
            raise SettingsError("PLOTIFY_PICTURES_KEY must be user:password for automatic1111, as in its --api-auth")

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of an environment. An absent or empty variable leaves the default."""
        given = {setting.name: environment.get(variable(setting.name)) for setting in fields(cls)}
        if KUBERNETES_PORT.fullmatch(given["port"] or ""):
            logger.warning("PLOTIFY_PORT is ignored: Kubernetes sets it to %s for the Service plotify.", given["port"])
            given["port"] = None
        return cls(**{name: decoded(name, value) for name, value in given.items() if value})


TYPES = get_type_hints(Settings, include_extras=True)


def listed(value: str) -> list[str]:
    """Return the parts of a setting with several, separated by commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def constraints(name: str) -> tuple[Meta, tuple[str, ...]]:
    """Return the bounds and description of a setting, and its choices; () if it is not a choice."""
    return TYPES[name].__metadata__[0], get_args(TYPES[name].__origin__)


def decoded(name: str, value: object) -> Any:
    """Return the value of a setting in its type, from text or from the same type. Raises SettingsError."""
    try:
        return msgspec.convert(value, TYPES[name], strict=False, dec_hook=lambda kind, text: kind(text))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        bounds, choices = constraints(name)
        allowed = f"it must be a whole number from {bounds.ge} to {bounds.le}"
        if choices:
            allowed = f"choose one of {', '.join(choices)}"
        raise SettingsError(f"{variable(name)} is {value!r}; {allowed}") from error
