"""The settings of a training run. `plotify train --help` prints them with their defaults."""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from training.prepare import split_file

RECORD = "run.json"
OPEN_ENDED = ("epochs", "max_steps")
"""Settings you can change when you resume a run with a constant learning rate."""


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of one training run.

    Two runs with equal settings on equal data read the same batches in the same order.

    Attributes:
        base: a size (`size_of`), a checkpoint's folder, or a hub name.
        epochs, max_steps: the run ends at the earlier of the two, and so does the decay of the learning rate.
        batch_tokens: number of tokens in a batch, including padding.
        learning_rate: peak learning rate.
        warmup: share of all steps in which the learning rate rises from 0; a constant schedule takes a fixed number of
            steps instead.
        weight_decay: decoupled weight decay (Loshchilov and Hutter 2019), on matrices only.
        clip: largest global norm of the gradients.
        dropout: dropout on embeddings and residual branches; None keeps the base's own rate.
        evaluate_every: number of steps between evaluations on the validation split.
        patience: number of evaluations without a better val_loss before the run ends.
        schedule: learning rate after the warm-up. "linear" falls to 0 at the end. "constant" stays at the peak, and you
            can resume the run with more epochs or steps.
        sources: corpora of the data set to read; an empty tuple means all.
        keep_base: the share of the base's weights in those of the checkpoint.
        learn_guidance: strength of the base's guidance to learn; see `training/guidance.py`. 1 learns from the texts.
        precision: float32, mixed_float16 or mixed_bfloat16 (Keras policies), or auto, resolved on each machine.
        xla: compile the step with XLA.
        eager: run every step operator by operator, without a graph; only for comparison.
    """

    base: str
    epochs: int
    max_steps: int | None
    batch_tokens: int
    learning_rate: float
    warmup: float
    weight_decay: float
    clip: float
    dropout: float | None
    evaluate_every: int
    patience: int
    precision: str
    xla: bool
    eager: bool
    seed: int
    schedule: str = "linear"
    sources: tuple[str, ...] = ()
    keep_base: float = 0.0
    learn_guidance: float = 1.0

    @property
    def learns_guidance(self) -> bool:
        return self.learn_guidance > 1


class ResumeError(Exception):
    """The folder contains another run. The message lists the differences."""


def is_begun(folder: Path, settings: TrainingSettings, data: Path) -> bool:
    """Return True if `folder` already contains this run.

    Raises:
        ResumeError: the folder contains a run with other settings or other data.
    """
    record = folder / RECORD
    if not record.exists():
        return False
    # settings added by a later version had their defaults before
    defaults = {each.name: each.default for each in fields(settings) if each.default is not MISSING}
    begun = json.loads(json.dumps(defaults)) | json.loads(record.read_text())
    free = OPEN_ENDED if settings.schedule == begun["schedule"] == "constant" else ()
    differing = [
        f"{name} was {begun.get(name)}, is now {value}"
        for name, value in json.loads(json.dumps(described(settings, data))).items()
        if begun.get(name) != value and name not in free
    ]
    if differing:
        raise ResumeError(
            f"{folder.parent} contains a run with other settings: {'; '.join(differing)}. Give the same command to "
            "resume it, choose another --out, or remove the folder to start over."
        )
    return True


def begin(folder: Path, settings: TrainingSettings, data: Path) -> None:
    """Record this run's settings and data in `folder`."""
    unfinished = (folder / RECORD).with_suffix(".tmp")
    unfinished.write_text(json.dumps(described(settings, data), indent=1) + "\n")
    unfinished.replace(folder / RECORD)


def described(settings: TrainingSettings, data: Path) -> dict[str, Any]:
    with split_file(data, "train").open("rb") as file:
        return {**asdict(settings), "data_sha256": hashlib.file_digest(file, "sha256").hexdigest()}
