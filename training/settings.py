"""What a training is told, in one place; `plotify train --help` prints these with their defaults."""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from training.prepare import split_file

RECORD = "run.json"
OPEN_ENDED = ("epochs", "max_steps")
"""Settings that a run with a constant learning rate may be resumed with other values of."""


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
        schedule: of the learning rate after its rise: linear falls to 0 at the end; constant stays, and such a run may
            be resumed with more epochs or steps than it was begun with.
        sources: corpora of the data set that are read; none means all.
        precision: float32, mixed_float16 or mixed_bfloat16 (Keras policies), or auto, which each machine resolves.
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
    # what a later version added was at its default before
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
