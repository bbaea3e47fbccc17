"""The commands `plotify prepare` and `plotify train`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--mpst", type=FILE, help="MPST csv (mpst_full_data.csv).")
@click.option("--cmu", type=FILE, help="CMU book summaries tsv (booksummaries.txt).")
@click.option("--prose", type=FILE, help="Stories, as JSON Lines with title, part and text.")
@click.option("--out", type=FOLDER, required=True, help="Folder for the data set.")
@click.option(
    "--shortest", default=60, type=click.IntRange(1), show_default=True, help="Shortest text kept, in characters."
)
@click.option(
    "--longest",
    default=1700,
    type=click.IntRange(1),
    show_default=True,
    help="Longest piece, in characters; longer texts are cut at sentence ends.",
)
@click.option("--keep-explicit", is_flag=True, help="Keep texts with slurs or explicit sex (training/explicit.txt).")
def prepare(
    mpst: Path | None,
    cmu: Path | None,
    prose: Path | None,
    out: Path,
    shortest: int,
    longest: int,
    keep_explicit: bool,
) -> None:
    """Clean, group, cut and split the corpora into a data set.

    Prints the number of texts read and dropped, with the reasons, and draws lengths.png and genres.png. All texts of a
    series or a book go into the same split. The result does not depend on the order of the rows, so a text stays in its
    split when a corpus grows.

    \b
    Example:
      plotify prepare --mpst mpst_full_data.csv --cmu booksummaries.txt --prose stories.jsonl --out data
    """
    from training.charts import draw_genres, draw_lengths
    from training.cleaning import REASONS, Bounds
    from training.prepare import prepare as prepare_corpora
    from training.readers import CorpusError, read_cmu, read_mpst, read_prose

    readers = {"mpst": (mpst, read_mpst), "cmu": (cmu, read_cmu), "prose": (prose, read_prose)}
    corpora = {source: (path, read(path)) for source, (path, read) in readers.items() if path}
    if not corpora:
        raise click.UsageError("give at least one corpus: --mpst FILE, --cmu FILE or --prose FILE")
    console = Console()
    try:
        report, documents = prepare_corpora(corpora, out, Bounds(shortest, longest), console, keep_explicit)
    except (CorpusError, ValueError) as error:
        raise click.ClickException(str(error)) from error

    table = Table("texts", *(Column(source, justify="right") for source in corpora))
    dropped = {f"dropped: {reason}": {s: report.dropped[s][reason] for s in corpora} for reason in REASONS}
    for label, counts in {"read": report.read, **dropped, "kept": report.kept, "words kept": report.words}.items():
        table.add_row(label, *(f"{counts[source]:,}" for source in corpora))
    console.print(table)
    console.print("pieces: " + ", ".join(f"{split} {count:,}" for split, count in report.pieces.items()))
    unknown = report.tags_unknown.total()
    console.print(
        f"tags: {report.tags_known:,} uses grouped into {len(report.genres)} genres, {report.tags_unspecific:,} "
        f"without a genre, {unknown:,} unknown; {report.without_genre:,} plots without a genre"
    )
    if unknown:
        listed = ", ".join(f"{tag} ({count})" for tag, count in report.tags_unknown.most_common(20))
        console.print(f"unknown tags (prepare.json has the rest): {listed}")
    lengths = {source: [d.words for d in documents if d.source == source] for source in corpora if report.kept[source]}
    draw_lengths(lengths, out / "lengths.png")
    draw_genres(report.genres, report.without_genre, out / "genres.png")
    console.print(f"written to {out}: train, validation, test, prepare.json, lengths.png, genres.png")


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Data set made by `plotify prepare`.")
@click.option("--base", default="mini", show_default=True, help="A size, the folder of a checkpoint, or a hub name.")
@click.option(
    "--out", type=FOLDER, required=True, help="Folder for the checkpoint; an unfinished run there is resumed."
)
@click.option("--epochs", default=6, type=click.IntRange(1), show_default=True, help="Times to read the data.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after this many steps, if that is sooner.")
@click.option(
    "--batch-tokens",
    default=4096,
    type=click.IntRange(1),
    show_default=True,
    help="Tokens in a batch, padding included.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="Peak learning rate.  [default: the size's own; 5e-5 to fine-tune]",
)
@click.option(
    "--warmup",
    default=0.05,
    type=click.FloatRange(0, 1),
    show_default=True,
    help="Share of the steps for the learning rate to rise.",
)
@click.option(
    "--weight-decay",
    default=0.1,
    type=click.FloatRange(0),
    show_default=True,
    help="Decoupled weight decay, on matrices.",
)
@click.option(
    "--clip",
    default=1.0,
    type=click.FloatRange(0, min_open=True),
    show_default=True,
    help="Largest global norm of the gradients.",
)
@click.option("--dropout", type=click.FloatRange(0, 0.9), help="Dropout.  [default: the size's, or the base's, own]")
@click.option(
    "--evaluate-every", default=200, type=click.IntRange(1), show_default=True, help="Steps between evaluations."
)
@click.option(
    "--patience",
    default=4,
    type=click.IntRange(1),
    show_default=True,
    help="Evaluations without a better val_loss before the run ends.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "mixed_float16", "mixed_bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: mixed_float16 on a GPU, mixed_bfloat16 on a processor with bfloat16, else float32.",
)
@click.option(
    "--schedule",
    type=click.Choice(["linear", "constant"]),
    default="linear",
    show_default=True,
    help="Learning rate after its rise: linear falls to 0 at the end; constant stays.",
)
@click.option(
    "--source",
    "sources",
    type=click.Choice(["mpst", "cmu", "prose"]),
    multiple=True,
    help="Read only this corpus of the data set; give the option again for another.  [default: all]",
)
@click.option(
    "--keep-base",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    show_default=True,
    help="Share of the base's weights in the checkpoint's, at the end. It keeps more of what the base knew.",
)
@click.option(
    "--learn-guidance",
    default=1.0,
    type=click.FloatRange(1),
    show_default=True,
    help="Learn what the base would write under guidance of this strength, so that a genre shows without guidance.",
)
@click.option("--xla/--no-xla", default=None, help="Compile steps with XLA.  [default: on a GPU]")
@click.option("--eager", is_flag=True, help="Run operator by operator, the slow way, for comparison.")
@click.option(
    "--distribute",
    type=click.Choice(["mirrored", "multiworker"]),
    help="mirrored: on all GPUs of this machine; multiworker: on those of all machines in TF_CONFIG.",
)
@click.option(
    "--seed", default=1, type=click.IntRange(0), show_default=True, help="Seed of weights, data order and samples."
)
def train(
    data: Path,
    base: str,
    out: Path,
    learning_rate: float | None,
    dropout: float | None,
    xla: bool | None,
    distribute: str | None,
    **options: Any,
) -> None:
    """Train a GPT-2 on a data set, with TensorFlow.

    BASE is a size to train from scratch, the folder of a checkpoint, or a model on the hub. The sizes are minute, mini
    and small. Or give your own as LAYERSxWIDTH[/VOCABULARY[/CONTEXT]], such as 8x384 or 6x320/4096/256; what you leave
    out is mini's. If the run is killed, the same command resumes it from the last save. At the end, OUT contains the
    checkpoint with the best weights, metrics.json, loss.png and samples.txt.

    With --schedule constant, you can end a run early by giving a smaller --max-steps, and continue it later by giving a
    larger one. Each end writes the checkpoint. To pre-train and then fine-tune, give the OUT of the first stage as the
    --base of the second.

    With --learn-guidance, the model learns from its own base instead of from the texts: in each place, the
    distribution that the base draws from under guidance. All losses then say how far it is from that, in nats.

    With --distribute, each batch is split among several devices. To train on two machines, give the same command on
    both, each with its own index in TF_CONFIG. OUT must be on a file system shared by both. Only the first machine
    writes files and prints messages.

    \b
    Examples:
      plotify train --data data --base mini --out checkpoint
      plotify train --data data --base 8x384 --schedule constant --out pretrained
      plotify train --data data --base pretrained --source mpst --source cmu --learning-rate 1e-3 --out checkpoint
      plotify train --data data --base checkpoint --learn-guidance 2 --learning-rate 5e-4 --max-steps 300 --out guided
      plotify train --data data --base openai-community/gpt2 --epochs 3 --out checkpoint
      TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}' \\
        plotify train --data data --base small --out /shared/checkpoint --distribute multiworker
    """
    from silence import silent

    with silent():
        from training.model import BaseError, on_gpu  # first: it sets how TensorFlow and transformers load
    from training.replicas import replicas_of
    from training.settings import ResumeError, TrainingSettings
    from training.sizes import FINE_TUNING_LEARNING_RATE, size_of
    from training.train import TrainingRun
    from training.workers import ClusterError

    try:
        size = size_of(base)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if distribute and options["eager"]:
        raise click.UsageError("--eager works on one device only: leave out --eager or --distribute")
    if options["keep_base"] and (distribute or size):
        raise click.UsageError("--keep-base needs a trained --base, and works on one device only")
    gpu = on_gpu()
    settings = TrainingSettings(
        base=base,
        learning_rate=learning_rate or (size.learning_rate if size else FINE_TUNING_LEARNING_RATE),
        dropout=size.dropout if size and dropout is None else dropout,
        xla=gpu if xla is None else xla,
        **options,
    )
    if settings.learns_guidance and (distribute or size):
        raise click.UsageError("--learn-guidance needs a trained --base, and works on one device only")
    try:
        replicas = replicas_of(distribute)
        with replicas.losing_no_worker():
            TrainingRun(settings, data, out, Console(quiet=not replicas.chief), replicas).run()
    except KeyboardInterrupt as stop:
        raise click.ClickException("stopped; the same command resumes from the last save") from stop
    except (ResumeError, FileNotFoundError, ValueError, ArithmeticError, BaseError, ClusterError) as error:
        raise click.ClickException(str(error)) from error
