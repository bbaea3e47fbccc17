"""The model, Hugging Face's TFGPT2LMHeadModel, and its tokenizer.

The weights are random, or those of a trained checkpoint.
"""

import os

# The TensorFlow classes of transformers need Keras 2, and also load torch unless told not to.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("USE_TF", "1")
os.environ.setdefault("USE_TORCH", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2TokenizerFast, TFGPT2LMHeadModel
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model
from transformers.utils import SAFE_WEIGHTS_NAME, TF2_WEIGHTS_NAME, cached_file

from training.sizes import SIZES, size_of
from training.tokenizer import END_OF_TEXT, train_tokenizer


class BaseError(Exception):
    """The base of a training run cannot be used. The message says why, and what to do."""


def on_gpu() -> bool:
    """Return True if TensorFlow has a GPU to train on."""
    return bool(tf.config.list_physical_devices("GPU"))


def fastest_precision() -> str:
    """Return the Keras policy with the fastest products on this machine.

    The policy is mixed_float16 on a GPU, mixed_bfloat16 on a processor with bfloat16 instructions, and float32
    otherwise. Only Linux reports the instructions of a processor. Elsewhere float32 is the right choice anyway.
    """
    if on_gpu():
        return "mixed_float16"
    described = Path("/proc/cpuinfo")
    flags = set(described.read_text().split()) if described.exists() else set()
    return "mixed_bfloat16" if flags & {"avx512_bf16", "amx_bf16"} else "float32"


def load_tokenizer(base: str, texts: Iterable[str]) -> Tokenizer:
    """Return the base's tokenizer, or train one on `texts` for a size."""
    if size := size_of(base):
        return train_tokenizer(texts, size.vocabulary)
    try:
        GPT2Config.from_pretrained(base)  # its error is plainer than the tokenizer's
        tokenizer: Tokenizer = GPT2TokenizerFast.from_pretrained(base).backend_tokenizer
    except (OSError, ValueError) as error:
        raise BaseError(unreachable(base, error)) from error
    tokenizer.no_truncation()
    return tokenizer


def load_model(base: str, tokenizer: Tokenizer, dropout: float | None) -> TFGPT2LMHeadModel:
    """Build a model of a size with random weights, or load a checkpoint.

    The checkpoint is a local folder, or a model on the hub. Dropout acts on embeddings and residual branches; None
    keeps the base's own rate.

    Raises:
        BaseError: the base does not exist, or its vocabulary is not the tokenizer's.
    """
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    changes = {} if dropout is None else {"embd_pdrop": dropout, "resid_pdrop": dropout, "attn_pdrop": 0.0}
    if size := size_of(base):
        model = TFGPT2LMHeadModel(
            GPT2Config(
                vocab_size=tokenizer.get_vocab_size(),
                n_positions=size.context,
                n_embd=size.width,
                n_layer=size.layers,
                n_head=size.heads,
                bos_token_id=end_of_text,
                eos_token_id=end_of_text,
                **changes,
            )
        )
    else:
        try:
            model = load_weights(base, GPT2Config.from_pretrained(base, **changes))
        except (OSError, ValueError) as error:
            raise BaseError(unreachable(base, error)) from error
        if model.config.vocab_size < tokenizer.get_vocab_size() or end_of_text is None:
            raise BaseError(
                f"{base}: the model has {model.config.vocab_size} tokens, its tokenizer {tokenizer.get_vocab_size()} "
                f"and {'an' if end_of_text is not None else 'no'} {END_OF_TEXT}: they do not belong together"
            )
    model(tf.zeros((1, 2), tf.int32))
    return model


def load_weights(base: str, config: GPT2Config) -> TFGPT2LMHeadModel:
    """Load a model with the trained weights of a checkpoint.

    TensorFlow's weights are preferred. Otherwise PyTorch's safetensors are read as arrays, because transformers 4.57
    fails to load them into TensorFlow.
    """
    if cached_file(base, TF2_WEIGHTS_NAME, _raise_exceptions_for_missing_entries=False):
        return TFGPT2LMHeadModel.from_pretrained(base, config=config, use_safetensors=False)
    published = cached_file(base, SAFE_WEIGHTS_NAME, _raise_exceptions_for_missing_entries=False)
    if not published:
        raise BaseError(f"--base {base}: it has no weights; {TF2_WEIGHTS_NAME} or {SAFE_WEIGHTS_NAME} must be there")
    model = TFGPT2LMHeadModel(config)
    try:
        load_pytorch_state_dict_in_tf2_model(model, load_file(published))
    except AttributeError as error:
        raise BaseError(f"--base {base}: {SAFE_WEIGHTS_NAME} is not GPT-2's: {error}") from error
    return model


def unreachable(base: str, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0]
    return (
        f"--base {base}: no such checkpoint, and it could not be loaded from the hub ({reason}). Give a size "
        f"({', '.join(SIZES)}, 8x384), the folder of a checkpoint, or a hub name such as openai-community/gpt2."
    )
