"""Bases made by others: checkpoints of PyTorch and of TensorFlow, from a folder and from a hub."""

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PUBLISHED = """
import sys, numpy, torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast
from training.tokenizer import train_tokenizer
out = sys.argv[1]
torch.manual_seed(3)
tokenizer = train_tokenizer(["A door opens. Nobody is there."], 300)
model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=16, n_layer=2, n_head=2, n_positions=64)).eval()
model.save_pretrained(out)
# as GPT-2 was published: without the class's prefix and without the tied head
own = [(name, value.contiguous()) for name, value in model.state_dict().items() if "lm_head" not in name]
state = {name.removeprefix("transformer."): value for name, value in own}
save_file(state, out + "/model.safetensors", {"format": "pt"})
GPT2TokenizerFast(tokenizer_object=tokenizer).save_pretrained(out)
numpy.save(out + "/logits.npy", model(torch.arange(10)[None]).logits.detach().numpy())
"""

LOADED = """
import sys, numpy
from training.model import load_model, load_tokenizer
import tensorflow as tf
base, logits, out = sys.argv[1:]
tokenizer = load_tokenizer(base, [])
model = load_model(base, tokenizer, 0.25)
assert model.config.embd_pdrop == model.config.resid_pdrop == 0.25 and model.config.attn_pdrop == 0
difference = abs(model(tf.range(10)[None]).logits.numpy() - numpy.load(logits)).max()
assert difference < 1e-4, difference
if out != "-": model.save_pretrained(out)
"""


def run(code: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PyTorch checkpoint with the weight names of openai-community/gpt2, and its logits."""
    folder = tmp_path_factory.mktemp("published")
    done = run(PUBLISHED, folder, USE_TF="0")
    assert done.returncode == 0, done.stderr
    return folder


class Hub(http.server.SimpleHTTPRequestHandler):
    """A model hub: answers `/owner/name/resolve/main/FILE` from one folder."""

    def translate_path(self, path: str) -> str:
        return str(Path(self.directory) / path.rsplit("/", 1)[-1])

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        self.send_header("X-Repo-Commit", "0" * 40)
        if file.is_file():
            self.send_header("ETag", f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"')
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(published: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, directory=str(published)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_pytorch_checkpoint_keeps_its_logits_and_so_does_its_tensorflow_copy(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done = run(LOADED, published, published / "logits.npy", copy)
    assert done.returncode == 0, done.stderr
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).write_bytes((published / name).read_bytes())
    assert not (copy / "model.safetensors").exists()
    done = run(LOADED, copy, published / "logits.npy", "-")
    assert done.returncode == 0, done.stderr


def test_a_hub_name_loads_from_the_hub(published: Path, hub: str, tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    done = run(LOADED, "somebody/gpt2-tiny", published / "logits.npy", "-", **environment)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "cache").rglob("model.safetensors"))


def test_a_checkpoint_without_weights_says_so(published: Path, tmp_path: Path) -> None:
    for file in published.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = run(LOADED, tmp_path, published / "logits.npy", "-")
    assert "it has no weights; tf_model.h5 or model.safetensors must be there" in done.stderr


COMPARISON = """
import numpy
from training.model import TFGPT2LMHeadModel, GPT2Config  # first: it sets how TensorFlow loads
import tensorflow as tf

def compare(variables, gradients, expected, tolerance):
    for variable, *both in zip(variables, gradients, expected, strict=True):
        own, other = (tf.convert_to_tensor(each).numpy() for each in both)
        assert abs(own - other).max() < tolerance * abs(other).max(), variable.name
"""

NETWORK = """
from training.network import Network
model = TFGPT2LMHeadModel(GPT2Config(
    vocab_size=300, n_positions=64, n_embd=48, n_layer=3, n_head=4, embd_pdrop=0.0, resid_pdrop=0.0
))
model(tf.zeros((1, 2), tf.int32))
draw = numpy.random.default_rng(1)
for variable in model.trainable_variables:
    variable.assign(draw.normal(0, 0.3, variable.shape))
network, ids = Network(model, tf.float32), draw.integers(0, 300, (2, 64)).astype(numpy.int32)
difference = abs(model(ids).logits.numpy() - network.logits(tf.constant(ids)).numpy()).max()
assert difference < 1e-4, difference

# three documents: two in the first row, one in the second
starts, mask = numpy.zeros((2, 64), numpy.int32), numpy.ones((2, 64), numpy.float32)
starts[0, 20:], mask[0, 20], mask[:, 0] = 20, 0, 0
batch = [tf.constant(values) for values in (ids, starts, mask)]
with tf.GradientTape() as tape:
    expected = 0.0
    for one in (ids[:1, :20], ids[:1, 20:], ids[1:]):
        logits = model(one).logits[:, :-1]
        expected += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(one[:, 1:], logits))
