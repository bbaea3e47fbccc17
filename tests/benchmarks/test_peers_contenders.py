"""Contenders: their processes and turns. A failed contender is reported and does not harm the others."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.gpt2_small import Weights
from benchmarks.peers.contenders import SLOW_ROUNDS, PeerFigures, Prompt, Workload, compete, convert_once
from benchmarks.processor_time import others_seconds

NOWHERE = Weights(Path(), Path(), Path())
WORKLOAD = Workload(concurrency=(1, 3), rounds=2, prompt_tokens=4, new_tokens=5, vocabulary=50)


@dataclass
class Copyist:
    """Repeats each prompt's last token. It has its `trouble` in `prepare`, or with three prompts at once."""

    name: str
    trouble: str = ""
    precision: str = "fp32"
    install: str = "pip install copyist"
    packages: tuple[str, ...] = ("numpy", "no-such-package")

    def prepare(self, weights: Weights, folder: Path) -> None:
        if self.trouble == "absent":
            raise ModuleNotFoundError("No module named 'copyist'", name="copyist")
        if self.trouble == "unprepared":
            raise RuntimeError("the weights are\nof another kind")

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        print("at work", flush=True)
        if len(prompts) == 3 and self.trouble == "raises":
            raise ValueError("three are too many")
        if len(prompts) == 3 and self.trouble == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if len(prompts) == 3 and self.trouble == "is short":
            new_tokens -= 1
        if len(prompts) == 3 and self.trouble == "hangs":
            time.sleep(3600)
        if len(prompts) > 3 and self.trouble == "lingers":
            time.sleep(1)
        if len(prompts) == 3 and self.trouble == "is slow":
            time.sleep(0.4)
        return [[prompt[-1]] * new_tokens for prompt in prompts]


def run(tmp_path: Path, *troubles: str, workload: Workload = WORKLOAD) -> list[PeerFigures]:
    peers = [Copyist(trouble or "plain", trouble) for trouble in troubles]
    return compete(peers, NOWHERE, workload, tmp_path, tmp_path / "logs")


def test_each_takes_its_turns_at_each_concurrency(tmp_path: Path) -> None:
    steps: list[str] = []
    peers = [Copyist("one"), Copyist("two")]
    figures = compete(peers, NOWHERE, WORKLOAD, tmp_path, tmp_path / "logs", steps.append)
    assert [each.name for each in figures] == ["one", "two"]
    for each in figures:
        assert each.problem is None
        assert {count: len(speeds) for count, speeds in each.speeds.items()} == {1: 2, 3: 2}
        assert all(speed > 0 for speeds in each.speeds.values() for speed in speeds)
        assert set(each.warm_seconds) == {1, 3}
        assert set(each.versions) == {"numpy"}
        assert (tmp_path / "logs" / f"{each.name}.log").read_text().count("at work") == 1 + 2 * 3
    assert figures[0].texts == figures[1].texts
    assert len(steps) == WORKLOAD.steps(2)
    turns = [step.partition(":")[0] for step in steps if "at once" in step]
    rounds = ("warm-up", "round 1")
    assert sorted(turns[:4]) == sorted(f"{name}, 1 at once, {each}" for name in ("one", "two") for each in rounds)
    assert all(step.endswith(" tokens/s") for step in steps if "at once" in step)


def test_the_fastest_goes_first_and_the_table_keeps_the_order(tmp_path: Path) -> None:
    steps: list[str] = []
    peers = [Copyist("snail", "lingers"), Copyist("hare")]
    figures = compete(peers, NOWHERE, WORKLOAD, tmp_path, tmp_path / "logs", steps.append)
    turns = [step.partition(",")[0] for step in steps if "at once" in step]
    assert turns == ["hare", "snail"] * 6
    assert [each.name for each in figures] == ["snail", "hare"]


