"""The engine as a parameter of routes."""

from typing import TypeAlias

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from server.engine import AnyEngine

EngineDependency: TypeAlias = NamedDependency[SkipValidation[AnyEngine]]
"""Litestar passes it on without a check, which for a Protocol would call every property of the engine."""
