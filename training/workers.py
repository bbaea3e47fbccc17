"""The workers training together, described by TF_CONFIG in the form documented by TensorFlow."""

import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
ADDRESS = re.compile(r"\S+:\d{1,5}", re.ASCII)

WAIT = 600.0
"""Seconds a worker waits for the others to start."""


class ClusterError(Exception):
    """The workers cannot train together, or no longer can. The message says why, and what to do."""


@dataclass(frozen=True)
class Cluster:
    """The workers, and the place of this one among them.

    Attributes:
        workers: the addresses of the workers, as host:port. The first one is the chief's.
        index: the place of this worker.
    """

    workers: tuple[str, ...]
    index: int


def read_cluster() -> Cluster:
    """Read the cluster from the environment variable TF_CONFIG.

    Raises:
        ClusterError: the variable is not set, is not JSON, or does not describe this worker and the others.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise refused("it is not set")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise refused(f"it is not JSON ({error})") from error
    cluster, task = (config.get(part) if isinstance(config, dict) else None for part in ("cluster", "task"))
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise refused("'cluster' and 'task' must both be there, as objects")
    if unknown := cluster.keys() - {"chief", "worker"}:
        raise refused(f"cluster: {', '.join(sorted(unknown))} is not used here; every process is a worker")
    chief, workers = (addresses(cluster, job) for job in ("chief", "worker"))
    if len(chief) > 1:
        raise refused(f"cluster.chief has {len(chief)} addresses; there can be only one chief")
    if len({*chief, *workers}) < len(chief) + len(workers):
        raise refused("cluster: an address occurs twice; every worker needs its own")
    jobs = {"chief": chief, "worker": workers}
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or job not in jobs or type(index) is not int or not 0 <= index < len(jobs[job]):
        has = " and ".join(f"{len(jobs[name])} of type {name}" for name in jobs if jobs[name]) or "no worker"
        raise refused(f"task is {json.dumps(task)}, but cluster has {has}, counted from 0")
    return Cluster((*chief, *workers), index + (len(chief) if job == "worker" else 0))


def await_workers(cluster: Cluster, seconds: float = WAIT) -> None:
    """Wait until every worker accepts connections at its address.

    Meanwhile, this worker accepts them at its own. TensorFlow would wait too, but forever. It would not name the
    missing worker, and would ignore Ctrl-C.

    Raises:
        ClusterError: a worker does not answer within `seconds`, or this one cannot open its port.
    """
    own = cluster.workers[cluster.index]
    try:
        listener = socket.create_server(("", port_of(own)))
    except OSError as error:
        raise ClusterError(
            f"worker {cluster.index}: the port of {own} cannot be opened ({error.strerror}): end the process "
            "using it, or give all workers a TF_CONFIG with another port"
        ) from error
    deadline = time.monotonic() + seconds
    absent = [address for address in cluster.workers if address != own]
    with listener:
        while absent := [address for address in absent if not takes_connections(address)]:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"worker {cluster.index}: after {seconds:g} s, nothing answers at {', '.join(absent)}: start "
                    "the workers there, with the same cluster in their TF_CONFIG, and check the firewalls in between"
                )
            time.sleep(0.2)


def takes_connections(address: str) -> bool:
    try:
        socket.create_connection((address.rpartition(":")[0].strip("[]"), port_of(address)), timeout=2).close()
    except OSError:
        return False
    return True


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def addresses(cluster: dict[str, Any], job: str) -> list[str]:
    listed = cluster.get(job, [])
    if not isinstance(listed, list) or not all(isinstance(item, str) and is_address(item) for item in listed):
        raise refused(f"cluster.{job} is {json.dumps(listed)}; it must be a list of host:port")
    return listed


def is_address(text: str) -> bool:
    return bool(ADDRESS.fullmatch(text)) and 0 < port_of(text) < 1 << 16


def refused(problem: str) -> ClusterError:
    return ClusterError(
        f"--distribute multiworker: TF_CONFIG: {problem}. Tell every worker the addresses of all and its own index, as "
        f"in TF_CONFIG='{EXAMPLE}' (the next worker has index 1)."
    )
