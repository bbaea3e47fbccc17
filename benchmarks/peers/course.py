"""What all contenders do, and what is then known of each."""

from dataclasses import dataclass, field

import numpy as np

SLOW_SECONDS = 60.0
"""A contender whose warm turn took longer than this gets `SLOW_ROUNDS` counted ones at this concurrency."""

SLOW_ROUNDS = 1

PROBES, PROBE_TOKENS = 8, 8
"""Prompts and new tokens of each by which contenders are compared with the reference."""


@dataclass(frozen=True)
class Course:
    """`concurrency` requests at once, one number after another: so many counted rounds of each after a warm one."""

    concurrency: tuple[int, ...]
    rounds: int
    prompt_tokens: int
    new_tokens: int
    vocabulary: int
    slow_seconds: float = SLOW_SECONDS

    def prompts(self, count: int, seed: int) -> list[list[int]]:
        """`count` prompts of random tokens, never the last of the vocabulary, which ends GPT-2's texts."""
        ids = np.random.default_rng(seed).integers(0, self.vocabulary - 1, (count, self.prompt_tokens))
        prompts: list[list[int]] = ids.tolist()
        return prompts

    @property
    def probe_tokens(self) -> int:
        """How many new tokens are compared with the reference's."""
        return min(PROBE_TOKENS, self.new_tokens)

    def steps(self, contenders: int) -> int:
        """How many steps the contenders take at most: preparing, comparing, and their turns."""
        return contenders * (2 + len(self.concurrency) * (self.rounds + 1))


@dataclass
class Figures:
    """What is known of one contender.

    problem: why it has no figures, or none from some concurrency on. texts: what it wrote after the probes.
    warm_seconds: of the turn before the counted ones, by concurrency. speeds: tokens per second of each counted one.
    others: cores that others computed with meanwhile, on average over each counted one; empty where it is not told.
    """

    name: str
    precision: str
    install: str
    problem: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    texts: list[list[int]] = field(default_factory=list)
    warm_seconds: dict[int, float] = field(default_factory=dict)
    speeds: dict[int, list[float]] = field(default_factory=dict)
    others: dict[int, list[float]] = field(default_factory=dict)
