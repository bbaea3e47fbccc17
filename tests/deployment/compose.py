"""compose.yaml and the files that it mounts, as they stand."""

from dataclasses import fields
from typing import Any

import msgspec

from server.settings import Settings, variable
from tests.conftest import ROOT

PROFILES = {"postgres", "observability", "load", "baseline", "train"}
SETTINGS = {variable(setting.name): setting.default for setting in fields(Settings)}
"""The server's variables, with their defaults."""


def yaml(file: str) -> Any:
    """What is in a file of the repository."""
    return msgspec.yaml.decode((ROOT / file).read_text())


COMPOSE = yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
