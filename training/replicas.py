"""Training on several devices or machines: TensorFlow's strategies, and each batch split among their replicas.

A replica is one device's copy of the model. All replicas do every step together: each computes the gradients of its
rows of the batch, the gradients are summed, and all make the same update. So how many there are changes nothing but the
order in which floats are summed, and what dropout drops.
"""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from training.batches import Batch
from training.workers import Cluster, ClusterError, await_workers, read_cluster

BATCH = tuple(tf.TensorSpec([None, None], dtype) for dtype in (tf.int32, tf.int32, tf.float32))
"""`ids`, `starts` and `mask` of a `Batch`."""

STARTING = 120
"""Seconds that TensorFlow may take to connect workers that are all there."""


class Replicas:
    """The devices that train together, through a TensorFlow strategy.

    Attributes:
        strategy: the default one of TensorFlow where one device trains alone.
        worker: this process's place among the workers.
        workers: processes that train together.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None) -> None:
        self.strategy = strategy
        self.worker, self.workers = (cluster.index, len(cluster.workers)) if cluster else (0, 1)

    @property
    def count(self) -> int:
        """How many there are, on all workers."""
        count: int = self.strategy.num_replicas_in_sync
        return count

    @property
    def chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.worker == 0

    def share(self, batches: Callable[[], Iterator[Batch]]) -> tf.data.Dataset:
        """The batches, each split among the replicas; what is read from it goes into a step of `build_steps`.

        Replica r of n has the rows r, r + n, r + 2n ... of a batch, so that the rows of one that is not full are spread
        evenly.

        Args:
            batches: begins an endless iterator: with an end, the workers would ask one another for it at every step.
        """

        def shares(place: tf.distribute.InputContext) -> tf.data.Dataset:
            replicas = place.num_replicas_in_sync
            here = replicas // place.num_input_pipelines
            first = place.input_pipeline_id * here

            def split(*tensors: tf.Tensor) -> tf.data.Dataset:
                numbers = tf.data.Dataset.range(first, first + here)
                return numbers.map(lambda replica: tuple(tensor[replica::replicas] for tensor in tensors))

            whole = tf.data.Dataset.from_generator(
                lambda: ((batch.ids, batch.starts, batch.mask) for batch in batches()), output_signature=BATCH
            )
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return whole.flat_map(split).apply(endless).prefetch(2 * here)

        return self.strategy.distribute_datasets_from_function(shares)

    def sum(self, number: int) -> int:
        """The sum of every replica's `number`; returns when all workers have come here."""

        def added() -> tf.Tensor:
            numbers = self.strategy.run(lambda: tf.constant(number, tf.int64))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None)

        return int(tf.function(added)())

    @contextmanager
    def losing_no_worker(self) -> Iterator[None]:
        """Turn what TensorFlow raises when a worker is gone into a ClusterError; of one process alone, let it pass."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1:
                raise
            raise ClusterError(
                f"worker {self.worker} of {self.workers}: the workers no longer train together, since one has ended or "
                f"cannot be reached ({reason(error)}). When all have ended, give the same commands to resume the run."
            ) from error


def replicas_of(kind: str | None) -> Replicas:
    """The replicas of `--distribute`; None is one device. To be called before TensorFlow computes anything.

    Raises:
        ClusterError: there is one device to mirror onto, or TF_CONFIG is not right, or the cluster does not come up.
    """
    if kind is None:
        return Replicas(tf.distribute.get_strategy())
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if len(devices) == 1:
            raise ClusterError(
                f"--distribute mirrored: TensorFlow sees one device here, {devices[0].name}. Leave --distribute out to "
                "train on it, or make the others visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)."
            )
        return Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    cluster = read_cluster()
    await_workers(cluster)
    return Replicas(multiworker_strategy(cluster), cluster)


def multiworker_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    # Until all servers are up TensorFlow keeps the interpreter to itself, where only a signal that no Python handles
    # ends the process; afterwards it takes SIGTERM for a notice, and trains on.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.alarm(STARTING)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ClusterError(
            f"worker {cluster.index}: TensorFlow's servers did not start together ({reason(error)}): end what is left "
            "of them, and start all workers again"
        ) from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, handler)


def reason(error: tf.errors.OpError) -> str:
    """The tasks that TensorFlow names, or else the beginning of what it says."""
    named = sorted(set(re.findall(r"/job:\w+/(?:replica:0/)?task:\d+", error.message)))
    return ", ".join(named) or error.message.strip().split("\n")[0]
