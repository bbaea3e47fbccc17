"""The training run of `plotify train`, from a data set to a checkpoint."""

import json
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import tensorflow as tf
import tf_keras
from rich.console import Console
from rich.progress import Progress, TaskID
from tokenizers import Tokenizer

from training.batches import Rows
from training.charts import draw_losses
from training.checkpoint import GUIDANCE, sample, write_checkpoint
from training.files import write_whole
from training.guidance import GuidedNetwork
from training.guided_rows import GuidedRows
from training.model import fastest_precision, load_model, load_tokenizer
from training.network import Network
from training.optimizer import build_optimizer
from training.prepare import PROSE, read_split, report_file, trainable_genres
from training.progress import LINE_EVERY, bar
from training.prompt import PromptTemplate
from training.replicas import Replicas
from training.settings import TrainingSettings, begin, is_begun
from training.sizes import size_of
from training.state import TrainingState
from training.steps import build_steps
from training.tokenizer import END_OF_TEXT
from training.workers import ClusterError

RECORD_EVERY = 10
"""Steps averaged into one point of the loss curve. A save waits until the point is complete."""

EVALUATED_TOKENS = 1 << 17
"""Maximum number of validation tokens read in an evaluation.

With this many, the loss moves by less than 1 % by chance.
"""

SAMPLES = 4
"""Maximum number of samples to write at the end, each in a different genre."""


def described(base: str) -> dict[str, Any]:
    """Return what `plotify train` or `plotify restore` wrote about a base, or {} for other bases."""
    file = Path(base) / "plotify.json"
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return read


def provenance_of(base: dict[str, Any]) -> dict[str, Any]:
    """Return {"base": the origin of a base}, or {} for a base that is not described."""
    origin = base.get("provenance", {})
    return {"base": {name: origin[name] for name in ("corpora", "training", "base") if name in origin}} if base else {}


def guidance_of(base: dict[str, Any]) -> float:
    """Return the default guidance of a model trained from a base: the base's own, if it has one."""
    return float(base["sampling"]["guidance"]) if base else GUIDANCE


