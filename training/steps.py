"""One training step and one evaluation step, eager or as compiled graphs."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras
from transformers import TFGPT2LMHeadModel

from training.settings import TrainingSettings

Step = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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
    model: TFGPT2LMHeadModel, optimizer: tf_keras.optimizers.Optimizer, settings: TrainingSettings
) -> tuple[Step, Step]:
    """Return (training step, evaluation step).

    Both take ids and mask as in `summed_loss`; the first updates the weights and returns the mean loss over the batch's
    targets, the second returns the summed loss.
    """
    variables = model.trainable_variables
    scaled = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def train(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = summed_loss(model, ids, mask, training=True) / tf.reduce_sum(mask)
            objective = optimizer.get_scaled_loss(loss) if scaled else loss
        gradients = tape.gradient(objective, variables)
        if scaled:
            gradients = optimizer.get_unscaled_gradients(gradients)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def evaluate(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return summed_loss(model, ids, mask, training=False)

    if settings.eager:
        return train, evaluate
    if settings.xla:  # XLA compiles each shape by itself; the buckets keep the shapes few
        return tf.function(train, jit_compile=True), tf.function(evaluate, jit_compile=True)
    signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.float32)]
    return tf.function(train, signature), tf.function(evaluate, signature)
