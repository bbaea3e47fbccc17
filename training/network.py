"""GPT-2's forward pass and loss, made for training on packed rows.

They use the weights of a TFGPT2LMHeadModel and give the same results as Hugging Face's class, but faster
(docs/training.md has the figures). Products run in the fastest precision of the processor, each chain of elementwise
operations is compiled into one loop, and the loss never holds the logits of a whole batch. The documents in a row don't
attend to one another.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

import math
from collections.abc import Callable
from itertools import pairwise

import tensorflow as tf
from transformers import TFGPT2LMHeadModel

Loss = Callable[..., tuple[tf.Tensor, tf.Tensor]]

ATTENTION_PARTS = 4
"""Number of parts of a row. The queries of a part are compared only with the keys up to its end."""

STEEPNESS = (8 / math.pi) ** 0.5
"""GELU's tanh approximation of x is x sigmoid(STEEPNESS (x + 0.044715 x³))."""

LOSS_CHUNKS = 8
"""Number of parts of a batch whose logits are computed one after another."""


def fused(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Compile a function of float tensors and its gradient with XLA.

    The gradient is computed from the inputs alone.
    """
    forward = tf.function(function, jit_compile=True)

    @tf.function(jit_compile=True)
    def backward(inputs: tuple[tf.Tensor, ...], upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(*inputs)
        return tape.gradient(output, inputs, upstream)  # type: ignore[no-any-return]

    @tf.custom_gradient
    def call(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        return forward(*inputs), lambda upstream: backward(inputs, upstream)

    return call  # type: ignore[no-any-return]


@tf.function(jit_compile=True)
def masked(scores: tf.Tensor, starts: tf.Tensor, scale: float) -> tf.Tensor:
    """Scale the scores, and replace those of unseen keys by the lowest number.

    A token sees itself and those before it in its document.

    Args:
        scores: [rows, heads, queries, keys]. The queries are the last of the keys.
        starts: [rows, queries] int32, the place where each query's document begins.
    """
    keys = tf.range(tf.shape(scores)[3])
    queries = keys[tf.shape(scores)[3] - tf.shape(scores)[2] :]
    seen = (starts[:, None, :, None] <= keys) & (keys <= queries[:, None])
    return tf.where(seen, tf.cast(tf.cast(scores, tf.float32) * scale, scores.dtype), scores.dtype.min)


@tf.function(jit_compile=True)
def scores_gradient(
    weights: tf.Tensor, of_weights: tf.Tensor, attended: tf.Tensor, of_attended: tf.Tensor, scale: float
) -> tf.Tensor:
    """Return the gradient of the scores before `masked`.

    It needs, for each query, the sum of the weights times their gradients. The sum of the attended values times their
    gradients is the same number, from shorter rows.

    Args:
        weights, of_weights: the attention weights and their gradient, [rows, heads, queries, keys].
        attended, of_attended: the weighted values and their gradient, [rows, heads, queries, width].

    Source: Dao et al. 2022, "FlashAttention".
    """
    weighted = tf.reduce_sum(tf.cast(attended, tf.float32) * tf.cast(of_attended, tf.float32), -1, keepdims=True)
    gradient = tf.cast(weights, tf.float32) * (tf.cast(of_weights, tf.float32) - weighted) * scale
    return tf.cast(gradient, weights.dtype)


@tf.custom_gradient
def attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, starts: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Return for each token the weighted sum of the values that it sees.

    These are its own and those before it in its document.

    Args:
        query, key, value: [rows, heads, length, width].
        starts: [rows, length] int32, the place where each token's document begins.
    """
    length, scale = tf.shape(starts)[1], query.shape[-1] ** -0.5
    edges = [length * part // ATTENTION_PARTS for part in range(ATTENTION_PARTS + 1)]
    parts = list(pairwise(edges))
    weights, attended = [], []
    for first, end in parts:
        scores = tf.matmul(query[:, :, first:end], key[:, :, :end], transpose_b=True)
        weights.append(tf.nn.softmax(masked(scores, starts[:, first:end], scale)))
        attended.append(tf.matmul(weights[-1], value[:, :, :end]))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        of_query, of_key, of_value = [], [], []
        for (first, end), shares, read in zip(parts, weights, attended, strict=True):
            above = upstream[:, :, first:end]
            of_shares = tf.matmul(above, value[:, :, :end], transpose_b=True)
            of_scores = scores_gradient(shares, of_shares, read, above, scale)
            of_query.append(tf.matmul(of_scores, key[:, :, :end]))
            behind = [(0, 0), (0, 0), (0, length - end), (0, 0)]
            of_key.append(tf.pad(tf.matmul(of_scores, query[:, :, first:end], transpose_a=True), behind))
            of_value.append(tf.pad(tf.matmul(shares, above, transpose_a=True), behind))
        return tf.concat(of_query, 2), tf.add_n(of_key), tf.add_n(of_value), None

    return tf.concat(attended, 2), gradient


@tf.function(jit_compile=True)
def gelu_and_slope(values: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return GELU of values plus bias, and its derivative there."""
    real = tf.cast(values, tf.float32) + bias
    square = 0.044715 * real * real
    share = tf.sigmoid(STEEPNESS * real * (1 + square))
    slope = share * (1 + STEEPNESS * real * (1 - share) * (1 + 3 * square))
    return tf.cast(real * share, values.dtype), tf.cast(slope, values.dtype)


@tf.custom_gradient
def gelu(values: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Apply GELU in its tanh approximation to values plus bias.

    The result has the dtype of `values`, but is computed in float32. The slope is kept for the gradient, in place of
    the values.

    Args:
        values: [tokens, width].

    Source: Hendrycks and Gimpel 2016.
    """
    output, slope = gelu_and_slope(values, bias)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_values = upstream * slope
        ones = tf.ones([1, tf.shape(values)[0]], values.dtype)
        return of_values, tf.cast(tf.matmul(ones, of_values)[0], tf.float32)

    return output, gradient


def mean(values: tf.Tensor) -> tf.Tensor:
    """Return the mean over the last axis, which is kept. XLA computes a product faster than a reduction."""
    width = values.shape[-1]
    return tf.matmul(values, tf.fill([width, 1], 1 / width))


def normalizer(dtype: tf.DType, epsilon: float) -> Callable[..., tf.Tensor]:
    """Return a function for the layer normalization of a float32 tensor over its last axis.

    Its result is in `dtype`.

    Source: Ba et al. 2016.
    """

    @fused
    def normalize(values: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        centred = values - mean(values)
        return tf.cast(centred * tf.math.rsqrt(mean(centred * centred) + epsilon) * scale + shift, dtype)

    return normalize


class Network:
    """The forward pass of a model on packed rows.

    Args:
        model: the model with the weights.
        dtype: dtype of the products. Everything else is in float32.
    """

    def __init__(self, model: TFGPT2LMHeadModel, dtype: tf.DType) -> None:
        self.model, self.config, self.body = model, model.config, model.transformer
        self.dtype = dtype
        self.normalize = normalizer(dtype, model.config.layer_norm_epsilon)

    def summed_loss(self, ids: tf.Tensor, starts: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the sum of the negative log-likelihoods of the targets (nats, float32).

        Args:
            ids: [rows, length] int32.
            starts: [rows, length] int32, the place in the row where each token's document begins.
            mask: [rows, length] float32, 1 where a token is a target. A document's first token never is.
        """
        states = self.states(ids, starts, training)
        return summed(cross_entropy, training)(states, self.head, following(ids), following(mask))

    @property
    def head(self) -> tf.Tensor:
        """The embeddings, which are the head's weights too, [vocabulary, width] float32."""
        return tf.convert_to_tensor(self.body.wte.embeddings)

    def logits(self, ids: tf.Tensor) -> tf.Tensor:
        """Return logits [rows, length, vocabulary] float32 for rows with one document each.

        Args:
            ids: [rows, length] int32.
        """
        states = self.states(ids, tf.zeros_like(ids), training=False)
        flat = tf.matmul(states, tf.cast(self.body.wte.embeddings, self.dtype), transpose_b=True)
        return tf.cast(tf.reshape(flat, [*ids.shape, -1]), tf.float32)

    def states(self, ids: tf.Tensor, starts: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the last layer's normalized states, [rows * length, width] in the dtype of the products."""
        shape = tf.shape(ids)
        rows, length = shape[0], shape[1]
        heads, width = self.config.n_head, self.config.n_embd
        positions = tf.range(length)[None] - starts
        embedded = tf.gather(self.body.wte.embeddings, tf.reshape(ids, [-1]))
        embedded += tf.gather(self.body.wpe.embeddings, tf.reshape(positions, [-1]))
        stream = drop(embedded, self.config.embd_pdrop, training)
        for block in self.body.h:
            projected = self.product(self.normal(stream, block.ln_1), block.attn.c_attn)
            projected = tf.transpose(tf.reshape(projected, [rows, length, 3, heads, width // heads]), [2, 0, 3, 1, 4])
            query, key, value = tf.unstack(projected)
            attended = tf.transpose(attention(query, key, value, starts), [0, 2, 1, 3])
            out = self.product(tf.reshape(attended, [-1, width]), block.attn.c_proj)
            stream += drop(tf.cast(out, tf.float32), self.config.resid_pdrop, training)
            inner = tf.matmul(self.normal(stream, block.ln_2), tf.cast(block.mlp.c_fc.weight, self.dtype))
            out = self.product(gelu(inner, tf.convert_to_tensor(block.mlp.c_fc.bias)), block.mlp.c_proj)
            stream += drop(tf.cast(out, tf.float32), self.config.resid_pdrop, training)
        return self.normal(stream, self.body.ln_f)

    def normal(self, values: tf.Tensor, layer: tf.Module) -> tf.Tensor:
        return self.normalize(values, tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta))

    def product(self, values: tf.Tensor, layer: tf.Module) -> tf.Tensor:
        return tf.matmul(values, tf.cast(layer.weight, self.dtype)) + tf.cast(layer.bias, self.dtype)


def drop(values: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Apply dropout (Srivastava et al. 2014) during training."""
    return tf.nn.dropout(values, rate) if training and rate else values


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the weighted sum of the cross-entropies (nats, float32) and its gradient.

    The gradient has the dtype of the logits.
    """
    # XLA's maximum of bfloat16 takes longer than all the rest
    highest, hit = tf.reduce_max(logits, -1), tf.gather(logits, targets, batch_dims=1)
    return compared(logits, highest, hit, targets, weights)  # type: ignore[no-any-return]


@tf.function(jit_compile=True)
def compared(
    logits: tf.Tensor, highest: tf.Tensor, hit: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what `cross_entropy` does. `highest` are the highest logits, and `hit` those of the targets."""
    highest, hit = tf.cast(highest, tf.float32), tf.cast(hit, tf.float32)
    powers = tf.exp(tf.cast(logits, tf.float32) - highest[:, None])
    total = tf.reduce_sum(powers, -1)
    shares = powers * (weights / total)[:, None]
    is_target = tf.range(tf.shape(logits)[1])[None] == targets[:, None]
    gradient = tf.where(is_target, shares - weights[:, None], shares)
    return tf.reduce_sum((highest + tf.math.log(total) - hit) * weights), tf.cast(gradient, logits.dtype)


def chunks(*tensors: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
    """Split tensors with the same first dimension into `LOSS_CHUNKS` consecutive parts."""
    count = tf.shape(tensors[0])[0]
    edges = [count * part // LOSS_CHUNKS for part in range(LOSS_CHUNKS + 1)]
    return [tuple(tensor[start:end] for tensor in tensors) for start, end in pairwise(edges)]


def following(values: tf.Tensor) -> tf.Tensor:
    """Return for each token the value of the next one in its row, [rows * length].

    The last token of a row predicts nothing. It gets a zero, which keeps the shape even.

    Args:
        values: [rows, length].
    """
    return tf.reshape(tf.concat([values[:, 1:], tf.zeros_like(values[:, :1])], 1), [-1])


def summed(loss: Loss, training: bool) -> Callable[..., tf.Tensor]:
    """Return a function for the sum of `loss` over all tokens (float32).

    Its arguments are the states [tokens, width] in the dtype of the products, the head's weights [vocabulary, width]
    float32, and what `loss` takes beside the logits, [tokens, ...] each.

    Args:
        loss: returns the sum over some tokens and the gradient of their logits, as `cross_entropy` does.
        training: compute the gradient of states and head along with the sum.
    """

    def measured(states: tf.Tensor, head: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        weights, total = tf.cast(head, states.dtype), tf.constant(0.0)
        for part, *rest in chunks(states, *others):
            total += loss(tf.matmul(part, weights, transpose_b=True), *rest)[0]
        return total

    @tf.custom_gradient
    def trained(
        states: tf.Tensor, head: tf.Tensor, *others: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor | None, ...]]]:
        weights = tf.cast(head, states.dtype)
        total, to_head, to_states = tf.constant(0.0), tf.zeros_like(head), []
        for part, *rest in chunks(states, *others):
            part_total, gradient = loss(tf.matmul(part, weights, transpose_b=True), *rest)
            total += part_total
            to_head += tf.cast(tf.matmul(gradient, part, transpose_a=True), tf.float32)
            to_states.append(tf.matmul(gradient, weights))
        of_states = tf.concat(to_states, 0)

        def gradient_of(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
            return of_states * tf.cast(upstream, of_states.dtype), to_head * upstream, *(None for _ in others)

        return total, gradient_of

    return trained if training else measured
