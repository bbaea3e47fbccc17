"""Which operators a step's time goes to, by ONNX Runtime's own profile."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from server.bundle import Bundle
from server.engine.model.runner import Runner

PREFILL_ROWS = 8
"""Prompts that are read in one run."""

STEPS = 12
"""Runs of each kind, of which the first two are not counted."""


@dataclass(frozen=True)
class Profile:
    """Milliseconds of each operator in one run, the longest first, and how many nodes a run has."""

    milliseconds: dict[str, float]
    nodes: int


class ProfiledRunner(Runner):
    """A runner whose session notes how long each node takes, in files that begin with `prefix`."""

    prefix = ""

    def _open(self, path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
        options.enable_profiling = True
        options.profile_file_prefix = self.prefix
        return super()._open(path, options)

    def end_profiling(self) -> str:
        """Stops noting; the file that was written."""
        return str(self._session.end_profiling())


def profile_decode(bundle: Bundle, precision: str, rows: int, tokens: int) -> Profile:
    """One token of each of `rows` rows that hold `tokens` tokens."""
    ids = np.random.default_rng(0).integers(0, bundle.tokenizer.get_vocab_size(), (STEPS, rows)).tolist()
    return _profile(bundle, precision, rows, lambda runner, step: runner.decode(ids[step], [tokens] * rows))


def profile_prefill(bundle: Bundle, precision: str, tokens: int) -> Profile:
    """`PREFILL_ROWS` prompts of `tokens` tokens each."""
    shape = (PREFILL_ROWS, tokens)
    ids = np.random.default_rng(0).integers(0, bundle.tokenizer.get_vocab_size(), shape).tolist()
    return _profile(bundle, precision, PREFILL_ROWS, lambda runner, step: runner.prefill(0, 0, ids))


def _profile(bundle: Bundle, precision: str, rows: int, run: Callable[[Runner, int], object]) -> Profile:
    with tempfile.TemporaryDirectory() as folder:
        ProfiledRunner.prefix = str(Path(folder) / "profile")
        runner = ProfiledRunner(bundle, precision, 0, rows)
        for step in range(STEPS):
            run(runner, step)
        events = json.loads(Path(runner.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    each = len(nodes) // STEPS
    total: Counter[str] = Counter()
    for event in nodes[2 * each :]:
        total[event["args"]["op_name"]] += event["dur"]
    return Profile({name: spent / 1e3 / (STEPS - 2) for name, spent in total.most_common()}, each)
