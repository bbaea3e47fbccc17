"""Reproducibility: a request gives the same tokens alone and among others, or the model is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from server.bundle import Bundle
from server.commands import generate
from server.engine import Engine, EngineConfig, EngineError
from server.engine.arrays import Floats
from server.engine.errors import RowsDiffer
from server.engine.model import loading
from server.engine.model.cache import BLOCK
from server.engine.model.device_runner import DeviceRunner
from server.engine.model.loading import load_runner
from server.engine.model.runner import Runner
from server.settings import SHIPPED_MODEL
from tests.server.reading import PRECISIONS, all_at_once, one_by_one, some_requests, tokens_of
from tests.server.runs import Run, meddle

SHIPPED = Bundle.load(SHIPPED_MODEL)

COMPANIES = (2, 8, 64)


@pytest.mark.parametrize(("precision", "count"), [("fp32", 100), ("int8", 500)])
def test_company_changes_no_token(bundle: Bundle, precision: str, count: int) -> None:
    requests = some_requests(count, seed=20)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        alone = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(precision, threads=1, rows=64, queue=2 * count)) as engine:
        assert all_at_once(engine, requests) == alone
        assert all_at_once(engine, requests[::-1]) == alone[::-1]
    assert len({tuple(tokens) for tokens in alone}) > count // 2, "they are not all the same anyway"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [2, 3, 7])
def test_rows_change_no_token(bundle: Bundle, precision: str, rows: int) -> None:
    requests = some_requests(30, seed=21)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        alone = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(precision, threads=1, rows=rows, kept=2, queue=60)) as engine:
        assert all_at_once(engine, requests) == alone


def test_two_engines_write_the_same(bundle: Bundle) -> None:
    requests = some_requests(30, seed=22)
    with Engine(bundle, EngineConfig(threads=1)) as first, Engine(bundle, EngineConfig(threads=1)) as second:
        assert all_at_once(first, requests) == one_by_one(second, requests)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", SHIPPED.manifest.precisions)
def test_company_changes_no_bit_of_the_model_that_ships(precision: str, threads: int) -> None:
    runner = Runner(SHIPPED, precision, threads, rows=64)
    prompts = [[(31 * row + 7 * place) % 6144 for place in range(7 * row % 40 + 1)] for row in range(64)]
    read = [runner.prefill(row, 0, [prompt])[0].copy() for row, prompt in enumerate(prompts)]
    lengths = [len(prompt) for prompt in prompts]
    written = [decoded(runner, row, prompt) for row, prompt in enumerate(prompts)]
    for count in COMPANIES:
        assert np.array_equal(runner.prefill(0, 0, prompts[:count]), read[:count])
        assert np.array_equal(runner.decode(range(count), lengths[:count]), written[:count])


def decoded(runner: Runner, token: int, prompt: list[int]) -> Floats:
    """Return the logits [vocab] after `prompt` and `token`, alone on the runner."""
    runner.prefill(0, 0, [prompt])
    logits: Floats = runner.decode([token], [len(prompt)])[0].copy()
    return logits


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", SHIPPED.manifest.precisions)
def test_the_model_that_ships_writes_the_same(
    monkeypatch: pytest.MonkeyPatch, runs: list[Run], precision: str, threads: int
) -> None:
    """Among others, with a prefix cache hit, after a failure of the model, and in another engine."""
    requests = some_requests(64, seed=23)
    with Engine(SHIPPED, EngineConfig(precision, threads=1, kept=0)) as engine:
        alone = one_by_one(engine, requests)
    assert len({tuple(tokens) for tokens in alone}) > 32, "they are not all the same anyway"
    long = [place for place, request in enumerate(requests) if len(request.prompt) > 2 * BLOCK and not request.against]
    again, expected = [requests[place] for place in long[:8]], [alone[place] for place in long[:8]]

    def fail_once(count: int, decode: Callable[[], Floats], runner: Runner) -> Floats:
        if count == 1:
            raise RuntimeError("out of memory")
        return decode()

    with Engine(SHIPPED, EngineConfig(precision, threads, rows=64, queue=128)) as engine:
        for count in COMPANIES:
            assert all_at_once(engine, requests[:count]) == alone[:count]
        assert one_by_one(engine, again) == expected
        runs.clear()
        assert one_by_one(engine, again) == expected
        assert {run.tokens <= BLOCK for run in runs if run.kind == "prefill"} == {True}, "the rest was kept"
        with monkeypatch.context() as patched:
            meddle(patched, fail_once)
            with pytest.raises(EngineError, match="out of memory"):
                tokens_of(engine.submit(replace(again[0], sampling=replace(again[0].sampling, max_tokens=2))))
        assert all_at_once(engine, requests[:8]) == alone[:8]
        assert engine.restarts == 1
    with Engine(SHIPPED, EngineConfig(precision, threads, rows=64, queue=128)) as engine:
        assert all_at_once(engine, requests[::-1]) == alone[::-1]


@pytest.fixture
def entangled(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    """A bundle with an "int8" model with one scale for the head's input, so rows depend on each other."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "entangled")
    model = onnx.load(folder / "model.fp32.onnx")
    (head,) = (node for node in model.graph.node if "logits" in node.output)
    quantize = helper.make_node("DynamicQuantizeLinear", [head.input[0]], ["rows.uint8", "rows.scale", "rows.zero"])
    restore = helper.make_node("DequantizeLinear", list(quantize.output), ["rows.restored"])
    head.input[0] = restore.output[0]
    place = list(model.graph.node).index(head)
    model.graph.node.insert(place, restore)
    model.graph.node.insert(place, quantize)
    content = model.SerializeToString()
    manifest = json.loads((folder / "bundle.json").read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    manifest["precisions"]["int8"] |= {"sha256": digest, "bytes": len(content), "cache_type": "float32"}
    (folder / "model.int8.onnx").write_bytes(content)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


def only(bundle: Bundle, precision: str) -> Bundle:
    manifest = bundle.manifest
    return replace(bundle, manifest=replace(manifest, precisions={precision: manifest.precisions[precision]}))


REFUSAL = r"model\.int8\.onnx: on this processor a text would depend on the other texts .*; choose another precision$"


def test_a_model_whose_rows_depend_on_one_another_is_refused(entangled: Bundle) -> None:
    for bundle, precision in ((entangled, "int8"), (only(entangled, "int8"), None)):
        for rows in (2, 64):
            with pytest.raises(RowsDiffer, match=REFUSAL):
                Engine(bundle, EngineConfig(precision, threads=1, rows=rows, kept=0))
    with Engine(entangled, EngineConfig("int8", threads=1, rows=1, kept=0)) as engine:
        assert engine.precision == "int8", "there are no other rows"


def test_the_next_precision_is_taken_with_one_line(entangled: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with Engine(entangled, EngineConfig(threads=1)) as engine:
        assert engine.precision == "fp32"
        requests = some_requests(8, seed=24)
        assert all_at_once(engine, requests) == one_by_one(engine, requests)
    (line,) = caplog.messages
    assert line.startswith("Using the precision fp32 instead: ")
    assert line.count("\n") == 0


def test_the_command_says_so_in_one_line(entangled: Bundle) -> None:
    model = ("--model", str(entangled.path))
    done = CliRunner().invoke(generate, ["A door", *model, "--precision", "int8"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "choose another precision" in done.output
    assert CliRunner().invoke(generate, ["A door", *model, "--max-tokens", "2"]).exit_code == 0


def test_rows_on_a_gpu_are_not_compared(entangled: Bundle, monkeypatch: pytest.MonkeyPatch, runs: list[Run]) -> None:
    monkeypatch.setattr(loading, "DeviceRunner", partial(DeviceRunner, device="cpu"))
    load_runner(entangled, "cuda", "int8", threads=1, rows=4, capture=False)
    assert {run.rows for run in runs} == {1}
