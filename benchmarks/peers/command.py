"""The command `plotify bench peers`: compares our engine with others."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated

import click

from benchmarks import frame, gpt2_small
from benchmarks.circumstances import processor
from benchmarks.gpt2_small import Weights
from benchmarks.peers.contenders import SLOW_SECONDS, Peer, Workload, compete
from benchmarks.peers.generate import OptimumOnnx, PyTorchCompiled, PyTorchEager, TensorFlowEager
from benchmarks.peers.native import HINTS, CTranslate2, LlamaCpp, OpenVino
from benchmarks.peers.plotify import Plotify
from benchmarks.peers.report import as_results, draw, print_peers, remarks
from server.cores import cores
from server.engine.model.device import RUNS_ON_CUDA, choose_device, gpu_name

FAMILIES: dict[str, dict[str, Callable[[], tuple[Peer, ...]]]] = {
    "cpu": {
        "tensorflow": lambda: (TensorFlowEager(),),
        "pytorch": lambda: (PyTorchEager(),),
        "optimum": lambda: (OptimumOnnx(),),
        "ctranslate2": lambda: (CTranslate2("fp32"), CTranslate2("int8"), CTranslate2("int8", replicas=True)),
        "llama.cpp": lambda: (LlamaCpp("f32"), LlamaCpp("q8_0"), LlamaCpp("q4_0")),
        "openvino": lambda: tuple(map(OpenVino, HINTS)),
    },
    "cuda": {
        "pytorch": lambda: (
            PyTorchEager(precision="fp16", device="cuda"),
            PyTorchCompiled(precision="fp16", device="cuda"),
        )
    },
}
PRECISIONS = {"cpu": ("fp32", "int8"), "cuda": RUNS_ON_CUDA}


def ours(device: str, precision: str, rows: int) -> tuple[Plotify, ...]:
    """Return our engine in a precision; on a GPU, with `rows` rows, with CUDA graphs and without."""
    if device == "cpu":
        return (Plotify(precision),)
    return tuple(Plotify(precision, device, rows, capture) for capture in (True, False))


def names(known: Mapping[str, Collection[str]], help: str | None = None) -> frame.Option:
    """Return an option for a list of the names known for the device, or "all"."""

    def read(context: click.Context, parameter: click.Parameter, given: str) -> tuple[str, ...]:
        return frame.names_of(known[context.params["device"]], given)

    return frame.option(help, default="all", callback=read, metavar="NAME,NAME")


def different(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Return the numbers in "1,8,64". Raises click.BadParameter unless they are different and over 0."""
    found = frame.whole_numbers(context, parameter, given)
    if len(set(found)) < len(found):
        raise click.BadParameter(f"{given!r} must have different numbers, 1 or more")
    return found


@frame.command
def peers(
    model: Annotated[str, frame.option("A folder with checkpoint, hf and bundle in it.", default="gpt2-small")],
    device: Annotated[str, frame.choice("cpu", FAMILIES, is_eager=True)],
    peers: Annotated[tuple[str, ...], names(FAMILIES)],
    precisions: Annotated[tuple[str, ...], names(PRECISIONS, "Precisions of our engine.")],
    concurrency: Annotated[tuple[int, ...], frame.option("Requests at once.", default="1,8,64", callback=different)],
    rounds: Annotated[int, frame.count(3, "Rounds, after a warm-up.")],
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens per request.")],
    limit: Annotated[float, frame.option("Seconds for a turn; a contender that takes longer is out.", default=600.0)],
    out: Annotated[Path, frame.option("Folder for figures and logs.", required=True, type=frame.FOLDER)],
) -> None:
    """Compare our engine with other engines for the same model.

    All have the same weights, prompts and cores, and decode greedily. Each has its own process, and they take turns.
    gpt2-small is GPT-2 small with random weights. The first run makes it, and the files for the other engines. If a
    peer is not installed, you get the line to install it. Peers on a processor: tensorflow, pytorch, optimum,
    ctranslate2, llama.cpp, openvino. On a GPU, with --device cuda: pytorch, eager and compiled, and our engine with and
    without CUDA graphs, all in float16. docs/peers.md explains the set-up of each. A line for each turn says how much
    time is left. The fastest contenders go first. After Ctrl-C the figures so far are printed and written.

    \b
    Examples:
      plotify bench peers --out build/peers
      plotify bench peers --peers ctranslate2,openvino --precisions int8 --concurrency 1,64 --out build/peers
      plotify bench peers --device cuda --concurrency 1,8,64,256 --out build/gpu
    """
    choose_device(device)
    weights = find_weights(model)
    config = json.loads((weights.hf / "config.json").read_text(encoding="utf-8"))
    frame.check_context(config["n_positions"], prompt_tokens, new_tokens)
    contenders: list[Peer] = [peer for name in peers for peer in FAMILIES[device][name]()]
    contenders += [each for precision in precisions for each in ours(device, precision, max(concurrency))]
    slow = math.inf if device == "cuda" else SLOW_SECONDS  # on a GPU, only compiling makes a warm-up slow
    workload = Workload(concurrency, rounds, prompt_tokens, new_tokens, config["vocab_size"], slow, limit)
    with frame.progress("Measuring", workload.steps(len(contenders))) as advance:
        folder, logs = conversions(weights), out / "logs"
        figures = compete(contenders, weights, workload, folder, logs, lambda step: advance(line=step))
    settings = frame.settings("model", "device", "prompt_tokens", "new_tokens", "rounds")
    title = model
    if device == "cuda":
        settings["gpu"] = gpu_name()
        title += f" on {settings['gpu']}"
    frame.write_json(out / "peers.json", settings, as_results(figures))
    draw(out / "peers.png", f"{title}, {prompt_tokens} + {new_tokens} tokens", figures, workload)
    print_peers(title, figures, workload)
    click.echo(f"Measured on {cores()} cores of {processor()}.")
    for remark in remarks(figures, workload):
        click.echo(remark)  # unwrapped, so you can copy the pip lines


def find_weights(model: str) -> Weights:
    """Return the weights of gpt2-small, made if needed, or those in a folder.

    Raises:
        click.ClickException: a file is missing.
    """
    if model == "gpt2-small":
        return gpt2_small.weights()
    folder = Path(model)
    for file in ("checkpoint/tf_model.h5", "hf/model.safetensors", "bundle/bundle.json"):
        if not (folder / file).is_file():
            raise click.ClickException(f"{folder}: {file} is missing; docs/peers.md lists the files")
    return Weights(folder / "checkpoint", folder / "hf", folder / "bundle")


def conversions(weights: Weights) -> Path:
    """Return the folder for the peers' own files of these weights. Other weights have another folder."""
    with (weights.hf / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return weights.hf.parent / "peers" / digest[:12]
