"""`plotify bench engine`, `arrivals` and `operators` on the tiny bundle: output and files, not speed."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import frame
from benchmarks.engine import run_on_engine, share_beside
from benchmarks.gpt2_small import END_OF_TEXT, PRECISIONS, VOCABULARY, make_tokenizer, weights
from benchmarks.workload import make_prompts
from server.bundle import Bundle
from server.cli import plotify
from server.engine import Engine, EngineConfig, Sampling

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


def test_time_beside_the_model_weighs_turns_by_their_length() -> None:
    assert share_beside([(1.5, 1.0), (9.5, 9.0)]) == pytest.approx(0.1)


def test_every_request_gets_all_its_tokens_whatever_the_model_would_stop_at(tiny_bundle: Path) -> None:
    with Engine(Bundle.load(tiny_bundle), EngineConfig(rows=2)) as engine:
        timings = run_on_engine(engine, make_prompts(engine.bundle, 5, 8), Sampling(max_tokens=40), concurrency=2)
    assert [timing.tokens for timing in timings] == [40] * 5
    for timing in timings:
        times = [timing.submitted, *(time for time, _ in timing.arrivals), timing.ended]
        assert times == sorted(times)


def test_the_engine_benchmark_writes_figures_with_their_circumstances(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "engine.json"
    arguments = ("--precision", "fp32", *SMALL, "--concurrency", "1,3", "--rounds", "2", "--json", file)
    done = bench("engine", "--model", tiny_bundle, *arguments)
    assert done.exit_code == 0, done.output
    assert "tokens/s" in done.output
    row = r"^ +3 +\d+\.\d( +[\d.]+ / [\d.]+ / [\d.]+){2} +\+\d+\.\d%"
    assert re.search(row, done.output, re.MULTILINE), done.output
    written = json.loads(file.read_text())
    assert written["benchmark"] == "engine"
    assert written["settings"]["precision"] == "fp32"
    assert written["settings"]["resident_bytes"] > 10e6
    assert written["settings"]["sampling"] == "temperature 1, top-p 0.9"
    assert written["machine"]["cores"] >= 1
    assert "numpy" in written["versions"]
    assert [result["concurrency"] for result in written["results"]] == [1, 3]
    for result in written["results"]:
        assert result["requests"] == 2 * 2 * result["concurrency"]
        assert result["tokens"] == 6 * result["requests"]
        assert len(result["each_round"]) == 2
        assert set(result["time_to_first_token"]) == set(result["inter_token_latency"]) == {"50", "95", "99"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concurrency", "1,many"), "'1,many' is not a list of whole numbers"),
        (("--concurrency", "4,0"), "0 is under 1"),
        (
            ("--prompt-tokens", "100", "--new-tokens", "100"),
            "100 prompt and 100 new tokens are more than",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(tiny_bundle: Path, arguments: tuple[str, ...], message: str) -> None:
    done = bench("engine", "--model", tiny_bundle, *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    done = bench("engine", "--model", tmp_path)
    assert done.exit_code == 1
    assert "Error: " in done.output


def test_a_precision_that_the_bundle_lacks_is_refused_by_name(tiny_bundle: Path) -> None:
    done = bench("engine", "--model", tiny_bundle, "--precision", "int2", *SMALL)
    assert done.exit_code == 1
    assert "there is no int2 model in this bundle; choose one of: fp32" in done.output


def test_the_tokenizer_of_random_gpt2_has_its_size_and_reads_back_what_it_wrote() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert tokenizer.token_to_id(END_OF_TEXT) == VOCABULARY - 1
    text = "A baker from Łódź — 東京"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(("carried", "made"), [(None, True), (("fp32", "int8"), True), (PRECISIONS, False)], ids=str)
def test_random_gpt2_is_made_where_it_lacks_a_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carried: tuple[str, ...] | None, made: bool
) -> None:
    asked: list[list[str]] = []

    def make(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", make)
    if carried is not None:
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "bundle.json").write_text(json.dumps({"precisions": {name: {} for name in carried}}))
    assert weights(tmp_path).bundle == tmp_path / "bundle"
    assert [command[-1] for command in asked] == ([str(tmp_path)] if made else [])


def test_the_arrivals_benchmark_measures_again_and_a_long_prompt(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "arrivals.json"
    sizes = ("--again-tokens", "64", "--streams", "2", "--long-tokens", "100", "--new-tokens", "40", "--rounds", "2")
    done = bench("arrivals", "--model", tiny_bundle, *sizes, "--json", file)
    assert done.exit_code == 0, done.output
    assert "the same text again" in done.output
    again, arrived = json.loads(file.read_text())["results"]
    assert len(again["cold"]) == len(again["again"]) == 2
    assert again["ratio"] > 0
    assert len(arrived["rounds"]) == 2
    assert all(ratio >= 1 for ratio in arrived["rounds"])


def test_the_operators_benchmark_says_where_the_time_goes(tiny_bundle: Path) -> None:
    done = bench("operators", "--model", tiny_bundle, "--precision", "int8", "--rows", "3", "--tokens", "20")
    assert done.exit_code == 0, done.output
    for operator in ("MatMulIntegerToFloat", "GroupQueryAttention", "LayerNormalization"):
        assert re.search(rf"^ +{operator} +\d+\.\d\d +\d+\.\d\d", done.output, re.MULTILINE), done.output
    assert "SkipLayerNormalization" not in done.output
    assert re.search(r"all \d+ nodes", done.output)


def test_progress_is_written_in_lines_where_nobody_sees_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frame, "LINE_EVERY", 0.0)
    with frame.progress("streams", 2_000) as advance:
        advance(500)  # the time before the first step says nothing about the time left
        advance(500)
        advance(1_000, line="All streams are read")
    first, second, third, last = capsys.readouterr().err.strip().splitlines()
    assert [first, second] == ["streams: 0 of 2,000", "streams: 500 of 2,000"]
    assert re.fullmatch(r"streams: 1,000 of 2,000; about \d+ s left", third)
    assert last == "All streams are read; about 0 s left"
