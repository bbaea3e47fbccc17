"""Packages imported by our modules, and packages installed with our extras. Nothing is run."""

import ast
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def imported(module: str, seen: set[str]) -> set[str]:
    """Return the foreign packages needed to import a module of ours.

    Args:
        seen: our modules already visited; this one and its imports are added.
    """
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen or not file.exists():  # without a file, it is a name in a module
        return set()
    seen.add(module)
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    own = {name for name in names if (ROOT / name.split(".")[0]).is_dir()}
    foreign = {name.split(".")[0] for name in names - own} - sys.stdlib_module_names
    return foreign.union(*(imported(name, seen) for name in own))


def brought(extras: set[str]) -> set[str]:
    """Return the foreign packages installed with Plotify and these extras."""
    pending = [Requirement(f"plotify[{','.join(extras)}]")]
    seen: set[str] = set()
    while pending:
        requirement = pending.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        if requirement.name == "plotify":
            texts = [
                *PROJECT["project"]["dependencies"],
                *(text for extra in requirement.extras for text in EXTRAS[extra]),
            ]
        else:
            try:
                texts = requires(requirement.name) or []
            except PackageNotFoundError:  # for another platform
                texts = []
        for needed in map(Requirement, texts):
            if not needed.marker or any(needed.marker.evaluate({"extra": one}) for one in ("", *requirement.extras)):
                pending.append(needed)
    distributions = {canonicalize_name(Requirement(text).name) for text in seen}
    return {
        package
        for package, carriers in packages_distributions().items()
        if distributions & {canonicalize_name(carrier) for carrier in carriers}
    }
