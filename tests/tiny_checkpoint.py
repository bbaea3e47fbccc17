"""A tiny checkpoint in the layout of `plotify train`: `python tests/tiny_checkpoint.py FOLDER`.

Run it in a separate process, to keep TensorFlow out of the tests' own. The weights are random with a large deviation,
so the logits have clear winners. Some of the invented sentences have accents or other scripts, so tokens split
characters.
"""

import itertools
import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

GENRES = ["Comedy", "Drama", "Horror"]
HEROES = [
    "A lighthouse keeper",
    "Zoë, a baker from Łódź,",
    "An orphaned chess player",
    "The miner Görlitz",
    "東京の刑事",
]
DEEDS = ["finds a letter", "follows a stranger", "loses her café", "wakes up — naïve, as ever —", "builds an ice clock"]
PLACES = ["in São Tomé", "under the old harbour", "on the eve of the fair", "at the Hôtel Évian"]
ENDS = ["and nobody believes it.", "until the river turns back… 🎭", "so the whole town must choose."]
VOCABULARY, CONTEXT = 400, 128


def documents() -> list[dict[str, object]]:
    """Return 60 held-out documents of one to six sentences. The longest exceed the context."""
    sentences = [" ".join(parts) for parts in itertools.product(HEROES, DEEDS, PLACES, ENDS)]
    return [
        {
            "text": " ".join(sentences[(7 * index + 31 * step) % len(sentences)] for step in range(1 + index % 6)),
            "genres": GENRES[: index % 3],
            "title": f"Invented {index}",
            "source": "mpst" if index % 2 else "cmu",
        }
        for index in range(60)
    ]


def write(folder: Path) -> None:
    """Write config.json, tf_model.h5, tokenizer.json, test.jsonl and plotify.json into `folder`."""
    import tensorflow as tf
    from transformers import GPT2Config, TFGPT2LMHeadModel

    from training.checkpoint import round_matrices
    from training.tokenizer import END_OF_TEXT, train_tokenizer

    held_out = documents()
    # Use a third of the documents, so the characters in the others stay split into bytes.
    tokenizer = train_tokenizer([str(document["text"]) for document in held_out[::3]], VOCABULARY)
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)

    tf.keras.utils.set_random_seed(20)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
    )
    model = TFGPT2LMHeadModel(config)
    model(tf.constant([[end_of_text]]))
    for weight in model.weights:  # biases and norms too: all of them start equal
        weight.assign(weight + tf.random.normal(weight.shape, stddev=0.05))
    round_matrices(model)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    lines = [json.dumps(document, ensure_ascii=False) for document in held_out]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = {
        "name": "plotify-tiny",
        "prompt": {"template": "{genre}: {text}", "any_genre": "Plot", "genres": GENRES},
        "sampling": {"temperature": 0.8, "top_k": 0, "top_p": 0.95, "repetition_penalty": 1.1, "guidance": 3.0},
        "provenance": {
            "corpora": [{"name": "sentences invented for the tests"}],
            "training": {"steps": 0},
            "licence": "MIT",
            "versions": {"tensorflow": tf.__version__},
        },
    }
    (folder / "plotify.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
