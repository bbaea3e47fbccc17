"""The server's settings: read from the environment in one place, each with a default that works.

docs/settings.md is the table of them; a test keeps it and this module in agreement.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

PREFIX = "PLOTIFY_"
PRECISIONS = ("auto", "fp32", "int8", "fp16")
DEVICES = ("auto", "cpu", "cuda")
DESK = ("open", "closed")
PICTURES = ("none", "stability", "openai", "automatic1111", "local")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "models" / "plotify-mini"


class SettingsError(Exception):
    """A setting with a value that cannot be used; the message names it and says what it may be."""


@dataclass(frozen=True)
class Settings:
    """What can be set. Raises SettingsError for a value that cannot be used.

    model: the bundle that is served.
    host: address to listen on; 0.0.0.0 for every network.
    port: TCP port to listen on; 0 for any that is free.
    precision: which of the bundle's models writes; auto for its fastest on the device.
    device: where it computes: cpu, cuda, or auto for a GPU where there is one.
    threads: threads that compute; 0 for one for each physical core.
    replicas: processes that write, each with its threads, rows and memory; more than 1 needs the extra scale.
    rows: sequences that are written at once; a plot with a genre counts as two.
    kept: prompts that stay in memory, so that asking again or going on begins at once.
    queue: rows that may be waited for; who comes then is told to come back.
    deadline: seconds that a request may take, waiting included; then it ends with an error.
    grace: seconds that requests have to come to their end when the server is told to stop.
    max_tokens: the longest plot, in tokens; longer lengths of the form are cut to it.
    plot_grace: seconds that a plot of /api/plots is written on while nobody follows it; then it is cancelled.
    plot_ttl: seconds that a plot of /api/plots can be read after its end.
    plot_limit: plots of /api/plots that are kept after their end; those that ended longest ago go first.
    heartbeat: seconds of silence after which an event stream sends a comment.
    keys: entries of API keys, separated by white space; `plotify key` makes them. None and no file: nobody needs one.
    keys_file: a file with more of them, read again whenever it changes.
    desk: whether the writers' pages are open to those without a key, or closed.
    proxies: addresses and networks of proxies, separated by commas, that are believed who they speak for.
    per_client: texts that a client may have under way at once; 0 for as many as there is room for.
    rate: requests for text that a client may send in a minute; 0 for any number.
    pictures: who draws pictures: a service, a model on this machine, or none, for drawn covers.
    pictures_url: where the service is; none for its own address.
    pictures_key: what lets the server in there; for automatic1111 user:password.
    pictures_model: the service's model, or the folder of the local one.
    pictures_cap: pictures that the whole server may ask for in an hour.
    connections: connections at once; who comes on top is told to come back.
    patience: seconds that the server waits for a client: for a request's head, for its body, to take in an answer.
    hsts: seconds that browsers, told so over https, reach this host by https alone; 0 to leave them free.
    database: where writers' plots are kept: a path, a URL, or empty for a file in the user's data folder.
    log_level: what is logged to stderr; from info on, every HTTP request.
    log_format: text to read, or json, an object on each line.
    traces: address of an OpenTelemetry collector that is told of each request; none for no traces.
    """

    model: Path = SHIPPED_MODEL
    host: str = "127.0.0.1"
    port: int = 8000
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0
    replicas: int = 1
    rows: int = 64
    kept: int = 32
    queue: int = 4
    deadline: int = 300
    grace: int = 20
    max_tokens: int = 256
    plot_grace: int = 30
    plot_ttl: int = 300
    plot_limit: int = 1024
    heartbeat: int = 15
    keys: str = ""
    keys_file: str = ""
    desk: str = "open"
    proxies: str = ""
    per_client: int = 0
    rate: int = 0
    pictures: str = "none"
    pictures_url: str = ""
    pictures_key: str = field(default="", repr=False)
    pictures_model: str = ""
    pictures_cap: int = 20
    connections: int = 2048
    patience: int = 30
    hsts: int = 0
    database: str = ""
    log_level: str = "warning"
    log_format: str = "text"
    traces: str = ""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("port", 0, 65535),
            ("threads", 0, 1024),
            ("replicas", 1, 256),
            ("rows", 2, 1024),
            ("kept", 0, 1024),
            ("queue", 1, 4096),
            ("deadline", 1, 86400),
            ("grace", 0, 86400),
            ("max_tokens", 1, 4096),
            ("plot_grace", 1, 86400),
            ("plot_ttl", 1, 86400),
            ("plot_limit", 1, 65536),
            ("heartbeat", 1, 3600),
            ("per_client", 0, 4096),
            ("rate", 0, 10**6),
            ("pictures_cap", 1, 10**6),
            ("connections", 1, 65536),
            ("patience", 1, 3600),
            ("hsts", 0, 10**9),
        ):
            if not least <= getattr(self, name) <= most:
                raise SettingsError(f"{variable(name)} is {getattr(self, name)}; it must be from {least} to {most}")
        for name, known in (
            ("precision", PRECISIONS),
            ("device", DEVICES),
            ("log_level", LOG_LEVELS),
            ("log_format", LOG_FORMATS),
            ("desk", DESK),
            ("pictures", PICTURES),
        ):
            if getattr(self, name) not in known:
                raise SettingsError(f"{variable(name)} is {getattr(self, name)!r}; choose one of {', '.join(known)}")
        self._check_pictures()

    def _check_pictures(self) -> None:
        """Raises SettingsError where what is set for pictures does not go together; no message holds the key."""
        given = {name for name in ("pictures_url", "pictures_key", "pictures_model") if getattr(self, name)}
        needed, used = {
            "none": (set(), set()),
            "stability": ({"pictures_key"}, {"pictures_url", "pictures_key", "pictures_model"}),
            # One's own server may need no key; OpenAI does.
            "openai": (set() if self.pictures_url else {"pictures_key"}, given),
            "automatic1111": (set(), given),
            "local": ({"pictures_model"}, {"pictures_model"}),
        }[self.pictures]
        for name in sorted(needed - given):
            raise SettingsError(f"PLOTIFY_PICTURES is {self.pictures!r}, which needs {variable(name)}")
        for name in sorted(given - used):
            raise SettingsError(f"{variable(name)} is set, and PLOTIFY_PICTURES is {self.pictures!r}; it has no use")
        if self.pictures_url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", self.pictures_url):
            raise SettingsError(
                "PLOTIFY_PICTURES_URL must be http://… or https://… without a key, query or fragment in it"
            )
        if not re.fullmatch(r"[!-~]*", self.pictures_key):
            raise SettingsError("PLOTIFY_PICTURES_KEY holds white space or letters that no key has; copy it anew")
        if self.pictures == "automatic1111" and self.pictures_key and ":" not in self.pictures_key:
            raise SettingsError("PLOTIFY_PICTURES_KEY must be user:password for automatic1111, as in its --api-auth")
        if self.traces and not self.traces.startswith(("http://", "https://")):
            raise SettingsError(
                f"{variable('traces')} is {self.traces!r}; it must be an address, http://… or https://…"
            )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of an environment; a variable that is absent or empty leaves the default."""
        values: dict[str, Any] = {}
        for setting in fields(cls):
            value = environment.get(variable(setting.name))
            if not value:
                continue
            try:
                values[setting.name] = setting.type(value)  # type: ignore[operator]
            except ValueError as error:
                raise SettingsError(f"{variable(setting.name)} is {value!r}; it must be a whole number") from error
        return cls(**values)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()