def test_one_over_the_limit_is_out_and_the_others_go_on(tmp_path: Path) -> None:
    workload = Workload(concurrency=(1, 3), rounds=1, prompt_tokens=4, new_tokens=5, vocabulary=50, limit=20)
    hopeless, other = run(tmp_path, "hangs", "", workload=workload)
    assert hopeless.problem == "3 at once: stopped after 20 s, the limit for a turn"
    assert set(hopeless.speeds) == {1}
    assert set(other.speeds) == {1, 3}


def test_an_interruption_keeps_the_figures_so_far(tmp_path: Path) -> None:
    steps: list[str] = []

    def interrupt(step: str) -> None:
        steps.append(step)
        if step.startswith("plain, 3 at once, round 1"):
            raise KeyboardInterrupt

    (figures,) = compete([Copyist("plain")], NOWHERE, WORKLOAD, tmp_path, tmp_path / "logs", interrupt)
    assert {count: len(speeds) for count, speeds in figures.speeds.items()} == {1: 2, 3: 1}
    assert steps[-1] == "Interrupted: here are the figures so far"


@pytest.mark.parametrize(
    ("trouble", "problem"),
    [
        ("raises", "3 at once: ValueError: three are too many"),
        ("dies", "3 at once: its process ended with SIGSEGV"),
        ("is short", "3 at once: wrote 12 of 15 tokens"),
    ],
)
def test_one_that_fails_is_named_and_the_others_go_on(tmp_path: Path, trouble: str, problem: str) -> None:
    failed, other = run(tmp_path, trouble, "")
    assert failed.problem == problem
    assert set(failed.speeds) == {1}
    assert other.problem is None
    assert set(other.speeds) == {1, 3}


def test_one_that_cannot_be_prepared_takes_no_turn(tmp_path: Path) -> None:
    absent, unprepared, other = run(tmp_path, "absent", "unprepared", "")
    assert absent.problem == "not installed (No module named 'copyist'): pip install copyist"
    assert unprepared.problem == "RuntimeError: the weights are of another kind"
    assert not absent.speeds
    assert not unprepared.speeds
    assert set(other.speeds) == {1, 3}
    assert "Traceback" in (tmp_path / "logs" / "unprepared.log").read_text()


def test_a_slow_one_gets_fewer_rounds_where_it_is_slow(tmp_path: Path) -> None:
    workload = Workload(concurrency=(1, 3), rounds=3, prompt_tokens=4, new_tokens=5, vocabulary=50, slow_seconds=0.2)
    slow, other = run(tmp_path, "is slow", "", workload=workload)
    assert {count: len(speeds) for count, speeds in slow.speeds.items()} == {1: 3, 3: SLOW_ROUNDS}
    assert {count: len(speeds) for count, speeds in other.speeds.items()} == {1: 3, 3: 3}
    assert slow.problem is None


def test_prompts_are_the_same_for_all_and_never_end_a_text() -> None:
    prompts = WORKLOAD.prompts(200, seed=1)
    assert prompts == WORKLOAD.prompts(200, seed=1)
    assert prompts != WORKLOAD.prompts(200, seed=2)
    assert {token for prompt in prompts for token in prompt} == set(range(WORKLOAD.vocabulary - 1))


def test_processor_time_of_others_is_told_apart_from_its_own(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 5000 70 1 2 3 0 0\ncpu0 1 2 3\n")
    own = os.times()
    ticks = os.sysconf("SC_CLK_TCK")
    assert others_seconds(stat) == pytest.approx(156 / ticks - own.user - own.system, abs=0.05)
    assert others_seconds(tmp_path / "absent") is None


def test_a_conversion_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model"

    def write(folder: Path, fail: bool = False) -> None:
        folder.mkdir()
        (folder / "first").touch()
        if fail:
            raise RuntimeError("killed")
        (folder / "second").touch()

    with pytest.raises(RuntimeError):
        convert_once(target, lambda folder: write(folder, fail=True))
    assert not target.exists()
    assert convert_once(target, write) == target
    assert sorted(path.name for path in target.iterdir()) == ["first", "second"]
    assert list(target.parent.iterdir()) == [target]
    convert_once(target, lambda folder: pytest.fail("it is there already"))