class TrainingRun:
    """A training run in a folder, new or resumed from its last save.

    Workers training together each create a run and start it. All of them read the folder, but only the chief writes to
    it.

    Attributes:
        speeds: targets per second in each step of this process. Their median leaves out the time for compiling.
    """

    def __init__(self, settings: TrainingSettings, data: Path, out: Path, console: Console, replicas: Replicas) -> None:
        self.settings, self.data, self.out, self.console = settings, data, out, console
        self.replicas = replicas
        self.corpora = json.loads(report_file(data).read_text(encoding="utf-8"))["corpora"]
        self.folder = out / "state"
        begun = is_begun(self.folder, settings, data)
        tf_keras.utils.set_random_seed(settings.seed)
        self.precision = settings.precision if settings.precision != "auto" else fastest_precision()
        self.base = described(settings.base)
        known = self.base["prompt"]["genres"] if self.base else ()
        self.prompt = PromptTemplate(tuple(sorted({*trainable_genres(data), *known})))
        self.tokenizer = self.one_tokenizer(begun)
        with replicas.strategy.scope():
            self.model = load_model(settings.base, self.tokenizer, settings.dropout)
        self.base_weights = self.model.get_weights() if settings.keep_base else []
        self.training = self.rows("train", settings.sources)
        measured = settings.sources or self.measured_sources()
        self.validation = self.rows("validation", measured, EVALUATED_TOKENS)
        self.test = self.rows("test", measured)
        self.training.refuse_to_split(replicas.count)
        self.claim(begun)
        self.steps = self.training.batches_in(settings.epochs, settings.max_steps)
        with replicas.strategy.scope():
            optimizer = build_optimizer(settings, self.precision, self.steps, self.model.trainable_variables)
        evaluated = replicas.share(self.validation.evaluation_stream)
        self.evaluated = iter(evaluated)
        self.train_step, self.evaluate_step = build_steps(
            self.network(), optimizer, settings, replicas, evaluated.element_spec
        )
        self.state = TrainingState(self.folder, self.model, optimizer, replicas.chief)
        self.speeds: list[float] = []
        if not replicas.chief:  # or its dropout would be the same as the chief's
            tf.random.set_seed(settings.seed + replicas.worker)

    def network(self) -> Network:
        """Return what computes the losses."""
        dtype = tf.as_dtype(tf_keras.mixed_precision.Policy(self.precision).compute_dtype)
        if not self.settings.learns_guidance:
            return Network(self.model, dtype)
        base = load_model(self.settings.base, self.tokenizer, 0.0)
        return GuidedNetwork(self.model, base, self.settings.learn_guidance, dtype)

    def one_tokenizer(self, begun: bool) -> Tokenizer:
        """Return the run's tokenizer.

        When the run is new, the chief makes and saves the tokenizer, and the other workers read it.
        """
        saved = self.folder / "tokenizer.json"
        if self.replicas.chief and not begun:
            texts = (self.prompt.body(document.text) for document in read_split(self.data, "train"))
            tokenizer = load_tokenizer(self.settings.base, texts)
            self.folder.mkdir(parents=True, exist_ok=True)
            tokenizer.save(str(saved))
        self.replicas.sum(0)
        if not saved.exists():
            raise self.elsewhere()
        return Tokenizer.from_file(str(saved))

    def claim(self, begun: bool) -> None:
        """Have the chief record a new run in the folder, and the other workers check the record."""
        if self.replicas.chief and not begun:
            begin(self.folder, self.settings, self.data)
        self.replicas.sum(0)
        if not self.replicas.chief and not is_begun(self.folder, self.settings, self.data):
            raise self.elsewhere()

    def restore(self) -> bool:
        """Go back to the last save, the same on every worker. Return False if there is none."""
        restored = self.state.restore()
        if self.replicas.sum(self.state.step) != self.replicas.count * self.state.step:
            raise self.elsewhere()
        return restored

    def elsewhere(self) -> ClusterError:
        return ClusterError(
            f"--out {self.out}: this worker does not see the chief's files. Give all workers the same folder, on a "
            "shared file system."
        )

    def measured_sources(self) -> tuple[str, ...]:
        """Return the corpora to measure on: all but prose, unless there is nothing else.

        The model is to write plots. Prose only teaches it English on the way.
        """
        sources = tuple(str(corpus["source"]) for corpus in self.corpora)
        return tuple(source for source in sources if source != PROSE) or sources

    def rows(self, split: str, sources: tuple[str, ...], most_tokens: int | None = None) -> Rows:
        """Return the documents of some sources of a split.

        Args:
            sources: the sources to read; an empty tuple means all.
            most_tokens: maximum number of tokens, from the beginning of the split; None means no limit.
        """
        config = self.model.config
        kind = GuidedRows if self.settings.learns_guidance else Rows
        rows = kind(
            (each for each in read_split(self.data, split) if not sources or each.source in sources),
            self.tokenizer,
            self.prompt,
            self.tokenizer.token_to_id(END_OF_TEXT),
            config.n_positions,
            self.settings.batch_tokens,
            self.settings.seed,
            most_tokens,
        )
        if not rows.documents:
            raise ValueError(
                f"{self.data / split}.jsonl: no document fits the context of {config.n_positions} tokens; "
                f"{rows.too_long} are longer"
            )
        left_out = f", {rows.too_long:,} longer than the context left out" if rows.too_long else ""
        self.console.print(f"{split}: {len(rows.documents):,} documents, {rows.tokens:,} tokens{left_out}")
        return rows

    def run(self) -> None:
        """Train until the steps or the patience run out, and write the checkpoint with the best weights."""
        parameters = self.model.count_params()
        replicas = f", {self.replicas.count} replicas" if self.replicas.count > 1 else ""
        self.console.print(f"{self.settings.base}: {parameters / 1e6:.1f} M parameters, {self.steps:,} steps{replicas}")
        if self.restore():
            self.console.print(f"resuming after step {self.state.step:,}, best val_loss {self.state.best_loss:.4f}")
        self.console.print(f"products in {self.precision}")
        with bar(self.console) as progress:
            self.train(progress, progress.add_task("training", total=self.steps, completed=self.state.step, note=""))
        if self.replicas.chief:
            self.finish()

    def train(self, progress: Progress, task: TaskID) -> None:
        state, settings = self.state, self.settings
        recent: list[float] = []
        began, seconds_before = monotonic(), state.seconds
        said = began
        batches = iter(self.replicas.share(partial(self.training.training_stream, state.step)))
        if state.step == 0 and size_of(settings.base) is None:
            self.measure(progress)
        while state.step < self.steps and state.stale < settings.patience:
            step_began = monotonic()
            loss, targets = map(float, self.train_step(*next(batches)))
            recent.append(loss)
            self.refuse_divergence("loss", recent[-1])
            state.step += 1
            state.tokens += int(targets)
            state.seconds = seconds_before + monotonic() - began
            self.speeds.append(targets / (monotonic() - step_began))
            note = f"loss {recent[-1]:.3f}  {median(self.speeds[-100:]):,.0f} tokens/s"
            progress.update(task, completed=state.step, note=note)
            if not self.console.is_terminal and monotonic() - said > LINE_EVERY:
                said = monotonic()
                left = progress.tasks[task].time_remaining
                until = f"  about {left / 60:.0f} min left" if left else ""
                self.console.print(f"step {state.step:,} of {self.steps:,}: {note}{until}", highlight=False)
            if state.step % RECORD_EVERY == 0 or state.step == self.steps:
                state.history.append(
                    {"step": state.step, "split": "train", "loss": sum(recent) / len(recent), "tokens": state.tokens}
                )
                recent.clear()
            if state.step % settings.evaluate_every == 0 or state.step == self.steps:
                self.measure(progress)
            elif state.step % RECORD_EVERY == 0:
                state.save_if_due()

    def measure(self, progress: Progress) -> None:
        """Evaluate the model, record the loss, and show it."""
        loss, bits_per_byte = self.evaluate()
        self.refuse_divergence("val_loss", loss)
        better = "  (best)" if self.state.record_validation(loss, bits_per_byte) else ""
        progress.console.print(
            f"step {self.state.step:,}: val_loss {loss:.4f}, {bits_per_byte:.3f} bits per byte{better}",
            highlight=False,
        )

    def evaluate(self) -> tuple[float, float]:
        """Measure the loss on the validation split, without dropout.

        Each document has its first genre and its length class.

        Returns:
            Nats per token, and bits per byte. Both count the end of text as a token of no bytes.
        """
        sums = [self.evaluate_step(*next(self.evaluated)) for _ in self.validation.evaluated[1]]
        total, targets = (sum(map(float, column)) for column in zip(*sums, strict=True))
        return total / targets, total / math.log(2) / self.validation.bytes

    def refuse_divergence(self, name: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise ArithmeticError(
                f"the {name} is {loss} at step {self.state.step:,}: start over with a lower --learning-rate or --clip"
            )

    def move_towards_base(self) -> tuple[float, float]:
        """Move the weights towards those of the base, and return what `evaluate` does.

        The model in between knows nearly all that is new, and forgets much less (Wortsman et al. 2022,
        arXiv:2109.01903).
        """
        keep = self.settings.keep_base
        weights = zip(self.base_weights, self.model.get_weights(), strict=True)
        self.model.set_weights([keep * before + (1 - keep) * after for before, after in weights])
        return self.evaluate()

    def finish(self) -> None:
        """Write the checkpoint with the best weights, metrics.json, loss.png and samples.txt."""
        state = self.state
        state.restore_best()
        val_loss, bits_per_byte = self.move_towards_base() if self.settings.keep_base else state.best
        splits = {"train": self.training, "validation": self.validation, "test": self.test}
        base = Path(self.settings.base)
        training = {
            **asdict(self.settings),
            "base": base.name if base.is_dir() else self.settings.base,  # no path of this machine
            "computed_in": self.precision,
            "parameters": self.model.count_params(),
            "steps": state.step,
            "tokens": state.tokens,
            "seconds": round(state.seconds),
            "best_step": state.best_step,
            "val_loss": val_loss,
            "bits_per_byte": bits_per_byte,
            "longer_than_context": {split: rows.too_long for split, rows in splits.items()},
            "stopped": "patience" if state.stale >= self.settings.patience else "all steps done",
        }
        write_checkpoint(
            self.out,
            self.model,
            self.tokenizer,
            self.prompt,
            self.test.documents,
            {"corpora": self.corpora, "training": training, **provenance_of(self.base)},
            guidance=1.0 if self.settings.learns_guidance else guidance_of(self.base),
        )
        # the speed of this process; it has none if it resumed after the last step
        speed = {"tokens_per_second": round(median(self.speeds))} if self.speeds else {}
        metrics = {**training, **speed, "history": state.history}
        write_whole(self.out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
        curves = {
            split: [(line["step"], line["loss"]) for line in state.history if line["split"] == split]
            for split in ("train", "validation")
        }
        draw_losses(curves["train"], curves["validation"], state.best_step, self.out / "loss.png")
        with self.console.status("writing a few samples"):
            samples = sample(self.out, self.tokenizer, self.prompt, self.prompt.genres[:SAMPLES], self.settings.seed)
        write_whole(self.out / "samples.txt", "\n\n".join(samples) + "\n")
        self.console.print("\n".join(samples), markup=False, highlight=False)
        if self.settings.keep_base:
            kept = f"{self.settings.keep_base:.0%} of the base kept: val_loss {val_loss:.4f}"
            self.console.print(f"{kept}, {bits_per_byte:.3f} bits per byte", highlight=False)
        self.console.print(
            f"best val_loss {state.best_loss:.4f} at step {state.best_step:,} of {state.step:,}; written to "
            f"{self.out}: the checkpoint, metrics.json, loss.png, samples.txt"
        )
