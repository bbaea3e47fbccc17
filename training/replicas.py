"""Training on several devices or machines, with TensorFlow's distribution strategies.

A replica is the copy of the model on one device. Each batch is split among the replicas, and all replicas do every step
together. Each one computes the gradients of its rows, the gradients are summed, and all make the same update. The
number of replicas therefore changes only the order of adding floats and the values dropped by dropout.
"""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from training.batches import Batch
from training.workers import Cluster, ClusterError, await_workers, read_cluster

BATCH = tuple(tf.TensorSpec([None, None], dtype) for dtype in (tf.int32, tf.int32, tf.float32))
"""Specs of the `ids`, `starts` and `mask` of a `Batch`."""

STARTING = 120
"""Seconds for TensorFlow to connect the workers, once all of them are up."""


class Replicas:
    """The devices training together, through a TensorFlow strategy.

    Attributes:
        strategy: TensorFlow's strategy; its default one if one device trains alone.
        worker: index of this process among the workers.
        workers: number of processes training together.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None) -> None:
        self.strategy = strategy
        self.worker, self.workers = (cluster.index, len(cluster.workers)) if cluster else (0, 1)

    @property
    def count(self) -> int:
        """Number of replicas on all workers."""
        count: int = self.strategy.num_replicas_in_sync
        return count

    @property
    def chief(self) -> bool:
        """True if this worker is the chief, the only one to write files."""
        return self.worker == 0

    def share(self, batches: Callable[[], Iterator[Batch]]) -> tf.data.Dataset:
        """Split each batch among the replicas.

        Replica r of n gets the rows r, r + n, r + 2n ... of a batch, so the rows of an incomplete batch are spread
        evenly.

        Args:
            batches: returns an endless iterator. If it could end, the workers would ask one another at every step
                whether it has.

        Returns:
            A dataset. Its elements are the arguments for a step of `build_steps`.
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
        """Return the sum of every replica's `number`, once all workers have made this call."""

        def added() -> tf.Tensor:
            numbers = self.strategy.run(lambda: tf.constant(number, tf.int64))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None)

        return int(tf.function(added)())

    @contextmanager
    def losing_no_worker(self) -> Iterator[None]:
        """Turn TensorFlow's errors about a lost worker into a ClusterError.

        A process training alone has no worker to lose, so its errors pass unchanged.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1:
                raise
            raise ClusterError(
                f"worker {self.worker} of {self.workers}: the workers cannot go on, because one has ended or cannot be "
                f"reached ({reason(error)}). When all have ended, give the same commands to resume the run."
            ) from error


def replicas_of(kind: str | None) -> Replicas:
    """Return the replicas for `--distribute`. None means one device.

    Call this before TensorFlow computes anything.

    Raises:
        ClusterError: there is only one device to mirror onto, TF_CONFIG is wrong, or the cluster does not start.
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
    # Until all servers are up, TensorFlow does not return to the interpreter. Only signals without a Python handler
    # can end the process meanwhile. Afterwards TensorFlow takes SIGTERM for a notice of preemption, and trains on.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.alarm(STARTING)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ClusterError(
            f"worker {cluster.index}: TensorFlow's servers did not start together ({reason(error)}): end those still "
            "running, and start all workers again"
        ) from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, handler)


def reason(error: tf.errors.OpError) -> str:
    """Return the tasks named in a TensorFlow error, or the first line of its message."""
    named = sorted(set(re.findall(r"/job:\w+/(?:replica:0/)?task:\d+", error.message)))
    return ", ".join(named) or error.message.strip().split("\n")[0]
