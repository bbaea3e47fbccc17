"""Tuning a bundle on a writer's texts: the stages in order, each a process of its own, by folders."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from tokenizers import Tokenizer

from training.files import write_whole
from training.prepare import REPORT, SPLITS, read_split, write_splits
from voice.manuscripts import Manuscript, ManuscriptError, read_manuscripts
from voice.parroting import longest_shared_run
from voice.passages import LONGEST, SOURCE, passages, split

FEWEST_WORDS = 2_000
"""Words to tune on, at least. Fewer say more about their subject than about their writer's voice."""

ENGLISH = (
    "The old man put down his cup and looked at the rain. He had not expected a letter, least of all from her, and now "
    "that it lay on the table he could not bring himself to open it. Outside, somebody was calling for a boat."
)
"""An easy text: a tokenizer made for English cuts none of its words.

Such a tokenizer cuts at most 0.33 of the words of an English story, and at least 0.62 of those in eight other languages
(measured with the shipped one on every prose text of 1,000 words or more, and on a paragraph of each language). So a
text counts as another language if more than half of its words are cut. If the base does not know English either, the
bound is higher.
"""

WORD = re.compile(r"[^\W\d_]+")

FILLED = 0.75
"""Share of the context for a passage; the rest is for what stands before it, and for rare words."""

EPOCHS, BATCH_TOKENS, LEARNING_RATE = 4, 4096, 5e-4
KEPT = 0.45
"""Share of the base's weights in the tuned ones. Without it, the model forgets much about plots."""

EVALUATIONS = 12
"""Measurements on the held-out tenth in the whole run."""

PATIENCE = 3

SAMPLES, SAMPLE_TOKENS, LONG_RUN = 30, 120, 12

VOICE = """\
## Whose voice it is

Tuned on these texts with `plotify tune`. On the tenth of them that was held out, it has {after:.3f} bits per byte,
and its base has {before:.3f} ({change:+.1%}).

| text | words |
|---|---|
{rows}
"""
"""The part of the model card about the writer's texts."""


@dataclass(frozen=True)
class Tuned:
    """The outcome of a run.

    before, after: bits per byte on the held-out tenth. shared: the longest run of words that the samples repeat.
    """

    before: float
    after: float
    shared: list[str]


