"""The report on contenders: medians, ratios and agreement by hand, in table, JSON and chart."""

from pathlib import Path

import pytest

from benchmarks.peers.contenders import PeerFigures, Workload
from benchmarks.peers.report import Agreement, agreements, as_results, draw, print_peers, ratios, remarks

WORKLOAD = Workload(concurrency=(1, 8), rounds=3, prompt_tokens=64, new_tokens=64, vocabulary=50257)


def figures(name: str, precision: str, alone: float | None = None, eight: float | None = None) -> PeerFigures:
    made = PeerFigures(name, precision, f"pip install {name}")
    for concurrency, speed in ((1, alone), (8, eight)):
        if speed is not None:
            made.speeds[concurrency] = [speed / 2, speed, speed * 9]
            made.warm_seconds[concurrency] = 1.0
    return made


FIELD = [
    figures("TensorFlow eager", "fp32", 2, 10),
    figures("PyTorch eager", "fp32", 20, 40),
    figures("llama.cpp q4_0", "int4", 80, 60),
    figures("OpenVINO int8", "int8", 50, 100),
    figures("Plotify fp32", "fp32", 30, 50),
    figures("Plotify int8", "int8", 60, 250),
]


def test_ratios_are_of_medians_to_the_best_of_the_others() -> None:
    found = {(each.concurrency, each.ours, each.theirs): each.ratio for each in ratios(FIELD)}
    assert found == {
        (1, "Plotify int8", "llama.cpp q4_0"): 0.75,
        (1, "Plotify fp32", "PyTorch eager"): 1.5,
        (8, "Plotify int8", "OpenVINO int8"): 2.5,
        (8, "Plotify fp32", "PyTorch eager"): 1.25,
        (1, "Plotify int8", "TensorFlow eager"): 30.0,
    }


def test_unmeasured_contenders_have_no_ratio() -> None:
    assert ratios([]) == []
    assert ratios(FIELD[:4]) == []
    assert [each.theirs for each in ratios([figures("OpenVINO int8", "int8", eight=5), *FIELD[4:]])] == [
        "OpenVINO int8"
    ]


def test_on_a_gpu_ours_is_compared_with_the_best_of_the_others() -> None:
    field = [
        figures(name, "fp16", *speeds)
        for name, speeds in (
            ("PyTorch eager", (100, 800)),
            ("PyTorch torch.compile", (400, 700)),
            ("Plotify fp16", (500, 1000)),
            ("Plotify fp16 without graphs", (200, 1200)),
        )
    ]
    assert [str(each) for each in ratios(field)] == [
        "1 at once: Plotify fp16 is 1.25 times as fast as PyTorch torch.compile",
        "8 at once: Plotify fp16 without graphs is 1.50 times as fast as PyTorch eager",
    ]


def test_agreement_is_with_pytorch() -> None:
    field = [PeerFigures(name, "fp32", "") for name in ("PyTorch eager", "other", "silent")]
    field[0].texts = [[1, 2], [3, 4], [5, 6], [7, 8]]
    field[1].texts = [[1, 2], [3, 5], [5, 9], [8, 8]]
    assert agreements(field) == {"PyTorch eager": Agreement(1.0, 1.0), "other": Agreement(0.75, 0.25)}
    assert agreements(field[1:]) == {}


def test_fewer_rounds_and_problems_are_said() -> None:
    slow = figures("TensorFlow eager", "fp32", 2, 10)
    slow.speeds[8] = [10.0]
    slow.warm_seconds[8] = 95.4
    failed = figures("OpenVINO int8", "int8", 50)
    failed.problem = "8 at once: MemoryError"
    failed.warm_seconds[8] = 1.0
    disturbed = figures("PyTorch eager", "fp32", 20, 40)
    disturbed.others = {1: [0.0, 0.1, 0.0], 8: [0.0, 1.24, 0.1]}
    assert remarks([slow, failed, disturbed], WORKLOAD)[2:] == [
        "TensorFlow eager, 8 at once: 1 of 3 rounds, because its warm turn took 95 s",
        "OpenVINO int8: 8 at once: MemoryError",
        "OpenVINO int8, 8 at once: 0 of 3 rounds, because it failed",
        "PyTorch eager, 8 at once: others used 0.0 to 1.2 cores meanwhile; measure again on a quiet machine",
    ]


def test_the_table_names_everyone(capsys: pytest.CaptureFixture[str]) -> None:
    absent = PeerFigures("CTranslate2 fp32", "fp32", "pip install ctranslate2")
    print_peers("gpt2-small", [*FIELD, absent], WORKLOAD)
    printed = capsys.readouterr().out
    for each in FIELD:
        assert f"{each.speeds[8][1]:.1f}" in next(line for line in printed.splitlines() if each.name in line)
    assert "CTranslate2 fp32" in printed


def test_ratios_and_lines_that_install_are_remarked() -> None:
    absent = PeerFigures("CTranslate2 fp32", "fp32", "pip install ctranslate2")
    absent.problem = "not installed (No module named 'ctranslate2'): pip install ctranslate2"
    lines = remarks([*FIELD, absent], WORKLOAD)
    assert "CTranslate2 fp32: not installed (No module named 'ctranslate2'): pip install ctranslate2" in lines
    assert "8 at once: Plotify int8 is 2.50 times as fast as OpenVINO int8" in lines


def test_results_hold_every_round() -> None:
    results = as_results(FIELD)
    assert [each["name"] for each in results] == [each.name for each in FIELD]
    assert results[0]["tokens_per_second"] == {"1": [1.0, 2, 18], "8": [5.0, 10, 90]}
    assert results[0]["agreement"] is None


@pytest.mark.parametrize("measured", [FIELD, FIELD[:1], []])
def test_the_chart_is_drawn_whoever_was_measured(tmp_path: Path, measured: list[PeerFigures]) -> None:
    draw(tmp_path / "peers.png", "gpt2-small", [*measured, PeerFigures("absent", "fp32", "")], WORKLOAD)
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")
