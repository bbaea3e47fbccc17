"""Contenders that take turns: each in a process of its own for the whole run, the others waiting without computing.

So none loads, warms or shares threads with another, one that crashes takes nobody along, and a machine whose speed
drifts drifts under all of them.
"""

import faulthandler
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.gpt2_small import Weights
from benchmarks.peers.course import PROBES, SLOW_ROUNDS, Course, Figures
from benchmarks.peers.neighbours import others_seconds
from benchmarks.peers.peer import Peer, Prompt

REST = 0.3
"""Seconds between turns: threads may look for more work for a while after the last (OpenMP's for up to 0.2 s)."""


@dataclass(frozen=True)
class Ready:
    """A contender has loaded the model. versions: of its packages, by distribution."""

    versions: dict[str, str]


@dataclass(frozen=True)
class Absent:
    """A contender cannot be loaded because `missing` is not installed."""

    missing: str


@dataclass(frozen=True)
class Failed:
    """A contender raised, or its process ended; the message is one line."""

    error: str


@dataclass(frozen=True)
class Turn:
    """What a contender wrote, token ids for each prompt, and how long it took by its own clock.

    others: how long other processes computed meanwhile, in seconds of one core; None where it is not told.
    """

    texts: list[list[int]]
    seconds: float
    others: float | None


class Contender:
    """A peer in a process of its own, which is started at once and ended by `close`.

    log: a file for what the process writes to standard output and error, its traceback included.
    """

    def __init__(self, peer: Peer, weights: Weights, folder: Path, log: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.figures = Figures(peer.name, peer.precision, peer.install)
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, peer, weights, folder, log), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Until it is ready, absent or has failed, which its figures then say."""
        answer = self._receive()
        if isinstance(answer, Ready):
            self.figures.versions = answer.versions
        elif isinstance(answer, Absent):
            self.figures.problem = f"not installed ({answer.missing}): {self.figures.install}"
        elif isinstance(answer, Failed):
            self.figures.problem = answer.error

    def take(self, prompts: Sequence[Prompt], new_tokens: int) -> Turn | None:
        """One turn. None, with the figures saying why, for one that fails or does not write all that was asked for."""
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

    def _receive(self) -> Ready | Absent | Failed | Turn:
        try:
            answer: Ready | Absent | Failed | Turn = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            return Failed(f"its process ended with {how}")
        return answer


def compete(
    peers: Sequence[Peer],
    weights: Weights,
    course: Course,
    folder: Path,
    logs: Path,
    progress: Callable[[str], None] = lambda step: None,
) -> list[Figures]:
    """The figures of each peer, in the order given.

    folder: for what the peers convert. logs: a folder for a file of each. progress: told of each step before it.
    """
    contenders: list[Contender] = []
    try:
        for peer in peers:  # one after another: a conversion needs all cores
            progress(f"preparing {peer.name}")
            contender = Contender(peer, weights, folder, logs / f"{peer.name.replace(' ', '-')}.log")
            contenders.append(contender)
            contender.wait()
        probes = course.prompts(PROBES, seed=0)
        for contender in _able(contenders):
            progress(f"comparing {contender.figures.name}")
            turn = contender.take(probes, course.probe_tokens)
            contender.figures.texts = turn.texts if turn else []
        for concurrency in course.concurrency:
            for number in range(course.rounds + 1):
                _take_round(contenders, course, concurrency, number, progress)
    finally:
        for contender in contenders:
            contender.close()
    return [contender.figures for contender in contenders]


def _take_round(
    contenders: Sequence[Contender], course: Course, concurrency: int, number: int, progress: Callable[[str], None]
) -> None:
    """A turn of each, the same prompts for all; round 0 warms."""
    prompts = course.prompts(concurrency, seed=1 + number)
    for contender in _able(contenders):
        figures = contender.figures
        slow = figures.warm_seconds.get(concurrency, 0.0) > course.slow_seconds
        progress(f"{figures.name}, {concurrency} at once")
        if slow and number > SLOW_ROUNDS:
            continue
        time.sleep(REST)
        turn = contender.take(prompts, course.new_tokens)
        if turn is None:
            continue
        if number == 0:
            figures.warm_seconds[concurrency] = turn.seconds
        else:
            figures.speeds.setdefault(concurrency, []).append(concurrency * course.new_tokens / turn.seconds)
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
    except ImportError as missing:
        turns.send(Absent(" ".join(str(missing).split())))
        return
    except Exception as error:
        turns.send(_failed(error))
        raise
    turns.send(Ready(_versions(peer.packages)))
    while True:
        try:
            prompts, new_tokens = turns.recv()
        except EOFError:
            return
        start, others = time.perf_counter(), others_seconds()
        try:
            texts = peer.generate(prompts, new_tokens)
        except Exception as error:
            turns.send(_failed(error))
            raise
        seconds, others_later = time.perf_counter() - start, others_seconds()
        turns.send(Turn(texts, seconds, None if others is None or others_later is None else others_later - others))


def _failed(error: Exception) -> Failed:
    return Failed(" ".join(f"{type(error).__name__}: {error}".split()))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
