"""The interface of a contender: its name, how it is installed, and how it continues prompts."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.gpt2_small import Weights

Prompt = Sequence[int]
"""Token ids. All prompts of one call have the same length, so that no contender has to pad."""


class Peer(Protocol):
    """A contender. It is made in one process and sent to its own, so it holds nothing before `prepare`.

    name: what the table calls it; no two contenders share one.
    precision: of its weights: "fp32", "fp16", "int8" or "int4". Those of "fp32" must give PyTorch's tokens.
    install: the line that installs it.
    packages: the distributions whose versions belong beside its figures.
    """

    name: str
    precision: str
    install: str
    packages: tuple[str, ...]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Converts the weights, unless `folder` holds the result already, and loads the model, ready to generate.

        folder: shared by all contenders; each gives its files a name of its own. Raises ImportError where a package is
        absent.
        """

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """`new_tokens` ids after each prompt, the likeliest each time, whether or not one of them ends the text.

        All prompts come at once, to be served in the way that suits this contender best.
        """


def convert_once(target: Path, convert: Callable[[Path], object]) -> Path:
    """`target`, a file or a folder, which `convert` writes to the path it is given unless it is there already.

    It appears whole or not at all: a conversion that was killed leaves only a neighbour, which the next one clears.
    """
    if target.exists():
        return target
    unfinished = target.with_name(f"unfinished-{target.name}")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    unfinished.unlink(missing_ok=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    convert(unfinished)
    unfinished.rename(target)
    return target
