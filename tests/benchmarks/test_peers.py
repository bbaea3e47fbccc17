"""`plotify bench peers` on the tiny checkpoint: every peer runs the same weights, at any speed.

Tests are skipped if their peer is not installed.
"""

import importlib.util
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from benchmarks.gpt2_small import Weights
from benchmarks.peers import command
from benchmarks.peers.command import FAMILIES, PRECISIONS, conversions, ours, peers
from benchmarks.peers.contenders import REST, Contender, Peer, Workload, compete
from benchmarks.peers.native import gguf_name
from benchmarks.peers.plotify import Plotify, meet_every_count
from benchmarks.peers.report import agreements
from server.bundle import Bundle
from server.engine import Engine, EngineConfig
from server.engine.model import device as devices
from server.engine.model.runner import Runner
from tests.conftest import PYTHON, run

MODULES = {
    "tensorflow": ("tensorflow", "tf_keras", "transformers"),
    "pytorch": ("torch", "transformers"),
    "optimum": ("optimum.onnxruntime",),
    "ctranslate2": ("ctranslate2",),
    "llama.cpp": ("llama_cpp", "gguf"),
    "openvino": ("openvino_genai", "optimum.intel", "nncf"),
}
ON_CPU = FAMILIES["cpu"]
WORKLOAD = Workload(concurrency=(3,), rounds=1, prompt_tokens=8, new_tokens=6, vocabulary=400)
WIDE = """
import sys, torch, transformers
torch.manual_seed(1)
config = transformers.GPT2Config(
    vocab_size=400, n_positions=128, n_embd=64, n_layer=2, n_head=2, initializer_range=0.2
)
transformers.GPT2LMHeadModel(config).save_pretrained(sys.argv[1])
"""
SMALL = ("--prompt-tokens", "8", "--new-tokens", "6", "--rounds", "1")


@pytest.fixture(scope="session")
def tiny_weights(tiny_checkpoint: Path, tiny_bundle: Path) -> Weights:
    twin = tiny_checkpoint.parent / "hf"
    script = (
        "import sys, pathlib as p; from benchmarks.gpt2_small import write_twin; write_twin(*map(p.Path, sys.argv[1:]))"
    )
    run(PYTHON, "-c", script, tiny_checkpoint, twin)
    return Weights(tiny_checkpoint, twin, tiny_bundle)


