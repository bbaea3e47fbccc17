"""Contenders: run engines in turn, each in its own process for the whole run, while the others idle.

So no contender shares threads or warm caches with another, a crash affects only one, and a machine that slows down
slows down all of them.
"""

import faulthandler
import math
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
"""Token ids. All prompts of one call have the same length, so no contender must pad."""


class Peer(Protocol):
    """An engine to measure. It is sent to its own process, so it loads nothing before `prepare`.

    Attributes:
        name: its unique name in the table.
        precision: the precision of its weights: "fp32", "fp16", "int8" or "int4". With "fp32" it must give PyTorch's
            tokens.
        install: the command to install it.
        packages: the distributions to report with their versions.
    """

    name: str
    precision: str
    install: str
    packages: tuple[str, ...]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Convert the weights, unless `folder` already has the result, and load the model.

        Args:
            folder: is shared by all contenders; each uses its own file names.

        Raises:
            ImportError: a package is not installed.
        """

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """Return `new_tokens` ids after each prompt, decoded greedily, without ending at the end of text.

        A contender may batch the prompts as suits it best.
        """


def convert_once(target: Path, convert: Callable[[Path], object]) -> Path:
    """Return `target`, a file or a folder. If it is missing, let `convert` write it first.

    It appears whole or not at all: a killed conversion leaves only an unfinished neighbour, and the next one deletes
    that.
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
"""Seconds between turns. Threads may spin for a while after a turn (OpenMP's for up to 0.2 s)."""

SLOW_SECONDS = 60.0
"""After a warm-up longer than this, a contender has only `SLOW_ROUNDS` rounds at this concurrency."""

SLOW_ROUNDS = 1

PROBES, PROBE_TOKENS = 8, 8
"""Prompts, and new tokens of each, for comparing contenders with the reference."""


@dataclass(frozen=True)
class Workload:
    """The work of every contender.

    Attributes:
        concurrency: numbers of requests at once, measured one after another.
        rounds: counted rounds of each, after a warm-up.
        vocabulary: the number of tokens in the vocabulary.
        slow_seconds: see `SLOW_SECONDS`.
        limit: the most seconds of a turn. A contender that takes longer is out.
    """

    concurrency: tuple[int, ...]
    rounds: int
    prompt_tokens: int
    new_tokens: int
    vocabulary: int
    slow_seconds: float = SLOW_SECONDS
    limit: float = math.inf

    def prompts(self, count: int, seed: int) -> list[list[int]]:
        """Return `count` prompts of random tokens, without the last id, GPT-2's end of text."""
        ids = np.random.default_rng(seed).integers(0, self.vocabulary - 1, (count, self.prompt_tokens))
        prompts: list[list[int]] = ids.tolist()
        return prompts

    @property
    def probe_tokens(self) -> int:
        """The number of new tokens to compare with the reference's."""
        return min(PROBE_TOKENS, self.new_tokens)

    def steps(self, contenders: int) -> int:
        """Return the most steps of the contenders: preparing, comparing, and their turns."""
        return contenders * (2 + len(self.concurrency) * (self.rounds + 1))


