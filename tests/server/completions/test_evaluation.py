"""lm-evaluation-harness measures the perplexity of the checkpoint through the server."""

import json
import math
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from server.bundle import Bundle
from tests.conftest import run
from tests.server.checkpoints import logprobs_of
from tests.server.completions.conftest import MODEL
from tests.server.live import serving

TASKS = Path(__file__).parent / "evaluation"

pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None and os.environ.get("CI") != "true",
    reason="lm_eval is not installed (with CI=true this is a failure)",
)


def log_likelihood(checkpoint: Path, tokens: list[int], context: int, start: int) -> float:
    """Return the log likelihood of a text in windows of `context` tokens. Each token counts once.

    start: the token before the text.
    """
    total, line = 0.0, [start, *tokens]
    for begin in range(0, len(tokens), context - 1):
        end = min(begin + context - 1, len(tokens))
        window = line[max(0, end - context + 1) : end + 1]
        wanted = line[begin + 1 : end + 1]
        rows = logprobs_of(checkpoint, window)[-len(wanted) :]
        total += math.fsum(row[token] for row, token in zip(rows, wanted, strict=True))
    return total


def word_perplexity(checkpoint: Path, context: int) -> float:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    texts = [json.loads(line)["text"] for line in (TASKS / "plots.jsonl").read_text(encoding="utf-8").splitlines()]
    start = tokenizer.token_to_id("<|endoftext|>")
    tokens = [tokenizer.encode(text).ids for text in texts]
    assert min(map(len, tokens)) < context < max(map(len, tokens)) / 2, "texts of one window and of several"
    total = math.fsum(log_likelihood(checkpoint, each, context, start) for each in tokens)
    return math.exp(-total / sum(len(text.split()) for text in texts))


def test_the_harness_finds_the_checkpoints_perplexity(
    bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    context = bundle.manifest.model.context
    with serving(bundle, precision="fp32") as live:
        arguments = {
            "model": MODEL,
            "base_url": f"{live.address}/v1/completions",
            "tokenizer": str(tiny_checkpoint),
            "tokenizer_backend": "huggingface",
            "max_length": str(context),
        }
        run(
            *(sys.executable, "-m", "lm_eval", "--model", "local-completions"),
            *("--model_args", ",".join("=".join(each) for each in arguments.items())),
            *("--tasks", "plotify_plots", "--include_path", TASKS, "--output_path", tmp_path / "out"),
            folder=TASKS,
        )
    (results,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(results.read_text())["results"]["plotify_plots"]["word_perplexity,none"]
    assert found == pytest.approx(word_perplexity(tiny_checkpoint, context - 1), rel=0.005)
