"""The engine as a parameter of routes."""

from typing import TypeAlias

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from server.engine import AnyEngine

EngineDependency: TypeAlias = NamedDependency[SkipValidation[AnyEngine]]
"""Litestar does not validate it: for a Protocol, that would read every property of the engine."""
