"""The folder that a training leaves, and all that the next stage reads: Hugging Face's layout and `plotify.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf
import tf_keras
from tokenizers import Tokenizer
from transformers import TFGPT2LMHeadModel

from training.prepare import Document
from training.prompt import PromptTemplate
from training.state import write_whole

SAMPLING = {"temperature": 0.7, "top_k": 0, "top_p": 0.9, "repetition_penalty": 1.1, "guidance": 2.0}
"""Decoding defaults of the checkpoint, found with `python -m export.decoding` (see docs/training.md)."""

LICENCE = "MIT"
SAMPLE_TOKENS = 60


def write_checkpoint(
    out: Path,
    model: TFGPT2LMHeadModel,
    tokenizer: Tokenizer,
    prompt: PromptTemplate,
    test: Iterable[Document],
    provenance: dict[str, object],
) -> None:
    """Write the checkpoint into `out`; `plotify.json` comes last, so a folder that has it is whole."""
    round_matrices(model)
    description = out / "plotify.json"
    description.unlink(missing_ok=True)
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    write_whole(out / "test.jsonl", "".join(json.dumps(asdict(d), ensure_ascii=False) + "\n" for d in test))
    contents = {
        "name": out.resolve().name,
        "prompt": prompt.manifest(),
        "sampling": SAMPLING,
        "provenance": {
            **provenance,
            "licence": LICENCE,
            "versions": {name: version(name) for name in ("plotify", "tensorflow", "transformers", "tokenizers")},
        },
    }
    write_whole(description, json.dumps(contents, indent=1, ensure_ascii=False) + "\n")


def round_matrices(model: TFGPT2LMHeadModel) -> None:
    """Round every matrix to what float16 can hold, in place, so that a bundle can store it by halves and lose nothing.

    Eleven bits are more than training settles; perplexity does not show the difference. (Biases are [1, width] here.)
    """
    for weight in model.weights:
        if len(weight.shape) == 2 and weight.shape[0] > 1:
            rounded = tf.cast(tf.cast(weight, tf.float16), tf.float32)
            if tf.reduce_all(tf.math.is_finite(rounded)):  # a matrix with a value over 65,504 stays as it is
                weight.assign(rounded)


def sample(
    checkpoint: Path, tokenizer: Tokenizer, prompt: PromptTemplate, genres: Iterable[str], seed: int
) -> list[str]:
    """One text for each genre from nothing but the genre, with the decoding defaults but for guidance."""
    model = TFGPT2LMHeadModel.from_pretrained(checkpoint)
    tf_keras.utils.set_random_seed(seed)  # generate's own `seed` would draw the same number at every step
    texts = []
    for genre in genres:
        prefix = tokenizer.encode(prompt.prefix(genre)).ids
        ids = model.generate(
            tf.constant([prefix], tf.int32),
            attention_mask=tf.ones((1, len(prefix)), tf.int32),
            do_sample=True,
            max_new_tokens=min(SAMPLE_TOKENS, model.config.n_positions - len(prefix)),
            pad_token_id=model.config.eos_token_id,
            **{setting: value for setting, value in SAMPLING.items() if setting != "guidance"},
        )
        text = tokenizer.decode(ids[0].numpy()[len(prefix) :].tolist(), skip_special_tokens=True).strip()
        texts.append(f"{genre}: {text}")
    return texts
