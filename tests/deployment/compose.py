"""compose.yaml and its mounted files, parsed."""

from dataclasses import fields
from typing import Any

import msgspec

from server.settings import Settings, variable
from tests.conftest import ROOT

PROFILES = {"postgres", "observability", "load", "baseline", "train"}
SETTINGS = {variable(setting.name): setting.default for setting in fields(Settings)}
"""The server's environment variables and their defaults."""


def yaml(file: str) -> Any:
    """Return the content of a YAML file in the repository."""
    return msgspec.yaml.decode((ROOT / file).read_text())


COMPOSE = yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
