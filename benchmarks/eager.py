"""The eager baseline: TensorFlow's own `generate` on the checkpoint, by turns with the engine on its bundle.

Each lives in a process of its own for the whole run, so that neither loads, warms or shares threads with the other;
they take turns, so that a machine whose speed drifts drifts under both, and the idle one waits without computing.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.load import Prompt, load_endless, make_prompts, run_load
from server.engine import Engine

Runner = Callable[[Sequence[Prompt]], int]
"""Continues all of the prompts at once and returns the number of new tokens."""


def compare(
    checkpoint: Path, bundle: Path, prompt_tokens: int, new_tokens: int, concurrency: int, rounds: int
) -> dict[str, list[float]]:
    """Tokens per second of "eager" and "engine" in each round: `concurrency` requests at once, the same for both.

    One round before those counted warms both. Raises ProcessLookupError when one of them has ended early, after it has
    said why on standard error.
    """
    source = load_endless(bundle)
    spawn = multiprocessing.get_context("spawn")
    turns: dict[str, Connection] = {}
    processes = []
    for name, target, folder in (("eager", serve_eager, checkpoint), ("engine", serve_engine, bundle)):
        turns[name], theirs = spawn.Pipe()
        processes.append(
            spawn.Process(target=target, args=(theirs, folder, bundle, new_tokens, concurrency), daemon=True)
        )
        processes[-1].start()
        theirs.close()
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    try:
        for turn in range(rounds + 1):
            prompts = make_prompts(source, concurrency, prompt_tokens, seed=turn)
            for name, connection in turns.items():
                try:
                    connection.send(prompts)
                    tokens, seconds = connection.recv()
                except (EOFError, ConnectionError) as ended:
                    raise ProcessLookupError(f"the {name} process ended early; what it wrote above says why") from ended
                if turn:
                    speeds[name].append(tokens / seconds)
    finally:
        for connection, process in zip(turns.values(), processes, strict=True):
            connection.close()
            process.join()
    return speeds


def serve_engine(turns: Connection, folder: Path, bundle: Path, new_tokens: int, concurrency: int) -> None:
    """Answers the other side's turns with the engine."""
    with Engine(load_endless(folder), queue=concurrency) as engine:
        _take_turns(turns, lambda prompts: sum(t.tokens for t in run_load(engine, prompts, new_tokens, concurrency)))


def serve_eager(turns: Connection, folder: Path, bundle: Path, new_tokens: int, concurrency: int) -> None:
    """Answers the other side's turns with TensorFlow's eager `generate`, under the bundle's sampling defaults."""
    import os

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow
    from transformers import TFGPT2LMHeadModel

    manifest = load_endless(bundle).manifest
    model = TFGPT2LMHeadModel.from_pretrained(folder, local_files_only=True)
    end_of_text = manifest.model.end_of_text

    def generate(prompts: Sequence[Prompt]) -> int:
        ids = tensorflow.constant(prompts)
        texts = model.generate(
            ids,
            attention_mask=tensorflow.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=True,
            eos_token_id=end_of_text,
            pad_token_id=end_of_text,
            **{setting: value for setting, value in asdict(manifest.sampling).items() if setting != "guidance"},
        )
        new = texts.numpy()[:, ids.shape[1] :]
        return int((new != end_of_text).sum())

    _take_turns(turns, generate)


def _take_turns(turns: Connection, run: Runner) -> None:
    """Until the other side hangs up."""
    while True:
        try:
            prompts = turns.recv()
        except EOFError:
            return
        start = time.perf_counter()
        tokens = run(prompts)
        turns.send((tokens, time.perf_counter() - start))
