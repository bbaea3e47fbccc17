"""Records and changes the runs of the engine's session."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from server.engine.arrays import Floats
from server.engine.model.runner import Runner

Decode = Callable[[Runner, Sequence[int], Sequence[int]], Floats]


@dataclass(frozen=True)
class Run:
    """One run of the session: the number of rows, and of tokens in each."""

    kind: str
    rows: int
    tokens: int


def record(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Return a list; every run is added to it as it begins."""
    prefill, score, decode = Runner.prefill, Runner.prefill_all_logits, Runner.decode
    runs: list[Run] = []

    def recorded_prefill(runner: Runner, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Floats:
        runs.append(Run("prefill", len(pieces), max(map(len, pieces))))
        return prefill(runner, row, start, pieces)

    def recorded_score(runner: Runner, row: int, start: int, pieces: Sequence[Sequence[int]]) -> Iterator[list[Floats]]:
        runs.append(Run("score", len(pieces), max(map(len, pieces))))
        return score(runner, row, start, pieces)

    def recorded_decode(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        runs.append(Run("decode", len(tokens), 1))
        return decode(runner, tokens, lengths)

    monkeypatch.setattr(Runner, "prefill", recorded_prefill)
    monkeypatch.setattr(Runner, "prefill_all_logits", recorded_score)
    monkeypatch.setattr(Runner, "decode", recorded_decode)
    return runs


def meddle(monkeypatch: pytest.MonkeyPatch, with_decode: Callable[[int, Callable[[], Floats], Runner], Floats]) -> None:
    """Replace each decode with `with_decode`, called with its number from 1 on and a function to run it."""
    decode: Decode = Runner.decode
    count = 0

    def meddled(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        nonlocal count
        count += 1
        return with_decode(count, lambda: decode(runner, tokens, lengths), runner)

    monkeypatch.setattr(Runner, "decode", meddled)