gradients = tape.gradient(expected, model.trainable_variables)
with tf.GradientTape() as tape:
    loss = network.summed_loss(*batch, training=True)
numpy.testing.assert_allclose(loss, expected, rtol=1e-5)
numpy.testing.assert_allclose(network.summed_loss(*batch, training=False), expected, rtol=1e-5)
compare(model.trainable_variables, tape.gradient(loss, model.trainable_variables), gradients, 1e-4)
"""


GUIDED = """
from server.engine.sampling.guidance import guide
from training.guidance import GuidedNetwork

def model(seed):
    made = TFGPT2LMHeadModel(GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=1, n_head=2, embd_pdrop=0.0, resid_pdrop=0.0
    ))
    made(tf.zeros((1, 2), tf.int32))
    draw = numpy.random.default_rng(seed)
    for variable in made.trainable_variables:
        variable.assign(draw.normal(0, 0.3, variable.shape))
    return made

learner, base, draw = model(1), model(2), numpy.random.default_rng(3)
network = GuidedNetwork(learner, base, 2.5, tf.float32)
own = draw.integers(0, 40, (3, 32)).astype(numpy.int32)
without = numpy.concatenate([draw.integers(0, 40, (3, 4)), own[:, 4:]], 1).astype(numpy.int32)
without[2] = own[2]  # a prompt without a genre: nothing to guide away from
mask = numpy.zeros((6, 32), numpy.float32)
mask[:3, 4:30] = 1
batch = [tf.constant(each) for each in (numpy.concatenate([own, without]), numpy.zeros((6, 32), numpy.int32), mask)]

with tf.GradientTape() as tape:
    expected = 0.0
    learned = tf.nn.log_softmax(learner(own).logits)
    logits, against = base(own).logits.numpy(), base(without).logits.numpy()
    for row in range(3):
        for place in range(3, 29):
            guided = guide(logits[row, place], against[row, place], 2.5) if row < 2 else logits[row, place]
            drawn = numpy.flatnonzero(numpy.isfinite(guided))
            shares = numpy.exp(guided[drawn]) / numpy.exp(guided[drawn]).sum()
            expected += tf.reduce_sum(shares * (numpy.log(shares) - tf.gather(learned[row, place], drawn)))
gradients = tape.gradient(expected, learner.trainable_variables)
with tf.GradientTape() as tape:
    loss = network.summed_loss(*batch, training=True)
assert expected > 1
numpy.testing.assert_allclose(loss, expected, rtol=1e-4)
numpy.testing.assert_allclose(network.summed_loss(*batch, training=False), expected, rtol=1e-4)
compare(learner.trainable_variables, tape.gradient(loss, learner.trainable_variables), gradients, 1e-3)
"""


def test_guidance_is_learned_as_the_server_applies_it() -> None:
    done = run(COMPARISON + GUIDED)
    assert done.returncode == 0, done.stderr


def test_the_network_of_training_is_hugging_faces_and_packed_documents_do_not_see_each_other() -> None:
    done = run(COMPARISON + NETWORK)
    assert done.returncode == 0, done.stderr
