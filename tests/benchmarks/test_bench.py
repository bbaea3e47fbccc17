"""`plotify bench` on the minute bundle: what it prints and writes, not how fast it is."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.load import load_endless, make_prompts, run_load
from server.bundle import Bundle
from server.cli import plotify
from server.engine import Engine

SMALL = ("--prompt-tokens", "8", "--new-tokens", "6")


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(plotify, ["bench", *map(str, arguments)])


def test_prompts_are_repeatable_and_never_hold_the_end_of_text(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    prompts = make_prompts(bundle, 50, 40)
    assert prompts == make_prompts(bundle, 50, 40)
    assert prompts != make_prompts(bundle, 50, 40, seed=1)
    assert len(set(prompts)) == 50
    used = {token for prompt in prompts for token in prompt}
    assert bundle.manifest.model.end_of_text not in used
    assert used <= set(range(400))
    assert len(used) > 350


def test_every_token_of_every_request_is_counted(tiny_bundle: Path) -> None:
    with Engine(load_endless(tiny_bundle)) as engine:
        timings = run_load(engine, make_prompts(engine.bundle, 5, 8), new_tokens=6, concurrency=2)
    assert len(timings) == 5
    for timing in timings:
        assert timing.tokens <= 6
        times = [timing.submitted, *(time for time, _ in timing.arrivals), timing.ended]
        assert times == sorted(times)
    assert sum(timing.tokens for timing in timings) > 20


def test_the_engine_benchmark_writes_figures_with_their_circumstances(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "engine.json"
    done = bench("engine", "--model", tiny_bundle, *SMALL, "--concurrency", "1,3", "--requests", "4", "--json", file)
    assert done.exit_code == 0, done.output
    assert "tokens/s" in done.output
    assert re.search(r"^ +3 +\d+\.\d( +[\d.]+ / [\d.]+ / [\d.]+){2}", done.output, re.MULTILINE), done.output
    written = json.loads(file.read_text())
    assert written["benchmark"] == "engine"
    assert written["settings"] == {"model": "plotify-tiny", "prompt_tokens": 8, "new_tokens": 6, "threads": 0}
    assert written["machine"]["cores"] >= 1
    assert "numpy" in written["versions"]
    assert [result["concurrency"] for result in written["results"]] == [1, 3]
    for result in written["results"]:
        assert result["requests"] == 4
        assert set(result["time_to_first_token"]) == set(result["inter_token_latency"]) == {"50", "95", "99"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concurrency", "1,many"), "'1,many' is not a list of whole numbers"),
        (("--concurrency", "4,0"), "0 is under 1"),
        (("--prompt-tokens", "100", "--new-tokens", "100"), "100 prompt and 100 new tokens are over the model's 128"),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_bundle: Path, arguments: tuple[str, ...], message: str) -> None:
    done = bench("engine", "--model", tiny_bundle, *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    done = bench("engine", "--model", tmp_path)
    assert done.exit_code == 1
    assert "Error: " in done.output


def test_eager_and_engine_take_turns(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "eager.json"
    done = bench("eager", tiny_checkpoint, tiny_bundle, *SMALL, "--concurrency", "2", "--rounds", "2", "--json", file)
    assert done.exit_code == 0, done.output
    results = json.loads(file.read_text())["results"]
    assert [result["system"] for result in results] == ["eager", "engine"]
    assert all(len(result["tokens_per_second"]) == 2 for result in results)
    assert all(speed > 0 for result in results for speed in result["tokens_per_second"])


def test_a_side_that_cannot_start_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    done = bench("eager", tmp_path, tiny_bundle, *SMALL, "--rounds", "1")
    assert done.exit_code == 1
    assert "the eager process ended early" in done.output
