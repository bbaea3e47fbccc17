"""What the figures say of our engine: medians, ratios to the others, and how far all write the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.peers.course import Figures

OURS = "Plotify"
"""How our engine's contenders' names begin."""

REFERENCE = "PyTorch eager"
"""Whose tokens the others are compared with."""

ALONE = ("llama.cpp q4_0", "llama.cpp q8_0", "TensorFlow eager")
"""With whom one request alone is compared."""


@dataclass(frozen=True)
class Agreement:
    """Shares, 0 to 1, of the probes where the first new token is the reference's, and where all of them are."""

    first: float
    all: float


@dataclass(frozen=True)
class Ratio:
    """Tokens per second of `ours` over those of `theirs`, with so many requests at once."""

    concurrency: int
    ours: str
    theirs: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.concurrency} at once: {self.ours} is {self.ratio:.2f} times as fast as {self.theirs}"


def agreements(figures: Sequence[Figures]) -> dict[str, Agreement]:
    """By name, for all that wrote something; empty when the reference did not."""
    written = {each.name: each.texts for each in figures if each.texts}
    reference = written.get(REFERENCE)
    if reference is None:
        return {}
    return {name: _agreement(texts, reference) for name, texts in written.items()}


def ratios(figures: Sequence[Figures]) -> list[Ratio]:
    """Of what was measured: int8, and fp16 on a GPU, to the best peer, fp32 to the best fp32 peer; alone, our best to
    those of `ALONE`.
    """
    ours = [each for each in figures if each.name.startswith(OURS)]
    peers = [each for each in figures if not each.name.startswith(OURS)]
    found: list[Ratio | None] = []
    for concurrency in sorted({count for each in figures for count in each.speeds}):
        alike = [each for each in peers if each.precision == "fp32"]
        for precision, rivals in (("int8", peers), ("fp16", peers), ("fp32", alike)):
            mine = [each for each in ours if each.precision == precision]
            found.append(_ratio(concurrency, mine, rivals))
    quantised = [each for each in ours if each.precision != "fp32"]
    for name in ALONE:
        found.append(_ratio(1, quantised, [each for each in peers if each.name == name]))
    return list(dict.fromkeys(ratio for ratio in found if ratio is not None))


def _ratio(concurrency: int, ours: Sequence[Figures], theirs: Sequence[Figures]) -> Ratio | None:
    """Of the fastest of each side; None where one side has no figures."""
    mine, rivals = ([each for each in side if each.speeds.get(concurrency)] for side in (ours, theirs))
    if not mine or not rivals:
        return None

    def speed(each: Figures) -> float:
        return median(each.speeds[concurrency])

    best, rival = max(mine, key=speed), max(rivals, key=speed)
    return Ratio(concurrency, best.name, rival.name, speed(best) / speed(rival))


def _agreement(texts: Sequence[Sequence[int]], reference: Sequence[Sequence[int]]) -> Agreement:
    pairs = list(zip(texts, reference, strict=True))
    return Agreement(
        first=sum(text[0] == right[0] for text, right in pairs) / len(pairs),
        all=sum(list(text) == list(right) for text, right in pairs) / len(pairs),
    )
