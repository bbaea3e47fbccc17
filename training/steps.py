"""One training step and one evaluation step, eager or as compiled graphs."""

from collections.abc import Callable
from functools import partial

import tensorflow as tf
import tf_keras

from training.network import Network
from training.replicas import Replicas
from training.settings import TrainingSettings

Step = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def build_steps(
    network: Network,
    optimizer: tf_keras.optimizers.Optimizer,
    settings: TrainingSettings,
    replicas: Replicas,
    signature: tuple[tf.TypeSpec, ...],
) -> tuple[Step, Step]:
    """Return (training step, evaluation step).

    Both steps take the ids, starts and mask of a batch split by `Replicas.share`; see `Network.summed_loss`. Both
    return a loss and the number of targets in the whole batch. The training step updates the weights, and its loss is
    the mean over the targets. The loss of the evaluation step is the sum.

    Args:
        signature: element_spec of the split batches.
    """
    variables = network.model.trainable_variables
    scaled = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    strategy, alone = replicas.strategy, replicas.count == 1
    add = tf.distribute.ReduceOp.SUM
    # XLA cannot compile the exchange between replicas. With several, it compiles only the model, forwards and
    # backwards.
    whole, part = settings.xla and alone, settings.xla and not alone
    forward = tf.function(network.summed_loss, jit_compile=True) if part else network.summed_loss

    def train(ids: tf.Tensor, starts: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        replica = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            loss = forward(ids, starts, mask, training=True)
            # of the whole batch, not of this replica's share: every target then has the same weight on any replica
            targets = tf.reduce_sum(mask)
            loss = loss / replica.all_reduce(add, targets)
            objective = optimizer.get_scaled_loss(loss) if scaled else loss
        gradients = tape.gradient(objective, variables)
        if scaled:
            gradients = optimizer.get_unscaled_gradients(gradients)
        # the tables' gradients come as slices; --clip would measure the slices one by one, not their sum
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, targets

    def evaluate(ids: tf.Tensor, starts: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return forward(ids, starts, mask, training=False), tf.reduce_sum(mask)

    def together(step: Step, *batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loss, targets = strategy.run(step, args=batch)
        return strategy.reduce(add, loss, axis=None), strategy.reduce(add, targets, axis=None)

    steps = partial(together, train), partial(together, evaluate)
    if settings.eager:
        return steps
    if whole:
        return tf.function(steps[0], jit_compile=True), tf.function(steps[1], jit_compile=True)
    return tf.function(steps[0], signature), tf.function(steps[1], signature)
