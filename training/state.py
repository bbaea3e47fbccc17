"""The state of a run, saved for resuming it: weights, optimizer, progress and measurements.

Every file in a state folder is written under another name first, and then renamed. TensorFlow's CheckpointManager does
the same with its files. A kill at any moment therefore leaves the last state whole.
"""

import json
import time
from pathlib import Path
from typing import NotRequired, TypedDict

import tensorflow as tf
import tf_keras
from transformers import TFGPT2LMHeadModel

from training.files import write_whole


class Measured(TypedDict):
    """A line of the history.

    `loss` is in nats per token, and `tokens` counts the targets seen since the run began. Only evaluations have
    `bits_per_byte`.
    """

    step: int
    split: str
    loss: float
    tokens: int
    bits_per_byte: NotRequired[float]


class TrainingState:
    """The progress of a run, kept in `folder`.

    Attributes:
        step: number of steps done.
        tokens: number of targets seen in them.
        seconds: time spent in them, including earlier processes of the run.
        best_loss, best_step: the lowest val_loss, and its step.
        stale: number of evaluations since then.
        writes: True if saving writes files. Only one of the workers training together writes.
    """

    SHARE = 0.02
    """Largest share of the time to spend on saving. Quick saves are made every `SECONDS` seconds."""
    SECONDS = 10.0

    def __init__(
        self, folder: Path, model: TFGPT2LMHeadModel, optimizer: tf_keras.optimizers.Optimizer, writes: bool
    ) -> None:
        self.folder, self.writes = folder, writes
        self.weights = tf.train.Checkpoint(model=model)
        self.numbers = {
            "step": tf.Variable(0, dtype=tf.int64),
            "tokens": tf.Variable(0, dtype=tf.int64),
            "seconds": tf.Variable(0.0, dtype=tf.float64),
            "best_loss": tf.Variable(float("inf"), dtype=tf.float64),
            "best_step": tf.Variable(0, dtype=tf.int64),
            "stale": tf.Variable(0, dtype=tf.int64),
        }
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, **self.numbers)
        self.manager = tf.train.CheckpointManager(checkpoint, str(folder / "last"), max_to_keep=2)
        self.history: list[Measured] = []
        self.step = self.tokens = self.best_step = self.stale = 0
        self.seconds = 0.0
        self.best_loss = float("inf")
        self.saved_at = time.monotonic()
        self.save_took = 0.0

    def restore(self) -> bool:
        """Go back to the last save. Return False if there is none."""
        if not self.manager.latest_checkpoint:
            return False
        self.manager.checkpoint.restore(self.manager.latest_checkpoint).assert_existing_objects_matched()
        for name, number in self.numbers.items():
            setattr(self, name, number.numpy().item())
        lines = (self.folder / "history.jsonl").read_text().splitlines()
        # measurements after the save are made again
        self.history = [line for text in lines if (line := json.loads(text))["step"] <= self.step]
        return True

    def save(self) -> None:
        if not self.writes:
            return
        began = time.monotonic()
        write_whole(self.folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in self.history))
        for name, number in self.numbers.items():
            number.assign(getattr(self, name))
        self.manager.save()
        for path in self.folder.glob("best-*"):
            if path.name.split(".")[0] != f"best-{self.best_step}":
                path.unlink()
        self.saved_at = time.monotonic()
        self.save_took = self.saved_at - began

    def save_if_due(self) -> None:
        if time.monotonic() - self.saved_at > max(self.SECONDS, self.save_took / self.SHARE):
            self.save()

    def record_validation(self, loss: float, bits_per_byte: float) -> bool:
        """Record an evaluation, and keep the weights if its loss is the best. Return True if it is."""
        line = Measured(step=self.step, split="validation", loss=loss, tokens=self.tokens, bits_per_byte=bits_per_byte)
        self.history.append(line)
        better = loss < self.best_loss
        if better:
            if self.writes:
                self.weights.write(str(self.folder / f"best-{self.step}"))
            self.best_loss, self.best_step, self.stale = loss, self.step, 0
        else:
            self.stale += 1
        self.save()
        return better

    @property
    def best(self) -> tuple[float, float]:
        """The lowest val_loss, in nats per token, and its bits per byte."""
        found = (each for each in self.history if each["split"] == "validation" and each["step"] == self.best_step)
        return self.best_loss, next(found)["bits_per_byte"]

    def restore_best(self) -> None:
        """Load the best weights into the model."""
        self.weights.read(str(self.folder / f"best-{self.best_step}")).assert_existing_objects_matched()
