"""The command `plotify bench peers`."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from benchmarks import gpt2_small
from benchmarks.gpt2_small import Weights
from benchmarks.lists import some_of, whole_numbers
from benchmarks.peers.compiled import PyTorchCompiled
from benchmarks.peers.ctranslate import CTranslate2
from benchmarks.peers.eager import PyTorchEager, TensorFlowEager
from benchmarks.peers.engine import Plotify
from benchmarks.peers.llama import LlamaCpp
from benchmarks.peers.openvino import HINTS, OpenVino
from benchmarks.peers.optimum_onnx import OptimumOnnx
from benchmarks.peers.peer import Peer
from server.cores import cores
from server.engine.errors import DeviceError
from server.engine.model.device import RUNS_ON_CUDA, choose_device, gpu_name

Names = tuple[str, ...]

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
        ),
    },
}
PRECISIONS = {"cpu": ("fp32", "int8"), "cuda": RUNS_ON_CUDA}


def ours(device: str, precision: str, rows: int) -> tuple[Plotify, ...]:
    """Our engine in a precision; on a GPU as many rows as that, with decodes kept as CUDA graphs and without."""
    if device == "cpu":
        return (Plotify(precision),)
    return tuple(Plotify(precision, device, rows, capture) for capture in (True, False))


def some_there(known: Mapping[str, Collection[str]]) -> Callable[[click.Context, click.Parameter, str], Names]:
    """A callback for an option that is a list of what is known for the device, "all" for each of them."""

    def read(context: click.Context, parameter: click.Parameter, given: str) -> Names:
        return some_of(tuple(known[context.params["device"]]))(context, parameter, given)

    return read


def counts(context: click.Context, parameter: click.Parameter, given: str) -> tuple[int, ...]:
    """Of "1,8,64". Raises click.BadParameter for anything but different numbers over 0."""
    numbers = whole_numbers(context, parameter, given)
    if len(set(numbers)) < len(numbers):
        raise click.BadParameter(f"{given!r} must hold different numbers, 1 or more")
    return numbers


@click.command()
@click.option("--model", default="gpt2-small", show_default=True, help="A folder with checkpoint, hf and bundle in it.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(list(FAMILIES)), is_eager=True)
@click.option("--peers", default="all", show_default=True, callback=some_there(FAMILIES), metavar="NAME,NAME")
@click.option("--precisions", default="all", show_default=True, callback=some_there(PRECISIONS), help="Of our engine.")
@click.option("--concurrency", default="1,8,64", show_default=True, callback=counts, help="Requests at once.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each, after a warm one.")
@click.option("--prompt-tokens", default=64, show_default=True, type=click.IntRange(1))
@click.option("--new-tokens", default=64, show_default=True, type=click.IntRange(1), help="New tokens of each.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="For figures and logs.")
def peers(
    model: str,
    device: str,
    peers: Names,
    precisions: Names,
    concurrency: tuple[int, ...],
    rounds: int,
    prompt_tokens: int,
    new_tokens: int,
    out: Path,
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
    from benchmarks.peers.course import SLOW_SECONDS, Course
    from benchmarks.peers.report import as_results, draw, peers_table, remarks
    from benchmarks.peers.turns import compete
    from benchmarks.report import processor, write_json

    try:
        choose_device(device)
    except DeviceError as missing:
        raise click.ClickException(str(missing)) from missing
    weights = find_weights(model)
    config = json.loads((weights.hf / "config.json").read_text(encoding="utf-8"))
    if prompt_tokens + new_tokens > config["n_positions"]:
        raise click.UsageError(
            f"{prompt_tokens} prompt and {new_tokens} new tokens are over the model's {config['n_positions']}."
        )
    contenders: list[Peer] = [peer for name in peers for peer in FAMILIES[device][name]()]
    contenders += [each for precision in precisions for each in ours(device, precision, max(concurrency))]
    slow = math.inf if device == "cuda" else SLOW_SECONDS  # there a warm turn is slow only where it compiles
    course = Course(concurrency, rounds, prompt_tokens, new_tokens, config["vocab_size"], slow)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=course.steps(len(contenders)))
        figures = compete(
            contenders,
            weights,
            course,
            folder=conversions(weights),
            logs=out / "logs",
            progress=lambda step: bar.update(task, description=step, advance=1),
        )
    settings = {
        "model": model,
        "device": device,
        "prompt_tokens": prompt_tokens,
        "new_tokens": new_tokens,
        "rounds": rounds,
    }
    title = model
    if device == "cuda":
        settings["gpu"] = gpu_name()
        title += f" on {settings['gpu']}"
    write_json(out / "peers.json", "peers", settings, as_results(figures))
    draw(out / "peers.png", f"{title}, {prompt_tokens} + {new_tokens} tokens", figures, course)
    Console().print(peers_table(title, figures, course))
    click.echo(f"Measured on {cores()} cores of {processor()}.")
    for remark in remarks(figures, course):
        click.echo(remark)  # unwrapped, so that a line that installs can be copied


def find_weights(model: str) -> Weights:
    """Those of gpt2-small, made first if they are not there, or of a folder. Raises click.ClickException."""
    if model == "gpt2-small":
        try:
            return gpt2_small.weights()
        except ChildProcessError as failed:
            raise click.ClickException(str(failed)) from failed
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
