"""From a checkpoint to a bundle: convert, verify, measure, describe; all of it or nothing."""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from export import convert
from export.card import write_card
from export.checkpoint import Checkpoint, read_checkpoint
from export.diversity import distinct, mean_words, repetition
from export.folder import whole_folder
from export.graph import Graph, check_graph, share_tied_embedding
from export.half_weights import store_half
from export.parity import Logits, verify
from export.perplexity import Score, ScoredText, score, texts_to_score
from export.samples import NEW_TOKENS, continue_prompts, cut_held_out, draw_samples

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

FORMAT = 1
MANIFEST, TOKENIZER, CARD, WEIGHTS = "bundle.json", "tokenizer.json", "MODEL_CARD.md", "model.fp32.onnx"
PACKAGES = ("tensorflow", "transformers", "torch", "optimum-onnx", "onnx", "tokenizers")


def export_bundle(
    folder: Path,
    out: Path,
    name: str | None = None,
    force: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Makes the bundle `out` of the checkpoint in `folder`, and returns its manifest.

    `name` is the model's (None: the checkpoint's); `force` replaces an existing bundle. Progress goes to `console`.
    Raises ExportError, leaving `out` as it was, when the checkpoint is not one or a check fails.
    """
    console = console or Console(quiet=True)
    with whole_folder(out, MANIFEST, force) as building:
        checkpoint = read_checkpoint(folder)
        texts = texts_to_score(checkpoint)
        console.print(f"Reading the weights of {folder}")
        original = convert.load_tensorflow(checkpoint)
        twin = convert.to_torch(original)

        console.print("Converting them to ONNX")
        halved = write_graph(twin, checkpoint, building / WEIGHTS)
        graph = Graph(building / WEIGHTS, checkpoint.model)
        console.print("Comparing greedy tokens and logits with the checkpoint's")
        parity = verify(graph, partial(convert.tensorflow_logits, original), checkpoint)
        measured = _measure(graph.logits, texts, "Scoring the graph", console)

        console.print("Drawing samples")
        shutil.copyfile(folder / TOKENIZER, building / TOKENIZER)
        manifest = {
            "format": FORMAT,
            "name": name or checkpoint.name,
            "model": asdict(checkpoint.model),
            "prompt": asdict(checkpoint.prompt),
            "sampling": checkpoint.sampling,
            "tokenizer": {"file": TOKENIZER, "sha256": _sha256(building / TOKENIZER)},
            "precisions": {"fp32": _describe(building / WEIGHTS, measured)},
            "provenance": {
                **checkpoint.provenance,
                "export": {
                    "versions": {
                        "onnxruntime": onnxruntime.__version__,  # of whichever of its wheels is installed
                        **{package: version(package) for package in PACKAGES},
                    },
                    "parameters": twin.num_parameters(),
                    "weights_stored_as": "float16" if halved else "float32",
                    "verified": asdict(parity),
                    "measured": {
                        "documents": len(texts),
                        "cut_to_context": sum(text.cut for text in texts),
                        "tokens": measured.tokens,
                        "bytes": measured.bytes,
                    },
                    "sampled": _diversity(twin, checkpoint),
                },
            },
        }
        (building / CARD).write_text(write_card(manifest, "fp32", draw_samples(twin, checkpoint)), encoding="utf-8")
        (building / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def write_graph(model: "GPT2LMHeadModel", checkpoint: Checkpoint, file: Path) -> int:
    """Writes `model` to `file` as an ONNX graph of format 1 with one embedding; says how many matrices are halved."""
    with tempfile.TemporaryDirectory(prefix="optimum-", dir=file.parent) as folder:
        graph = onnx.load(convert.to_onnx(model, Path(folder)), load_external_data=False)
    check_graph(graph, checkpoint.model)
    share_tied_embedding(graph)
    halved = store_half(graph)
    onnx.save(graph, file)
    return halved


def _measure(logits: Logits, texts: list[ScoredText], title: str, console: Console) -> Score:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=len(texts))
        return score(logits, texts, partial(progress.advance, task))


def _describe(file: Path, measured: Score) -> dict[str, Any]:
    return {
        "file": file.name,
        "sha256": _sha256(file),
        "bytes": file.stat().st_size,
        "perplexity": measured.perplexity,
        "bits_per_byte": measured.bits_per_byte,
        "perplexity_vs_fp32": 1.0,  # this is fp32
    }


def _diversity(model: "GPT2LMHeadModel", checkpoint: Checkpoint) -> dict[str, Any]:
    held_out = cut_held_out(checkpoint)
    continued = continue_prompts(model, checkpoint, held_out.prompts, checkpoint.sampling, seed=0)
    return {
        "texts": len(continued),
        "new_tokens": NEW_TOKENS,
        "distinct_2": distinct(continued, 2),
        "human_distinct_2": distinct(held_out.continuations, 2),
        "repetition": repetition(continued),
        "human_repetition": repetition(held_out.continuations),
        "words": mean_words(continued),
        "human_words": mean_words(held_out.continuations),
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
