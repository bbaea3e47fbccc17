"""Learning guidance: a model that writes alone what its base writes under guidance.

Classifier-free guidance reads each prompt twice, with its genre and without, and draws from the difference, which costs
two rows of the engine. Here the base does that on the training texts, and the model learns the guided distribution in
each place. It then needs no guidance, and a genre costs one row.

Sources: Sanchez et al. 2023 (arXiv:2306.17806) for guidance, Meng et al. 2023 (arXiv:2210.03142) for learning it.
"""

import math

import tensorflow as tf
from transformers import TFGPT2LMHeadModel

from training.network import Loss, Network, following, summed

FLOOR = 0.02
"""Guidance never draws tokens below this share of the likeliest token's probability.

It is the server's default.
"""

ROUNDING = 1e-3
"""Two readings of the same prompt differ by less than this in their log probabilities."""


def divergence_from(base: tf.Tensor, strength: float) -> Loss:
    """Return a loss: the Kullback-Leibler divergence of a model from the guided distributions, in nats.

    Args:
        base: the weights of the base's head, [vocabulary, width] in the dtype of the products.
        strength: as in `server/engine/sampling/guidance.py`.
    """
    reach = math.log(FLOOR)

    @tf.function(jit_compile=True)
    def diverge(
        logits: tf.Tensor, with_genre: tf.Tensor, without: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        own, plain = (tf.nn.log_softmax(tf.cast(each, tf.float32)) for each in (with_genre, without))
        # The server has nothing to guide a prompt without a genre away from, so it cuts nothing off there.
        unguided = tf.reduce_all(tf.abs(own - plain) < ROUNDING, -1, keepdims=True)
        plausible = unguided | (own >= tf.reduce_max(own, -1, keepdims=True) + reach)
        guided = tf.nn.log_softmax(tf.where(plausible, plain + strength * (own - plain), tf.constant(-1e9)))
        learned = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        share = tf.exp(guided)
        losses = tf.reduce_sum(tf.where(plausible, share * (guided - learned), 0.0), -1)
        gradient = (tf.exp(learned) - share) * weights[:, None]
        return tf.reduce_sum(losses * weights), tf.cast(gradient, logits.dtype)

    def loss(
        logits: tf.Tensor, with_genre: tf.Tensor, without: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the sum and the gradient of the logits. The arguments behind it are states of the base."""
        read = (tf.matmul(each, base, transpose_b=True) for each in (with_genre, without))
        return diverge(logits, *read, weights)  # type: ignore[no-any-return]

    return loss


class GuidedNetwork(Network):
    """A network whose loss is its divergence from what its base draws from under guidance.

    Args:
        model, dtype: see `Network`.
        base: the model that reads each text with its genre and without.
        strength: of the guidance.
    """

    def __init__(self, model: TFGPT2LMHeadModel, base: TFGPT2LMHeadModel, strength: float, dtype: tf.DType) -> None:
        super().__init__(model, dtype)
        self.base, self.strength = Network(base, dtype), strength

    def summed_loss(self, ids: tf.Tensor, starts: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the sum of the divergences in the places of the targets (nats, float32).

        Args:
            ids, starts, mask: a batch of `GuidedRows`.
        """
        rows = tf.shape(ids)[0] // 2
        states = self.states(ids[:rows], starts[:rows], training)
        read = tf.stop_gradient(self.base.states(ids, starts, training=False))
        loss = divergence_from(tf.cast(self.base.head, self.dtype), self.strength)
        return summed(loss, training)(states, self.head, *tf.split(read, 2), following(mask[:rows]))