@dataclass
class PeerFigures:
    """The figures of one contender. The dicts are by concurrency.

    Attributes:
        problem: the reason if it has no figures, or none from some concurrency on.
        texts: its tokens after the probes.
        probe_seconds: the seconds that these took.
        warm_seconds: the seconds of the warm-up.
        speeds: the tokens per second of each counted round.
        others: the average number of cores used by other programs in each counted round; empty if unknown.
    """

    name: str
    precision: str
    install: str
    problem: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    texts: list[list[int]] = field(default_factory=list)
    probe_seconds: float = math.inf
    warm_seconds: dict[int, float] = field(default_factory=dict)
    speeds: dict[int, list[float]] = field(default_factory=dict)
    others: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A contender has raised an exception, or its process has ended.

    Attributes:
        error: the message, one line.
        absent: True if a package is not installed.
    """

    error: str
    absent: bool = False


@dataclass(frozen=True)
class Turn:
    """One turn of a contender.

    Attributes:
        texts: the token ids for each prompt.
        seconds: its duration, by the contender's own clock.
        others: the seconds of a core used by other processes meanwhile; None if unknown.
    """

    texts: list[list[int]]
    seconds: float
    others: float | None


Answer = dict[str, str] | Failed | Turn
"""A message from a contender: the versions of its packages after loading the model, then its turns."""


class Contender:
    """A peer in its own process. The process starts at once; `close` ends it.

    Args:
        log: a file for the process's standard output and error, with its tracebacks.
    """

    def __init__(self, peer: Peer, weights: Weights, folder: Path, log: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.figures = PeerFigures(peer.name, peer.precision, peer.install)
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, peer, weights, folder, log), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Wait until it is ready or has failed, and record its versions or its problem."""
        answer = self._receive()
        if isinstance(answer, dict):
            self.figures.versions = answer
        elif isinstance(answer, Failed):
            absent = f"not installed ({answer.error}): {self.figures.install}"
            self.figures.problem = absent if answer.absent else answer.error

    def take(self, prompts: Sequence[Prompt], new_tokens: int, limit: float = math.inf) -> Turn | None:
        """Take one turn. If it fails, lasts too long or gives too few tokens, record why and return None.

        Args:
            limit: the most seconds of the turn.
        """
        with suppress(ConnectionError):  # it has ended, and `_receive` notices that
            self._connection.send((prompts, new_tokens))
        answer = self._receive(limit)
        if isinstance(answer, Turn):
            if [len(text) for text in answer.texts] == [new_tokens] * len(prompts):
                return answer
            answer = Failed(f"wrote {sum(map(len, answer.texts))} of {len(prompts) * new_tokens} tokens")
        self.figures.problem = f"{len(prompts)} at once: {answer.error}" if isinstance(answer, Failed) else str(answer)
        return None

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self, limit: float = math.inf) -> Answer:
        if not self._connection.poll(None if limit == math.inf else limit):
            self._process.kill()
            return Failed(f"stopped after {limit:.0f} s, the limit for a turn")
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
    """Measure all peers, and return the figures of each in the same order.

    The fastest with the probes has its turns first. Ctrl-C ends the measurement, and the figures so far are returned.

    Args:
        folder: for the peers' converted files.
        logs: a folder for their logs.
        progress: is called with a description after each step.
    """
    contenders: list[Contender] = []
    try:
        for peer in peers:  # one after another: a conversion needs all cores
            contenders.append(Contender(peer, weights, folder, logs / f"{peer.name.replace(' ', '-')}.log"))
            contenders[-1].wait()
            progress(f"{peer.name}: {contenders[-1].figures.problem or 'ready'}")
        probes = workload.prompts(PROBES, seed=0)
        for contender in _able(contenders):
            turn = contender.take(probes, workload.probe_tokens, workload.limit)
            if turn is not None:
                contender.figures.texts, contender.figures.probe_seconds = turn.texts, turn.seconds
            progress(f"{contender.figures.name}: {contender.figures.problem or 'compared'}")
        fastest_first = sorted(contenders, key=lambda contender: contender.figures.probe_seconds)
        for concurrency in workload.concurrency:
            for number in range(workload.rounds + 1):
                _take_round(fastest_first, workload, concurrency, number, progress)
    except KeyboardInterrupt:
        progress("Interrupted: here are the figures so far")
    finally:
        for contender in contenders:
            contender.close()
    return [contender.figures for contender in contenders]


def _take_round(
    contenders: Sequence[Contender], workload: Workload, concurrency: int, number: int, progress: Callable[[str], None]
) -> None:
    """Give each contender a turn with the same prompts. Round 0 is the warm-up."""
    prompts = workload.prompts(concurrency, seed=1 + number)
    for contender in _able(contenders):
        figures = contender.figures
        slow = figures.warm_seconds.get(concurrency, 0.0) > workload.slow_seconds
        step = f"{figures.name}, {concurrency} at once"
        if slow and number > SLOW_ROUNDS:
            progress(f"{step}: no further round, because the warm-up took {figures.warm_seconds[concurrency]:.0f} s")
            continue
        time.sleep(REST)
        turn = contender.take(prompts, workload.new_tokens, workload.limit)
        if turn is None:
            progress(f"{step}: {figures.problem}")
            continue
        speed = concurrency * workload.new_tokens / turn.seconds
        if number == 0:
            figures.warm_seconds[concurrency] = turn.seconds
        else:
            figures.speeds.setdefault(concurrency, []).append(speed)
            if turn.others is not None:
                figures.others.setdefault(concurrency, []).append(turn.others / turn.seconds)
        progress(f"{step}, {f'round {number}' if number else 'warm-up'}: {speed:.1f} tokens/s")


def _able(contenders: Sequence[Contender]) -> list[Contender]:
    return [contender for contender in contenders if contender.figures.problem is None]


def _serve(turns: Connection, peer: Peer, weights: Weights, folder: Path, log: Path) -> None:
    """Run the contender's side: prepare, then answer turns until the other side closes."""
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
