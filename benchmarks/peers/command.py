"""The command `plotify bench peers`."""

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
    """Our engine in a precision; on a GPU as many rows as that, with decodes kept as CUDA graphs and without."""
    if device == "cpu":
        return (Plotify(precision),)
    return tuple(Plotify(precision, device, rows, capture) for capture in (True, False))


def names(known: Mapping[str, Collection[str]], help: str | None = None) -> frame.Option:
    """An option that is a list of names known for the device, "all" for each of them."""

    def read(context: click.Context, parameter: click.Parameter, given: str) -> tuple[str, ...]:
        return frame.names_of(known[context.params["device"]], given)

    return frame.option(help, default="all", callback=read, metavar="NAME,NAME")


def different(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Of "1,8,64". Raises click.BadParameter for anything but different numbers over 0."""
    found = frame.whole_numbers(context, parameter, given)
    if len(set(found)) < len(found):
        raise click.BadParameter(f"{given!r} must hold different numbers, 1 or more")
    return found


@frame.command
def peers(
    model: Annotated[str, frame.option("A folder with checkpoint, hf and bundle in it.", default="gpt2-small")],
    device: Annotated[str, frame.choice("cpu", FAMILIES, is_eager=True)],
    peers: Annotated[tuple[str, ...], names(FAMILIES)],
    precisions: Annotated[tuple[str, ...], names(PRECISIONS, "Of our engine.")],
    concurrency: Annotated[tuple[int, ...], frame.option("Requests at once.", default="1,8,64", callback=different)],
    rounds: Annotated[int, frame.count(3, "Turns of each, after a warm one.")],
    prompt_tokens: Annotated[int, frame.count(64)],
    new_tokens: Annotated[int, frame.count(64, "New tokens of each.")],
    out: Annotated[Path, frame.option("For figures and logs.", required=True, type=frame.FOLDER)],
) -> None:
    """Our engine against the engines you could run the same model with instead.

    The same weights, prompts and cores for all, greedy; each in a process of its own, by turns. gpt2-small is GPT-2 at
    its real size with random weights, made at the first run; so are the files that the others want. A peer that is not
    installed is named with the line that installs it. Peers on a processor: tensorflow, pytorch, optimum, ctranslate2,
    llama.cpp, openvino; on a GPU, with --device cuda: pytorch, eager and compiled, beside our engine with CUDA graphs
    and without, all in float16. docs/peers.md says how each is set up.

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
    slow = math.inf if device == "cuda" else SLOW_SECONDS  # there a warm turn is slow only where it compiles
    workload = Workload(concurrency, rounds, prompt_tokens, new_tokens, config["vocab_size"], slow)
    with frame.progress("", workload.steps(len(contenders))) as advance:
        folder, logs = conversions(weights), out / "logs"
        figures = compete(contenders, weights, workload, folder, logs, lambda step: advance(description=step))
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
        click.echo(remark)  # unwrapped, so that a line that installs can be copied


def find_weights(model: str) -> Weights:
    """Those of gpt2-small, made first if they are not there, or of a folder. Raises click.ClickException."""
    if model == "gpt2-small":
        return gpt2_small.weights()
    folder = Path(model)
    for file in ("checkpoint/tf_model.h5", "hf/model.safetensors", "bundle/bundle.json"):
        if not (folder / file).is_file():
            raise click.ClickException(f"{folder}: {file} is missing; see docs/peers.md for what belongs there")
    return Weights(folder / "checkpoint", folder / "hf", folder / "bundle")


def conversions(weights: Weights) -> Path:
    """Where the peers' own files of these very weights are kept: other weights get another folder."""
    with (weights.hf / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return weights.hf.parent / "peers" / digest[:12]
