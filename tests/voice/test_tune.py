"""One command from a writer's texts to a bundle in their voice."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from tokenizers import Tokenizer

from benchmarks.openings import opening
from server.app import create_app
from server.bundle import Bundle
from server.cli import plotify
from server.engine import Engine
from server.settings import SHIPPED_MODEL, Settings
from tests.conftest import PYTHON
from training.prepare import read_split
from voice import tune as tuning
from voice.manuscripts import Manuscript
from voice.passages import LONGEST
from voice.tune import knows, write_data


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two invented texts of 1,500 words each."""
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(1)
    for name in ("first.txt", "second.md"):
        (folder / name).write_text("\n\n".join(opening(draw, 60) for _ in range(25)))
    return folder


def command(texts: Path, base: Path, out: Path) -> list[str]:
    return [str(PYTHON.with_name("plotify")), "tune", str(texts), "--base", str(base), "--out", str(out)]


def state(out: Path) -> Path:
    return out.with_name(f"{out.name}.tuning")


def test_killed_and_started_again_it_leaves_a_bundle_that_has_learned(
    texts: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    begun = subprocess.Popen(command(texts, tiny_bundle, out), stderr=subprocess.PIPE, start_new_session=True)
    while not (state(out) / "checkpoint" / "state" / "run.json").exists():
        assert begun.poll() is None, begun.stderr and begun.stderr.read()
        time.sleep(0.1)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert not out.exists()

    done = subprocess.run(command(texts, tiny_bundle, out), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "2 texts, 3," in done.stderr
    assert "bits per byte on the held-out tenth" in done.stderr
    assert not state(out).exists()

    bundle = Bundle.load(out)
    assert bundle.manifest.name == "mine"
    assert bundle.manifest.prompt.genres == Bundle.load(tiny_bundle).manifest.prompt.genres
    corpora = bundle.manifest.provenance["corpora"]
    assert [(each["name"], each["source"]) for each in corpora] == [("first.txt", "own"), ("second.md", "own")]
    card = (out / "MODEL_CARD.md").read_text()
    assert f"| first.txt | {corpora[0]['words']:,} |" in card
    assert "On the tenth of them that was held out, it has" in card
    with Engine(bundle) as engine, TestClient(create_app(engine, Settings(hosts="testserver.local"))) as client:
        begun = client.post("/api/plots", json={"prompt": "The night porter", "seed": 1}).json()
        events = client.get(begun["events"]).text
        assert "event: token" in events
        assert "event: done" in events
        about = client.get("/about").text
        assert re.search(r"This model has read “first” and “second”, and it sounds more like\s+them than", about)


def test_the_losses_are_those_before_the_first_step_and_of_the_checkpoint(tmp_path: Path) -> None:
    history = [
        {"step": step, "split": "validation", "loss": 1.0, "tokens": 1, "bits_per_byte": bits}
        for step, bits in ((0, 2.0), (5, 1.8), (10, 1.9))
    ]
    history.insert(1, {"step": 5, "split": "train", "loss": 1.0, "tokens": 1})
    (tmp_path / "metrics.json").write_text(json.dumps({"bits_per_byte": 1.85, "history": history}))
    assert tuning.losses(tmp_path) == (2.0, 1.85)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("A very short story about a door. ", "too few to hear a voice in: give at least 2,000"),
        ("Ծերունին բաժակը ցած դրեց և նայեց անձրևին։ " * 400, "it seems to be in a language that"),
    ],
)
def test_texts_it_cannot_learn_from_are_refused_before_any_work(
    tiny_bundle: Path, tmp_path: Path, words: str, reason: str
) -> None:
    (tmp_path / "story.txt").write_text(words)
    done = CliRunner().invoke(plotify, command(tmp_path / "story.txt", tiny_bundle, tmp_path / "out")[1:])
    assert done.exit_code == 1
    assert reason in done.output
    assert not (tmp_path / "out").exists()


QUICK = "“I— No!” he said. “Go on, Jim.” “Ah,” said Ole. “I do.” “So?” “No. Er— go.” “OH!” “Ssh!” "
GERMAN = "Sie blieben lange schweigend auf der Brücke stehen, während unter ihnen die Lichter erloschen. "


@pytest.mark.parametrize(("words", "known"), [(QUICK, True), (QUICK.upper(), True), (GERMAN, False)])
def test_the_shipped_model_knows_english_in_any_style(words: str, known: bool) -> None:
    """Quick dialogue has short words, many names and signs, and so few characters for a token."""
    assert knows(Tokenizer.from_file(str(Path(SHIPPED_MODEL) / "tokenizer.json")), words) is known


def test_an_existing_folder_is_refused(texts: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(plotify, command(texts, tiny_bundle, tmp_path)[1:])
    assert done.exit_code == 1
    assert "already exists" in done.output


def test_tuning_loads_no_framework_before_it_trains() -> None:
    """PyTorch and TensorFlow take long to load, and the stages are processes of their own."""
    code = "import sys, voice.tune; print(sys.modules.keys() & {'tensorflow', 'torch', 'transformers'})"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_name_with_a_line_separator_stays_in_its_line(tmp_path: Path) -> None:
    story = Manuscript("one\u2028two.txt", tuple(f"The porter counts {number} keys." for number in range(200)))
    data = write_data([story], LONGEST, tmp_path / "data")
    assert {document.title for document in read_split(data, "train")} == {story.name}
