"""AdamW with a warm-up and a linear decay to zero."""

import tensorflow as tf
import tf_keras

from training.settings import TrainingSettings


class WarmupThenDecay(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Rises linearly from 0 to `peak` in `warmup` steps, then falls linearly to 0 at `steps`."""

    def __init__(self, peak: float, warmup: int, steps: int) -> None:
        self.peak, self.warmup, self.steps = peak, max(1, warmup), steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1, self.steps - self.warmup)
        return self.peak * tf.clip_by_value(tf.minimum(rise, fall), 0.0, 1.0)

    def get_config(self) -> dict[str, float | int]:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


def build_optimizer(
    settings: TrainingSettings, steps: int, variables: list[tf.Variable]
) -> tf_keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) with global-norm clipping; scales the loss where the precision needs it."""
    optimizer = tf_keras.optimizers.AdamW(
        WarmupThenDecay(settings.learning_rate, int(settings.warmup * steps), steps),
        weight_decay=settings.weight_decay,
        beta_2=0.98,
        global_clipnorm=settings.clip,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    if settings.precision == "mixed_float16":
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer
