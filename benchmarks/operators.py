"""The command `plotify bench operators`: the operators of a step and their time, by ONNX Runtime's own profile."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime as ort
from rich.console import Console

from benchmarks import frame
from server.bundle import Bundle
from server.engine.model.runner import Runner

PREFILL_ROWS = 8
"""Prompts that are read in one run."""

STEPS = 12
"""Runs of each kind, of which the first two are not counted."""


Profile = tuple[dict[str, float], int]
"""Milliseconds of each operator in one run, the longest first, and the number of nodes in a run."""


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


@frame.command
def operators(
    model: frame.Model,
    precision: frame.Precision,
    rows: Annotated[int, frame.count(64, "Rows of a decode.")],
    tokens: Annotated[int, frame.count(64, "Of each row, and of each prompt.")],
) -> None:
    """The operators that a step's time goes to, by ONNX Runtime's own profile, which makes it a little slower.

    \b
    Example:
      plotify bench operators --model gpt2-small --precision int8 --rows 64
    """
    bundle = frame.open_bundle(model, tokens, 1)
    precision = precision or bundle.fastest_precision()
    with Console(stderr=True).status("Profiling"):
        decode, nodes = profile_decode(bundle, precision, rows, tokens)
        prefill, _ = profile_prefill(bundle, precision, tokens)
    spent = {name: (took, prefill.get(name, 0)) for name, took in decode.items()}
    spent[f"all {nodes} nodes"] = (sum(decode.values()), sum(prefill.values()))
    frame.print_table(
        f"{bundle.manifest.name}, {precision}: milliseconds a run",
        ("operator", f"decode, {rows} rows", f"prefill, {PREFILL_ROWS} × {tokens} tokens"),
        ((name, *(f"{took:.2f}" for took in each)) for name, each in spent.items()),
    )


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
    return {name: spent / 1e3 / (STEPS - 2) for name, spent in total.most_common()}, each
