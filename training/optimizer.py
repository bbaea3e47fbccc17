"""The optimizer and its learning rate schedules.

Muon updates the matrices of the blocks, and AdamW everything else. After a warm-up, the learning rate decays linearly
to zero or stays constant.
"""

import tensorflow as tf
import tf_keras

from training.settings import TrainingSettings

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
WARMUP_STEPS = 200
"""Number of warm-up steps of a constant schedule.

A run with this schedule has no known end, so its warm-up cannot be a share of all steps.
"""

UPDATE_SIZE = 0.2
"""Typical root mean square of an AdamW update.

Muon's updates are scaled to the same size, so both can share learning rate and weight decay.
"""


class WarmupThenConstant(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate rising linearly from 0 to `peak` in `warmup` steps, and constant from then on.

    A run with this schedule may go on for any number of steps.
    """

    def __init__(self, peak: float, warmup: int) -> None:
        self.peak, self.warmup = peak, max(1, warmup)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self.peak * tf.minimum((tf.cast(step, tf.float32) + 1) / self.warmup, 1.0)

    def get_config(self) -> dict[str, float | int]:
        return {"peak": self.peak, "warmup": self.warmup}


class WarmupThenDecay(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate rising linearly from 0 to `peak` in `warmup` steps, then falling linearly to 0 at `steps`."""

    def __init__(self, peak: float, warmup: int, steps: int) -> None:
        self.peak, self.warmup, self.steps = peak, max(1, warmup), steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1, self.steps - self.warmup)
        return self.peak * tf.clip_by_value(tf.minimum(rise, fall), 0.0, 1.0)

    def get_config(self) -> dict[str, float | int]:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


def orthogonalize(matrix: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return nearly U Vᵀ for `matrix` = U S Vᵀ, by Newton-Schulz iteration in `dtype`.

    `matrix` and the result are float32 [rows, columns]. bfloat16 is precise enough on a device with instructions for
    it. A processor without them would take many times as long.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = NEWTON_SCHULZ
    rows, columns = matrix.shape
    x = tf.cast(matrix / (tf.norm(matrix) + 1e-7), dtype)
    x = tf.transpose(x) if rows > columns else x
    identity = a * tf.eye(min(rows, columns), dtype=dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = tf.matmul(x, x, transpose_b=True)
        x = tf.matmul(identity + b * gram + c * tf.matmul(gram, gram), x)
    return tf.cast(tf.transpose(x) if rows > columns else x, tf.float32)


class MuonAdamW(tf_keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW, with Muon's update for the two-dimensional weights of the blocks.

    Muon's update is scaled by 0.2 sqrt(max(rows, columns)).

    Sources: Loshchilov and Hutter 2019 for AdamW, Liu et al. 2025 (arXiv:2502.16982) for the scale.
    """

    momentum = 0.95
    orthogonalized_in = tf.float32

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        if "/h_._" not in variable.name or len(variable.shape) != 2 or variable.shape[0] == 1:
            super().update_step(gradient, variable)
            return
        momentum = self._momentums[self._index_dict[self._var_key(variable)]]
        momentum.assign(self.momentum * momentum + gradient)
        direction = orthogonalize(gradient + self.momentum * momentum, self.orthogonalized_in)
        scale = UPDATE_SIZE * float(max(variable.shape)) ** 0.5
        variable.assign_sub(tf.cast(self.learning_rate, tf.float32) * scale * direction)


def build_optimizer(
    settings: TrainingSettings, precision: str, steps: int, variables: list[tf.Variable]
) -> tf_keras.optimizers.Optimizer:
    """Build the optimizer of a run, with global-norm clipping.

    The optimizer scales the loss if the precision needs it.
    """
    if settings.schedule == "constant":
        rate = WarmupThenConstant(settings.learning_rate, WARMUP_STEPS)
    else:
        rate = WarmupThenDecay(settings.learning_rate, int(settings.warmup * steps), steps)
    optimizer = MuonAdamW(
        rate,
        weight_decay=settings.weight_decay,
        beta_2=0.98,
        global_clipnorm=settings.clip,
    )
    optimizer.orthogonalized_in = tf.float32 if precision == "float32" else tf.bfloat16
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    if precision == "mixed_float16":
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer
