"""The Dockerfile as Docker would read it: stages, and what each has from those that it is built on."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.conftest import ROOT


@dataclass(frozen=True)
class Stage:
    """One FROM: what it is built on, an image or another stage, and its own instructions, lines that go on joined."""

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
"""By their names, in order: the last one is what is built where none is named."""

TARGETS = ("cpu", "cuda", "scale", "train", "load")
"""The stages that are run; the others are built on, or copied from."""


def instructions(stage: str) -> Iterator[tuple[str, str]]:
    """Names and arguments, those of the stages that it is built on first."""
    if STAGES[stage].base in STAGES:
        yield from instructions(STAGES[stage].base)
    yield from STAGES[stage].instructions


def arguments(stage: str, name: str) -> list[str]:
    """Of every instruction of that name; the last one is in force."""
    return [rest for found, rest in instructions(stage) if found == name]


def environment(stage: str) -> dict[str, str]:
    """What a container begins with."""
    return dict(word.partition("=")[::2] for rest in arguments(stage, "ENV") for word in shlex.split(rest))


def copied(stage: str) -> set[str]:
    """What of the repository is in it, also by way of the stages that it copies from."""
    found: set[str] = set()
    for rest in arguments(stage, "COPY"):
        *sources, _ = shlex.split(rest)
        origin = sources[0].removeprefix("--from=")
        found |= set(sources) if origin == sources[0] else copied(origin)
    return found


def installed(stage: str) -> list[str]:
    """What pip was told in it, and in the stages that it copies from, in order."""
    found: list[str] = []
    for name, rest in instructions(stage):
        if name == "COPY" and rest.startswith("--from="):
            found += installed(shlex.split(rest)[0].removeprefix("--from="))
        elif name == "RUN":
            found += re.findall(r"pip install ([^&]+)", rest)
    return [given.strip() for given in found]
