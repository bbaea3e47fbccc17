"""Writing the checkpoint, the folder that a training run leaves for the next stage.

It has Hugging Face's layout and a `plotify.json`. The next stage reads nothing else.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf
import tf_keras
from tokenizers import Tokenizer
from transformers import TFGPT2LMHeadModel

from training.files import write_whole
from training.prepare import Document
from training.prompt import PromptTemplate

SAMPLING = {"temperature": 0.6, "top_k": 0, "top_p": 0.9, "repetition_penalty": 1.2}
"""Default sampling parameters of the checkpoint, found with `python -m export.decoding`.

See docs/training.md.
"""

GUIDANCE = 2.0
"""Default guidance of a checkpoint that has not learned to do without."""

LICENCE = "MIT"
SAMPLE_TOKENS = 60


def write_checkpoint(
    out: Path,
    model: TFGPT2LMHeadModel,
    tokenizer: Tokenizer,
    prompt: PromptTemplate,
    test: Iterable[Document],
    provenance: dict[str, object],
    guidance: float,
) -> None:
    """Write the checkpoint into `out`.

    `plotify.json` is written last, so a folder with this file is complete.
    """
    round_matrices(model)
    description = out / "plotify.json"
    description.unlink(missing_ok=True)
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    write_whole(out / "test.jsonl", "".join(json.dumps(asdict(d), ensure_ascii=False) + "\n" for d in test))
    contents = {
        "name": out.resolve().name,
        "prompt": prompt.manifest(),
        "sampling": {**SAMPLING, "guidance": guidance},
        "provenance": {
            **provenance,
            "licence": LICENCE,
            "versions": {name: version(name) for name in ("plotify", "tensorflow", "transformers", "tokenizers")},
        },
    }
    write_whole(description, json.dumps(contents, indent=1, ensure_ascii=False) + "\n")


def round_matrices(model: TFGPT2LMHeadModel) -> None:
    """Round every matrix to the precision of float16, in place.

    A bundle can then store the matrix in half the space without loss. Float16 has eleven significant bits, more than
    training determines, and perplexity shows no difference. Biases are [1, width] here, and are left alone.
    """
    for weight in model.weights:
        if len(weight.shape) == 2 and weight.shape[0] > 1:
            rounded = tf.cast(tf.cast(weight, tf.float16), tf.float32)
            if tf.reduce_all(tf.math.is_finite(rounded)):  # a matrix with a value over 65,504 stays as it is
                weight.assign(rounded)


def sample(
    checkpoint: Path, tokenizer: Tokenizer, prompt: PromptTemplate, genres: Iterable[str], seed: int
) -> list[str]:
    """Generate one text for each genre, from a prompt with nothing but the genre.

    Uses the default sampling parameters, but no guidance.
    """
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
            **SAMPLING,
        )
        text = tokenizer.decode(ids[0].numpy()[len(prefix) :].tolist(), skip_special_tokens=True).strip()
        texts.append(f"{genre}: {text}")
    return texts
