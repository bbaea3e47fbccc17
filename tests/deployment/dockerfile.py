"""The Dockerfile, parsed: its stages, and everything each one inherits."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.conftest import ROOT


@dataclass(frozen=True)
class Stage:
    """A stage: its base, either an image or another stage, and its own instructions.

    Continued lines are joined.
    """

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def _read() -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found = re.fullmatch(r"(\S+) AS (\S+)", rest)
            assert found, f"{line}: a stage without a name"
            stages[found[2]] = Stage(found[1])
        elif name and not name.startswith("#"):
            list(stages.values())[-1].instructions.append((name, " ".join(rest.split())))
    return stages


STAGES = _read()
"""The stages by name, in order. Docker builds the last one by default."""

TARGETS = ("cpu", "cuda", "scale", "train", "load")
"""The stages to run. The others are bases or sources of copies."""


def instructions(stage: str) -> Iterator[tuple[str, str]]:
    """Yield the names and arguments of a stage's instructions, after those of its base."""
    if STAGES[stage].base in STAGES:
        yield from instructions(STAGES[stage].base)
    yield from STAGES[stage].instructions


def arguments(stage: str, name: str) -> list[str]:
    """Return the arguments of every instruction with this name. For some, only the last one counts."""
    return [rest for found, rest in instructions(stage) if found == name]


def environment(stage: str) -> dict[str, str]:
    """Return the environment variables of a container."""
    return dict(word.partition("=")[::2] for rest in arguments(stage, "ENV") for word in shlex.split(rest))


def copied(stage: str) -> set[str]:
    """Return the paths copied from the repository, directly or through other stages."""
    found: set[str] = set()
    for rest in arguments(stage, "COPY"):
        *sources, _ = shlex.split(rest)
        origin = sources[0].removeprefix("--from=")
        found |= set(sources) if origin == sources[0] else copied(origin)
    return found


def installed(stage: str) -> list[str]:
    """Return the arguments of pip install, in order, directly or through other stages."""
    found: list[str] = []
    for name, rest in instructions(stage):
        if name == "COPY" and rest.startswith("--from="):
            found += installed(shlex.split(rest)[0].removeprefix("--from="))
        elif name == "RUN":
            found += re.findall(r"pip install ([^&]+)", rest)
    return [given.strip() for given in found]
