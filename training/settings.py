"""What a training is told, in one place; `plotify train --help` prints these with their defaults."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.prepare import split_file

RECORD = "run.json"


@dataclass(frozen=True)
class TrainingSettings:
    """One training run. Two runs with equal settings on equal data read the same batches in the same order.

    Attributes:
        base: a declared size, a checkpoint's folder, or a hub name.
        epochs, max_steps: the run ends with whichever comes first; the learning rate's decay ends there too.
        batch_tokens: tokens in a batch, padding included.
        learning_rate: peak; None takes the size's own, or the one for fine-tuning.
        warmup: share of all steps in which the learning rate rises from 0.
        weight_decay: decoupled (Loshchilov and Hutter 2019), on matrices only.
        clip: largest global norm of the gradients.
        dropout: on embeddings and residual branches; None takes the size's or the base's own.
        evaluate_every: steps between evaluations on the validation split.
        patience: evaluations without a better val_loss after which the run ends.
        precision: float32, mixed_float16 or mixed_bfloat16 (Keras policies).
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


class ResumeError(Exception):
    """The folder holds another run; the message says what differs."""


def is_begun(folder: Path, settings: TrainingSettings, data: Path) -> bool:
    """Whether `folder` holds this run, begun earlier.

    Raises:
        ResumeError: it holds a run with other settings or other data.
    """
    record = folder / RECORD
    if not record.exists():
        return False
    begun, run = json.loads(record.read_text()), described(settings, data)
    differing = [
        f"{name} was {begun.get(name)}, is now {value}" for name, value in run.items() if begun.get(name) != value
    ]
    if differing:
        raise ResumeError(
            f"{folder.parent} holds a run with other settings: {'; '.join(differing)}. Give the same command to resume "
            "it, or another --out, or remove the folder to begin anew."
        )
    return True


def begin(folder: Path, settings: TrainingSettings, data: Path) -> None:
    """Note in `folder` that this run is the one that it holds."""
    unfinished = (folder / RECORD).with_suffix(".tmp")
    unfinished.write_text(json.dumps(described(settings, data), indent=1) + "\n")
    unfinished.replace(folder / RECORD)


def described(settings: TrainingSettings, data: Path) -> dict[str, Any]:
    with split_file(data, "train").open("rb") as file:
        return {**asdict(settings), "data_sha256": hashlib.file_digest(file, "sha256").hexdigest()}
