"""GPT-2 small with random weights, for benchmarks offline: `python -m benchmarks.gpt2_small`.

The speed of a model does not depend on its weights. This writes a checkpoint in the layout of `plotify train`, the same
weights in Hugging Face's layout, and a bundle made by `plotify export` with all its checks.
"""

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from silence import silent

FOLDER = Path("build/gpt2-small")
PRECISIONS = ("fp32", "int8", "fp16")

VOCABULARY = 50_257
END_OF_TEXT = "<|endoftext|>"
TEXTS = (
    "A lighthouse keeper finds a letter that he wrote to himself, and nobody on the island believes him.",
    "Two sisters inherit a railway station where no train has stopped for forty years.",
    "An orphaned chess player follows a stranger through the old harbour until the river turns back.",
)


@dataclass(frozen=True)
class Weights:
    """The same weights in three folders: for TensorFlow, for Hugging Face's PyTorch, and for the engine."""

    checkpoint: Path
    hf: Path
    bundle: Path


def weights(folder: Path = FOLDER) -> Weights:
    """Return the weights in `folder`. If needed, make them first, in a separate process, in minutes.

    A bundle without one of `PRECISIONS`, from an earlier version, is made again.

    Raises:
        ChildProcessError: they could not be made. The reason is on standard error.
    """
    made = Weights(folder / "checkpoint", folder / "hf", folder / "bundle")
    manifest = made.bundle / "bundle.json"
    carried = json.loads(manifest.read_bytes())["precisions"] if manifest.is_file() else ()
    if not set(PRECISIONS) <= set(carried):
        done = subprocess.run([sys.executable, "-m", "benchmarks.gpt2_small", "--out", str(folder)], check=False)
        if done.returncode:
            raise ChildProcessError("GPT-2 with random weights could not be made; the reason is above")
    return made


def make_tokenizer() -> Tokenizer:
    """Return a byte-level BPE of GPT-2's size: all bytes, and invented syllables of two to four letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    space = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(" ")[0][0]
    two = [(first, second) for first in letters for second in letters]
    three = [("".join(pair), letter) for pair in two for letter in letters]
    spaced = [(space, "".join(parts)) for parts in (*two, *three)]
    four = (("".join(parts), letter) for parts in three for letter in letters)
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = list(itertools.islice(itertools.chain(two, three, spaced, four), VOCABULARY - len(bytes_) - 1))
    tokens = [*bytes_, *("".join(parts) for parts in merges), END_OF_TEXT]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def write_checkpoint(folder: Path) -> None:
    """Write the TensorFlow checkpoint, in the layout of `plotify train`."""
    import export.convert  # noqa: F401  (it sets how TensorFlow and transformers load)

    # isort: split
    with silent():
        import tensorflow as tf
    from transformers import GPT2Config, TFGPT2LMHeadModel, logging

    from training.checkpoint import round_matrices

    logging.set_verbosity_error()

    tokenizer = make_tokenizer()
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    tf.keras.utils.set_random_seed(1)
    model = TFGPT2LMHeadModel(GPT2Config(bos_token_id=end_of_text, eos_token_id=end_of_text))
    model(tf.constant([[end_of_text]]))
    for weight in model.weights:  # biases too: they start as zeros, and could hide a mistake
        weight.assign(weight + tf.random.normal(weight.shape, stddev=0.01))
    round_matrices(model)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    documents = [{"text": text, "genres": [], "title": "Invented", "source": "mpst"} for text in TEXTS]
    (folder / "test.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    provenance = {"corpora": [{"name": "none: the weights are random"}], "training": {"steps": 0}, "licence": "MIT"}
    manifest = {
        "name": "gpt2-small",
        "prompt": {"template": "{genre}: {text}", "any_genre": "Plot", "genres": []},
        "sampling": {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "repetition_penalty": 1.0, "guidance": 1.0},
        "provenance": provenance | {"versions": {"tensorflow": tf.__version__}},
    }
    (folder / "plotify.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def write_twin(checkpoint: Path, folder: Path) -> None:
    """Write the same weights in Hugging Face's layout for PyTorch."""
    from export.checkpoint import read_checkpoint
    from export.convert import load_tensorflow, to_torch

    to_torch(load_tensorflow(read_checkpoint(checkpoint))).save_pretrained(folder)
    shutil.copyfile(checkpoint / "tokenizer.json", folder / "tokenizer.json")


@click.command()
@click.option("--out", default=FOLDER, show_default=True, type=click.Path(path_type=Path))
def make(out: Path) -> None:
    """Make GPT-2 small with random weights in the folder --out, for benchmarks.

    \b
    Example:
      python -m benchmarks.gpt2_small --out build/gpt2-small
    """
    from rich.console import Console

    from export.bundle import export_bundle

    console = Console(stderr=True)
    console.print("Making GPT-2 small with random weights")
    made = Weights(out / "checkpoint", out / "hf", out / "bundle")
    for part in (made.checkpoint, made.hf, made.bundle):  # keep the folder with the peers' own files
        shutil.rmtree(part, ignore_errors=True)
    made.checkpoint.mkdir(parents=True)
    write_checkpoint(made.checkpoint)
    write_twin(made.checkpoint, made.hf)
    export_bundle(made.checkpoint, made.bundle, precisions=PRECISIONS, console=console)


if __name__ == "__main__":
    make()
