"""`plotify bench serve` on the tiny bundle: output and files, not speed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.client import run_streams
from benchmarks.process import Serving
from benchmarks.serve import start_server
from benchmarks.workload import make_prompts
from server.bundle import Bundle
from server.cli import plotify

NEW_TOKENS = 6


def bench(*arguments: str | Path) -> Result:
    small = ("--prompt-tokens", "8", "--new-tokens", NEW_TOKENS, "--precision", "int8", "--rounds", "2")
    return CliRunner().invoke(plotify, ["bench", "serve", *map(str, (*small, *arguments))])


@pytest.fixture
def server(tiny_bundle: Path, tmp_path: Path) -> Iterator[Serving]:
    with start_server(tiny_bundle, "int8", 2, tmp_path / "log") as running:
        yield running


def test_both_sides_are_measured_and_compared(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "serve.json"
    done = bench("--model", tiny_bundle, "--concurrency", "3", "--json", file)
    assert done.exit_code == 0, done.output
    assert "the engine alone" in done.output
    assert "of the engine's tokens per second (median of 2 rounds)" in done.output
    assert "ms of a core for each token" in done.output
    written = json.loads(file.read_text())
    alone, served = written["results"]
    assert (alone["name"], served["name"]) == ("the engine alone", "behind HTTP")
    for side in (alone, served):
        assert len(side["each_round"]) == 2
        assert min(side["each_round"]) > 0
        assert 0 < side["time_to_first_token"]["50"] <= side["time_to_first_token"]["99"]
    ratios = sorted(after / before for before, after in zip(alone["each_round"], served["each_round"], strict=True))
    assert written["settings"]["ratio"] == pytest.approx(sum(ratios) / 2)
    assert written["settings"]["core_seconds_beside_the_engine"] > 0
    assert written["settings"]["reader_share_of_a_core"] > 0


def test_streams_are_whole_and_in_time(tiny_bundle: Path, server: Serving) -> None:
    bundle = Bundle.load(tiny_bundle)
    assert server.model == bundle.manifest.name
    timings = run_streams(server, make_prompts(bundle, 5, 8), NEW_TOKENS, False, 2)
    assert [timing.tokens for timing in timings] == [NEW_TOKENS] * 5
    for timing in timings:
        times = [timing.submitted, *(time for time, _ in timing.arrivals), timing.ended]
        assert times == sorted(times)


def test_a_refusal_of_the_server_is_shown(server: Serving) -> None:
    with pytest.raises(ChildProcessError, match=r"answered 404.*another"):
        run_streams(replace(server, model="another"), [(1, 2)], NEW_TOKENS, True, 1)


def test_a_server_that_does_not_start_is_named_with_its_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(ChildProcessError, match=r"did not start.*nowhere"),
        start_server(tmp_path / "nowhere", "int8", 2, tmp_path / "log"),
    ):
        pass


def test_prompts_that_do_not_fit_the_context_are_refused(tiny_bundle: Path) -> None:
    done = bench("--model", tiny_bundle, "--prompt-tokens", "125")
    assert done.exit_code == 2
    assert "125 prompt and 6 new tokens are more than the model's context of 128" in done.output