@pytest.fixture(scope="session")
def wide_weights(tiny_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Random weights of width 64, in PyTorch's layout: below that, llama.cpp's AMX products are wrong."""
    folder = tmp_path_factory.mktemp("wide") / "hf"
    run(PYTHON, "-c", WIDE, folder)
    (folder / "tokenizer.json").write_bytes((tiny_weights.hf / "tokenizer.json").read_bytes())
    return Weights(folder, folder, folder)


@pytest.mark.parametrize("family", list(ON_CPU))
def test_each_peer_writes_what_pytorch_writes(
    tiny_weights: Weights, wide_weights: Weights, tmp_path: Path, family: str
) -> None:
    """In fp32 all tokens agree. With fewer bits the first agrees more often than by chance, 1 in 400."""
    _skip_unless_installed(family)
    weights = wide_weights if family == "llama.cpp" else tiny_weights
    contenders: list[Peer] = [*ON_CPU[family](), *(ON_CPU["pytorch"]() if family != "pytorch" else ())]
    figures = compete(contenders, weights, WORKLOAD, conversions(weights), tmp_path)
    alike = agreements(figures)
    for each in figures:
        assert each.problem is None, f"{each.problem}\n{(tmp_path / each.name.replace(' ', '-')).with_suffix('.log')}"
        assert len(each.speeds[3]) == 1
        if each.precision == "fp32":
            assert alike[each.name].all == 1.0, each.name
        else:
            assert alike[each.name].first >= 0.25, each.name


@pytest.mark.parametrize("family", list(ON_CPU))
def test_a_peer_that_waits_does_not_compute(wide_weights: Weights, tiny_weights: Weights, family: str) -> None:
    """Otherwise it would slow down the contender with the turn."""
    if not Path("/proc/self/stat").is_file():
        pytest.skip("processor time is read from /proc")
    _skip_unless_installed(family)
    weights = wide_weights if family == "llama.cpp" else tiny_weights
    contender = Contender(ON_CPU[family]()[0], weights, conversions(weights), weights.hf / "waiting.log")
    try:
        contender.wait()
        assert contender.take(WORKLOAD.prompts(3, seed=0), 6), contender.figures.problem
        time.sleep(REST)
        [process] = multiprocessing.active_children()
        before = _processor_ticks(process.pid)
        time.sleep(1)
        assert _processor_ticks(process.pid) - before < 10, "over a tenth of a core"
    finally:
        contender.close()


def test_our_engine_writes_what_pytorch_writes(tiny_weights: Weights, tmp_path: Path) -> None:
    carried = json.loads((tiny_weights.bundle / "bundle.json").read_text())["precisions"]
    contenders: list[Peer] = [*ON_CPU["pytorch"](), *(Plotify(name) for name in PRECISIONS["cpu"] if name in carried)]
    figures = compete(contenders, tiny_weights, WORKLOAD, tmp_path, tmp_path / "logs")
    assert [each.problem for each in figures] == [None] * len(contenders)
    assert agreements(figures)["Plotify fp32"].all == 1.0


def test_the_command_writes_figures_and_a_chart(tiny_weights: Weights, tmp_path: Path) -> None:
    model = _folder_of(tiny_weights, tmp_path / "model")
    chosen = ("--peers", "pytorch", "--precisions", "fp32", "--concurrency", "1,2")
    done = CliRunner().invoke(peers, ["--model", str(model), "--out", str(tmp_path / "out"), *SMALL, *chosen])
    assert done.exit_code == 0, done.output
    assert "Plotify fp32" in done.output
    assert "100% / 100%" in done.output
    written = json.loads((tmp_path / "out" / "peers.json").read_text())
    assert written["benchmark"] == "peers"
    assert [each["name"] for each in written["results"]] == ["PyTorch eager", "Plotify fp32"]
    assert all(set(each["tokens_per_second"]) == {"1", "2"} for each in written["results"])
    assert (tmp_path / "out" / "peers.png").is_file()
    assert f" cores of {written['machine']['processor']}.\n" in done.output


def test_the_gpu_contenders_write_the_same_as_pytorch(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the whole command with every contender set up for a GPU, but on the processor."""
    _skip_unless_installed("pytorch")
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("torch.compile wants a C++ compiler on a processor")
    pytorch, engines = FAMILIES["cuda"]["pytorch"](), ours("cuda", "fp16", 4)
    for peer in (*pytorch, *engines):
        monkeypatch.setattr(peer, "device", "cpu")
    monkeypatch.setattr(devices, "what_cuda_lacks", lambda: None)
    monkeypatch.setattr(command, "gpu_name", lambda: "Invented 4090")
    monkeypatch.setitem(FAMILIES["cuda"], "pytorch", lambda: pytorch)
    monkeypatch.setattr(command, "ours", lambda device, precision, rows: engines)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    model = _folder_of(tiny_weights, tmp_path / "model")
    chosen = ("--device", "cuda", "--concurrency", "8")
    done = CliRunner().invoke(peers, ["--model", str(model), "--out", str(tmp_path / "out"), *SMALL, *chosen])
    assert done.exit_code == 0, done.output
    assert "on Invented 4090" in done.output
    written = json.loads((tmp_path / "out" / "peers.json").read_text())
    assert (written["settings"]["device"], written["settings"]["gpu"]) == ("cuda", "Invented 4090")
    assert [(each["name"], each["precision"], each["problem"]) for each in written["results"]] == [
        ("PyTorch eager", "fp16", None),
        ("PyTorch torch.compile", "fp16", None),
        ("Plotify fp16", "fp16", None),
        ("Plotify fp16 without graphs", "fp16", None),
    ]
    assert all(each["agreement"]["first"] >= 0.75 for each in written["results"])
    assert all(len(each["tokens_per_second"]["8"]) == 1 for each in written["results"])
    assert list((tmp_path / "compiled").rglob("*.so")), "nothing was compiled"


def test_every_number_of_rows_is_met_before_turns_count(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []

    def decode(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> npt.NDArray[np.float32]:
        met.append(len(tokens))
        return read(runner, tokens, lengths)

    read = Runner.decode
    monkeypatch.setattr(Runner, "decode", decode)
    with Engine(Bundle.load(tiny_bundle), EngineConfig("fp32", 1, rows=5, device="cpu")) as engine:
        met.clear()  # the engine has already run once, to warm up
        meet_every_count(engine)
    assert met == [1, 2, 3, 4, 5]


def test_without_a_gpu_cuda_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "what_cuda_lacks", lambda: devices.NO_DRIVER)
    monkeypatch.setattr(command, "find_weights", lambda model: pytest.fail("made weights"))
    done = CliRunner().invoke(peers, ["--device", "cuda", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.output == f"Error: cuda: {devices.NO_DRIVER}\n"
    assert not (tmp_path / "out").exists()


def test_a_pytorch_without_cuda_is_named_with_the_line_that_installs_another(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _skip_unless_installed("pytorch")
    import torch

    monkeypatch.setattr(torch.version, "cuda", None)
    for peer in FAMILIES["cuda"]["pytorch"]():
        with pytest.raises(ImportError, match=r"torch .* was built without CUDA"):
            peer.prepare(tiny_weights, tmp_path)
        assert peer.install.startswith("pip install torch==2.13.0+cu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--peers", "openvino", "--device", "cuda"), "'openvino' is not one of pytorch"),
        (("--precisions", "int8", "--device", "cuda"), "'int8' is not one of fp16"),
        (("--precisions", "fp16"), "'fp16' is not one of fp32, int8"),
        (("--device", "tpu"), "'tpu' is not one of 'cpu', 'cuda'"),
        (("--concurrency", "1,many"), "'1,many' is not a list of whole numbers"),
        (("--concurrency", "8,8"), "must have different numbers"),
        (("--peers", "pytorch,vllm"), "'vllm' is not one of tensorflow, pytorch"),
        (("--precisions", "fp8"), "'fp8' is not one of fp32, int8"),
        (
            ("--prompt-tokens", "100", "--new-tokens", "100"),
            "100 prompt and 100 new tokens are more than",
        ),
    ],
)
def test_impossible_options_are_refused(
    tiny_weights: Weights, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    model = _folder_of(tiny_weights, tmp_path / "model")
    done = CliRunner().invoke(peers, ["--model", str(model), "--out", str(tmp_path / "out"), *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_a_folder_without_the_weights_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(peers, ["--model", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "checkpoint/tf_model.h5 is missing" in done.output


def test_weights_have_gguf_names() -> None:
    assert gguf_name("transformer.wte.weight") == "token_embd.weight"
    assert gguf_name("transformer.h.11.mlp.c_proj.bias") == "blk.11.ffn_down.bias"


def test_contenders_have_names_of_their_own() -> None:
    for device, families in FAMILIES.items():
        names = [peer.name for family in families.values() for peer in family()]
        names += [peer.name for precision in PRECISIONS[device] for peer in ours(device, precision, 64)]
        assert len(set(names)) == len(names)
        assert set(families) <= set(MODULES)
    assert set(MODULES) == set(ON_CPU)


def _folder_of(weights: Weights, folder: Path) -> Path:
    folder.mkdir()
    for name in ("checkpoint", "hf", "bundle"):
        (folder / name).symlink_to(getattr(weights, name), target_is_directory=True)
    return folder


def _skip_unless_installed(family: str) -> None:
    for module in MODULES[family]:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # its parent package is missing
            found = None
        if found is None:
            pytest.skip(f"{module} is not installed")


def _processor_ticks(process: int | None) -> int:
    """Return user and system time, in hundredths of a second."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
