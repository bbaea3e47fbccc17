"""Contenders that take turns: each in a process of its own for the whole run, the others waiting without computing.

So none loads, warms or shares threads with another, one that crashes takes nobody along, and a machine that gets
slower gets slower for all of them.
"""

import faulthandler
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.circumstances import versions
from benchmarks.gpt2_small import Weights
from benchmarks.processor_time import others_seconds

Prompt = Sequence[int]
"""Token ids. All prompts of one call have the same length, so that no contender has to pad."""


class Peer(Protocol):
    """A contender. It is made in one process and sent to its own, so it holds nothing before `prepare`.

    name: what the table calls it; no two contenders share one.
    precision: of its weights: "fp32", "fp16", "int8" or "int4". Those of "fp32" must give PyTorch's tokens.
    install: the line that installs it.
    packages: the distributions to name, with their versions, beside its figures.
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


REST = 0.3
"""Seconds between turns: threads may look for more work for a while after the last (OpenMP's for up to 0.2 s)."""

SLOW_SECONDS = 60.0
"""After a warm turn longer than this a contender gets `SLOW_ROUNDS` counted ones at this concurrency."""

SLOW_ROUNDS = 1

PROBES, PROBE_TOKENS = 8, 8
"""Prompts and new tokens of each by which contenders are compared with the reference."""


@dataclass(frozen=True)
class Workload:
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
        """New tokens that are compared with the reference's."""
        return min(PROBE_TOKENS, self.new_tokens)

    def steps(self, contenders: int) -> int:
        """Steps of the contenders at most: preparing, comparing, and their turns."""
        return contenders * (2 + len(self.concurrency) * (self.rounds + 1))


@dataclass
class PeerFigures:
    """The figures of one contender.

    problem: why it has no figures, or none from some concurrency on. texts: its tokens after the probes.
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


@dataclass(frozen=True)
class Failed:
    """A contender raised, or its process ended; the message is one line. absent: a package of it is not installed."""

    error: str
    absent: bool = False


@dataclass(frozen=True)
class Turn:
    """The tokens of a contender, ids for each prompt, and how long it took by its own clock.

    others: how long other processes computed meanwhile, in seconds of one core; None where it is not told.
    """

    texts: list[list[int]]
    seconds: float
    others: float | None


Answer = dict[str, str] | Failed | Turn
"""Of a contender: the versions of its packages once it has loaded the model, then its turns."""


class Contender:
    """A peer in a process of its own, which is started at once and ended by `close`.

    log: a file for the standard output and error of the process, its traceback included.
    """

    def __init__(self, peer: Peer, weights: Weights, folder: Path, log: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.figures = PeerFigures(peer.name, peer.precision, peer.install)
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, peer, weights, folder, log), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Waits until it is ready or has failed; then its figures have the versions or the problem."""
        answer = self._receive()
        if isinstance(answer, dict):
            self.figures.versions = answer
        elif isinstance(answer, Failed):
            absent = f"not installed ({answer.error}): {self.figures.install}"
            self.figures.problem = absent if answer.absent else answer.error

    def take(self, prompts: Sequence[Prompt], new_tokens: int) -> Turn | None:
        """One turn. None, with the problem in the figures, if it fails or does not write all that was asked for."""
        with suppress(ConnectionError):  # it has ended, which receiving notices, too
            self._connection.send((prompts, new_tokens))
        answer = self._receive()
        if isinstance(answer, Turn):
            if [len(text) for text in answer.texts] == [new_tokens] * len(prompts):
                return answer
            answer = Failed(f"wrote {sum(map(len, answer.texts))} of {len(prompts) * new_tokens} tokens")
        self.figures.problem = f"{len(prompts)} at once: {answer.error}" if isinstance(answer, Failed) else str(answer)
        return None

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self) -> Answer:
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            return Failed(f"its process ended with {how}")
        return answer


def compete(
    peers: Sequence[Peer],
    weights: Weights,
    workload: Workload,
    folder: Path,
    logs: Path,
    progress: Callable[[str], None] = lambda step: None,
) -> list[PeerFigures]:
    """The figures of each peer, in the order given.

    folder: for the files that the peers convert. logs: a folder for a file of each. progress: told of each step before
    it.
    """
    contenders: list[Contender] = []
    try:
        for peer in peers:  # one after another: a conversion needs all cores
            progress(f"preparing {peer.name}")
            contenders.append(Contender(peer, weights, folder, logs / f"{peer.name.replace(' ', '-')}.log"))
            contenders[-1].wait()
        probes = workload.prompts(PROBES, seed=0)
        for contender in _able(contenders):
            progress(f"comparing {contender.figures.name}")
            turn = contender.take(probes, workload.probe_tokens)
            contender.figures.texts = turn.texts if turn else []
        for concurrency in workload.concurrency:
            for number in range(workload.rounds + 1):
                _take_round(contenders, workload, concurrency, number, progress)
    finally:
        for contender in contenders:
            contender.close()
    return [contender.figures for contender in contenders]


def _take_round(
    contenders: Sequence[Contender], workload: Workload, concurrency: int, number: int, progress: Callable[[str], None]
) -> None:
    """A turn of each, the same prompts for all; round 0 warms."""
    prompts = workload.prompts(concurrency, seed=1 + number)
    for contender in _able(contenders):
        figures = contender.figures
        slow = figures.warm_seconds.get(concurrency, 0.0) > workload.slow_seconds
        progress(f"{figures.name}, {concurrency} at once")
        if slow and number > SLOW_ROUNDS:
            continue
        time.sleep(REST)
        turn = contender.take(prompts, workload.new_tokens)
        if turn is None:
            continue
        if number == 0:
            figures.warm_seconds[concurrency] = turn.seconds
        else:
            figures.speeds.setdefault(concurrency, []).append(concurrency * workload.new_tokens / turn.seconds)
            if turn.others is not None:
                figures.others.setdefault(concurrency, []).append(turn.others / turn.seconds)


def _able(contenders: Sequence[Contender]) -> list[Contender]:
    return [contender for contender in contenders if contender.figures.problem is None]


def _serve(turns: Connection, peer: Peer, weights: Weights, folder: Path, log: Path) -> None:
    """The contender's side: prepares, then answers turns until the other side hangs up."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    try:
        peer.prepare(weights, folder)
        turns.send(versions(peer.packages))
        with suppress(EOFError):
            while True:
                prompts, new_tokens = turns.recv()
                start, others = time.perf_counter(), others_seconds()
                texts = peer.generate(prompts, new_tokens)
                seconds, later = time.perf_counter() - start, others_seconds()
                turns.send(Turn(texts, seconds, None if others is None or later is None else later - others))
    except ImportError as missing:
        turns.send(Failed(" ".join(str(missing).split()), absent=True))
    except Exception as error:
        turns.send(Failed(" ".join(f"{type(error).__name__}: {error}".split())))
        raise
