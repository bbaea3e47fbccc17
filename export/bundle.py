"""Building a bundle from a checkpoint: convert, verify, measure and describe it.

The bundle is written as a whole or not at all.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
from onnx import TensorProto
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from export import convert
from export.calibration import measure_peaks, watch
from export.card import write_card
from export.checkpoint import Checkpoint, read_checkpoint
from export.diversity import distinct, mean_words, repetition
from export.folder import whole_folder
from export.graph import BLOCK, Graph, check_interface, engine_interface, optimum_interface
from export.parity import verify
from export.perplexity import Score, ScoredText, score, texts_to_score
from export.rewrite.precisions import in_precision, rewrite
from export.samples import NEW_TOKENS, PLAUSIBLE, continue_prompts, cut_held_out, draw_samples

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

FORMAT = 3
MANIFEST, TOKENIZER, CARD = "bundle.json", "tokenizer.json", "MODEL_CARD.md"
PACKAGES = ("tensorflow", "transformers", "torch", "optimum-onnx", "onnx", "tokenizers")


DEFAULT_PRECISIONS = ("fp32", "int8")

CACHE_TYPES = {
    "fp32": TensorProto.FLOAT,
    "fp16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
}


def export_bundle(
    folder: Path,
    out: Path,
    name: str | None = None,
    force: bool = False,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    console: Console | None = None,
    figures: str = "",
) -> dict[str, Any]:
    """Build the bundle `out` from the checkpoint in `folder`, and return its manifest.

    Args:
        name: the model's name; None takes the checkpoint's.
        force: replace an existing bundle.
        precisions: the precisions to include, from `export.rewrite.precisions.PRECISIONS`.
        console: shows the progress; None shows nothing.
        figures: Markdown with further figures, for the card.

    Raises:
        ExportError: `folder` is not a checkpoint, or a check fails. `out` stays as it was.
    """
    console = console or Console(quiet=True)
    with whole_folder(out, MANIFEST, force) as building:
        checkpoint = read_checkpoint(folder)
        texts = texts_to_score(checkpoint)
        console.print(f"Reading the weights of {folder}")
        original = convert.load_tensorflow(checkpoint)
        twin = convert.to_torch(original)

        console.print("Converting them to ONNX")
        with tempfile.TemporaryDirectory(prefix="graphs-", dir=building) as scratch:
            rewritten = write_graph(twin, checkpoint, Path(scratch))
            reference = Path(scratch) / "reference.onnx"
            onnx.save(rewritten, reference)
            graph = Graph(reference, checkpoint.model)
            console.print("Comparing greedy tokens and logits with the checkpoint's")
            parity = verify(graph, partial(convert.tensorflow_logits, original), checkpoint)
            measured = _measure(graph, texts, "Scoring fp32", console)
            peaks = measure_peaks(watch(rewritten, checkpoint.model, Path(scratch) / "watched.onnx"), texts)
        described = {}
        for precision in precisions:
            file = building / f"model.{precision}.onnx"
            model = in_precision(precision, rewritten, checkpoint.model, peaks)
            check_interface(model, engine_interface(checkpoint.model, CACHE_TYPES[precision]))
            onnx.save(model, file)
            scored = measured
            if precision != "fp32":  # fp32 gives the same numbers as the reference
                scored = _measure(Graph(file, checkpoint.model), texts, f"Scoring {precision}", console)
            cache_type = onnx.helper.tensor_dtype_to_np_dtype(CACHE_TYPES[precision])
            described[precision] = {**_describe(file, scored, measured), "cache_type": cache_type.name}

        console.print("Drawing samples")
        shutil.copyfile(folder / TOKENIZER, building / TOKENIZER)
        manifest = {
            "format": FORMAT,
            "name": name or checkpoint.name,
            "model": asdict(checkpoint.model),
            "prompt": {**asdict(checkpoint.prompt), "default_length": checkpoint.prompt.default_length},
            "sampling": checkpoint.sampling,
            "tokenizer": {"file": TOKENIZER, "sha256": sha256_of(building / TOKENIZER)},
            "precisions": described,
            "engine": {"block_size": BLOCK, "guidance_floor": PLAUSIBLE},
            "provenance": {
                **checkpoint.provenance,
                "export": {
                    "versions": {
                        "onnxruntime": onnxruntime.__version__,  # the name of its wheel differs between platforms
                        **{package: version(package) for package in PACKAGES},
                    },
                    "parameters": twin.num_parameters(),
                    "verified": asdict(parity),
                    "measured": {
                        "documents": len(texts),
                        "cut_to_context": sum(text.cut for text in texts),
                        "tokens": measured.tokens,
                        "bytes": measured.bytes,
                        "fp32_perplexity": measured.perplexity,
                        "fp32_bits_per_byte": measured.bits_per_byte,
                    },
                    "sampled": _diversity(twin, checkpoint),
                },
            },
        }
        card = write_card(manifest, draw_samples(twin, checkpoint), figures)
        (building / CARD).write_text(card, encoding="utf-8")
        (building / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def write_graph(model: "GPT2LMHeadModel", checkpoint: Checkpoint, folder: Path) -> onnx.ModelProto:
    """Convert the model to the float32 graph for the engine, and leave Optimum's graph in `folder`."""
    graph = onnx.load(convert.to_onnx(model, folder), load_external_data=False)
    check_interface(graph, optimum_interface(checkpoint.model))
    rewritten = rewrite(graph, checkpoint.model)
    check_interface(rewritten, engine_interface(checkpoint.model))
    return rewritten


def _measure(graph: Graph, texts: list[ScoredText], title: str, console: Console) -> Score:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=len(texts))
        return score(graph.logits, texts, partial(progress.advance, task))


def _describe(file: Path, measured: Score, reference: Score) -> dict[str, Any]:
    return {
        "file": file.name,
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "perplexity": measured.perplexity,
        "bits_per_byte": measured.bits_per_byte,
        "perplexity_vs_fp32": measured.perplexity / reference.perplexity,
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


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