def tune(sources: Sequence[Path], base: str, out: Path, force: bool, console: Console) -> Tuned:
    """Tune a base on the texts in `sources`, and write the bundle `out`.

    The stages work in `out` with ".tuning" at its end. If they are killed, the same call goes on from there.

    Args:
        base: a bundle, the folder of a checkpoint, or a model on the hub.
        force: replace an existing bundle.

    Raises:
        ManuscriptError: the texts cannot be used, or `out` exists already.
        ChildProcessError: a stage failed. It has said why.
    """
    if out.exists() and not force:
        raise ManuscriptError(f"{out} already exists: give another --out, or --force to replace it.")
    manuscripts = read_manuscripts(sources)
    console.print(f"{len(manuscripts)} texts, {sum(each.words for each in manuscripts):,} words")
    work = out.with_name(f"{out.name}.tuning")
    started_from = checkpoint_of(base, work)
    longest = longest_passage(manuscripts, started_from, base)
    data = write_data(manuscripts, longest, work / "data")
    read = [document.text for document in read_split(data, "train")]
    steps = steps_of(read)
    arguments = ["--data", data, "--base", started_from, "--out", work / "checkpoint"]
    arguments += ["--epochs", EPOCHS, "--batch-tokens", BATCH_TOKENS, "--learning-rate", LEARNING_RATE]
    arguments += ["--evaluate-every", max(1, steps // EVALUATIONS), "--patience", PATIENCE, "--keep-base", KEPT]
    stage("train", *arguments)
    before, after = losses(work / "checkpoint")
    figures = work / "figures.md"
    write_whole(figures, described(manuscripts, before, after))
    options = ["--precision", "int8", "--name", out.name, "--figures", figures, *(["--force"] if force else [])]
    stage("export", work / "checkpoint", "--out", out, *options)
    shared = longest_shared_run(read, write_samples(out, read))
    shutil.rmtree(work)
    return Tuned(before, after, shared)


def checkpoint_of(base: str, work: Path) -> str:
    """Return a base that `plotify train` can load. A bundle is turned back into a checkpoint first."""
    if not (Path(base) / "bundle.json").is_file():
        return base
    restored = work / "base"
    if not (restored / "plotify.json").is_file():
        stage("restore", base, "--out", restored)
    return str(restored)


def longest_passage(manuscripts: Sequence[Manuscript], checkpoint: str, base: str) -> int:
    """Return the number of characters that fit the context of a checkpoint.

    Raises:
        ManuscriptError: there are too few words, or a text is in a language unknown to the tokenizer.
    """
    words = sum(each.words for each in manuscripts)
    if words < FEWEST_WORDS:
        raise ManuscriptError(
            f"These texts have {words:,} words, too few to hear a voice in: give at least {FEWEST_WORDS:,}."
        )
    folder = Path(checkpoint)
    if not folder.is_dir():  # a model on the hub, with a longer context, and a tokenizer for more languages
        return LONGEST
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    context = json.loads((folder / "config.json").read_text(encoding="utf-8"))["n_positions"]

    fewest = math.inf
    for each in manuscripts:
        text = " ".join(each.paragraphs)[:100_000]
        if not knows(tokenizer, text):
            raise ManuscriptError(
                f"{each.name}: it seems to be in a language that {base} does not know. Leave it out, or give a --base "
                "that was trained on this language."
            )
        fewest = min(fewest, len(text) / len(tokenizer.encode(text, add_special_tokens=False).ids))
    return min(LONGEST, int(FILLED * context * fewest))


def knows(tokenizer: Tokenizer, text: str) -> bool:
    """Return False if a text seems to be in a language that the tokenizer does not know. See `ENGLISH`."""
    return _cut(tokenizer, text) <= (1 + _cut(tokenizer, ENGLISH)) / 2


def _cut(tokenizer: Tokenizer, text: str) -> float:
    """Return the share of a text's words that a tokenizer cuts into pieces, whatever their capitals."""
    words = [f" {word.lower()}" for word in WORD.findall(text)]
    cut = sum(len(each.ids) > 1 for each in tokenizer.encode_batch(words, add_special_tokens=False))
    return cut / max(1, len(words))


def write_data(manuscripts: Sequence[Manuscript], longest: int, folder: Path) -> Path:
    """Write a data set as `plotify prepare` does. The held-out tenth is both validation and test split.

    Args:
        longest: number of characters of a passage at most.
    """
    trained, held_out = split(list(passages(manuscripts, longest)))
    splits = zip(SPLITS, (trained, held_out, held_out), strict=True)
    write_splits(((name, each) for name, documents in splits for each in documents), longest, folder)
    corpora = [corpus(each) for each in manuscripts]
    write_whole(folder / REPORT, json.dumps({"corpora": corpora}, indent=1, ensure_ascii=False) + "\n")
    return folder


def corpus(manuscript: Manuscript) -> dict[str, str | int]:
    """Return what the bundle tells about a text: its name and size, none of its words."""
    digest = sha256("\n\n".join(manuscript.paragraphs).encode()).hexdigest()
    return {"name": manuscript.name, "source": SOURCE, "words": manuscript.words, "sha256": digest}


def steps_of(read: Sequence[str]) -> int:
    """Return the approximate number of steps of the whole run, at four characters a token."""
    characters = sum(map(len, read))
    return max(1, EPOCHS * characters // (4 * BATCH_TOKENS))


def losses(checkpoint: Path) -> tuple[float, float]:
    """Return the bits per byte on the held-out tenth, before the training and of the checkpoint."""
    metrics: dict[str, Any] = json.loads((checkpoint / "metrics.json").read_text(encoding="utf-8"))
    before = next(each for each in metrics["history"] if each["split"] == "validation" and each["step"] == 0)
    return before["bits_per_byte"], metrics["bits_per_byte"]


def described(manuscripts: Sequence[Manuscript], before: float, after: float) -> str:
    """Return the part of the model card about the writer's texts."""
    rows = "\n".join(f"| {each.name} | {each.words:,} |" for each in manuscripts)
    return VOICE.format(before=before, after=after, change=after / before - 1, rows=rows)


def write_samples(bundle: Path, read: Sequence[str]) -> list[str]:
    """Continue the first words of thirty passages, with the bundle's defaults."""
    from server.bundle import Bundle
    from server.engine import Engine, EngineConfig, Request, Sampling

    loaded = Bundle.load(bundle)
    prompt, most = loaded.manifest.prompt, loaded.manifest.model.context // 2
    openings = [" ".join(text.split()[:5]) for text in read[:: max(1, len(read) // SAMPLES)][:SAMPLES]]
    with Engine(loaded, EngineConfig(queue=SAMPLES)) as engine:
        streams = [
            engine.submit(
                Request(
                    prompt.fill(opening, None, prompt.default_length),
                    Sampling(**asdict(loaded.manifest.sampling), max_tokens=min(SAMPLE_TOKENS, most), seed=seed),
                )
            )
            for seed, opening in enumerate(openings)
        ]
        return ["".join(chunk.text for chunk in stream) for stream in streams]


def stage(name: str, *arguments: object) -> None:
    """Run a stage of `plotify` in a process of its own. Raises ChildProcessError if it fails."""
    command = [sys.executable, "-c", "from server.cli import main; main()", name, *map(str, arguments)]
    if subprocess.run(command, check=False).returncode:
        raise ChildProcessError(f"plotify {name} failed; it says why above. The same command goes on from there.")
