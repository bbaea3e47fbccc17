"""One training step and one evaluation step, eager or as compiled graphs."""

from collections.abc import Callable
from functools import partial

import tensorflow as tf
import tf_keras
from transformers import TFGPT2LMHeadModel

from training.replicas import Replicas
from training.settings import TrainingSettings

Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def summed_loss(model: TFGPT2LMHeadModel, ids: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
    """Sum of the negative log-likelihoods (nats, float32) of the tokens that `mask` counts.

    Args:
        ids: [rows, length] int32.
        mask: [rows, length] float32; position 0 is never a target.
    """
    # Padding stands behind the end of a row, and attention is causal: no counted target sees it, no mask is needed.
    logits = model(input_ids=ids, training=training, use_cache=False).logits[:, :-1]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], tf.cast(logits, tf.float32))
    return tf.reduce_sum(losses * mask[:, 1:])


def build_steps(
    model: TFGPT2LMHeadModel,
    optimizer: tf_keras.optimizers.Optimizer,
    settings: TrainingSettings,
    replicas: Replicas,
    signature: tuple[tf.TypeSpec, tf.TypeSpec],
) -> tuple[Step, Step]:
    """Return (training step, evaluation step).

    Both take ids and mask, as in `summed_loss`, of a batch that `Replicas.share` has split; `signature` is its
    element_spec. Both return a loss and how many targets the whole batch has. The first updates the weights; its loss
    is the mean over the targets. The second's is the sum.
    """
    variables = model.trainable_variables
    scaled = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    strategy, alone = replicas.strategy, replicas.count == 1
    add = tf.distribute.ReduceOp.SUM
    # XLA compiles each shape by itself; the buckets keep the shapes few. It cannot compile what replicas exchange:
    # where there are several it compiles the model alone, forwards and backwards.
    whole, part = settings.xla and alone, settings.xla and not alone
    forward = tf.function(summed_loss, jit_compile=True) if part else summed_loss

    def train(ids: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            loss = forward(model, ids, mask, training=True)
            # the batch's, not the share's: so every target weighs the same, whichever replica has it
            targets = tf.reduce_sum(mask)
            loss = loss / replica.all_reduce(add, targets)
            objective = optimizer.get_scaled_loss(loss) if scaled else loss
        gradients = tape.gradient(objective, variables)
        if scaled:
            gradients = optimizer.get_unscaled_gradients(gradients)
        if not alone:
            # the slices of the position table, which would be counted apart where --clip takes the norm of the sum
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, targets

    def evaluate(ids: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return forward(model, ids, mask, training=False), tf.reduce_sum(mask)

    def together(step: Step, ids: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loss, targets = strategy.run(step, args=(ids, mask))
        return strategy.reduce(add, loss, axis=None), strategy.reduce(add, targets, axis=None)

    steps = partial(together, train), partial(together, evaluate)
    if settings.eager:
        return steps
    if whole:
        return tf.function(steps[0], jit_compile=True), tf.function(steps[1], jit_compile=True)
    return tf.function(steps[0], signature), tf.function(steps[1], signature)
