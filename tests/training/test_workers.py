import json
import random
import socket
from contextlib import suppress

import pytest

from training.workers import Cluster, ClusterError, await_workers, read_cluster


def config(task: object, **cluster: object) -> str:
    return json.dumps({"cluster": cluster, "task": task})


def test_a_worker_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config({"type": "worker", "index": 1}, worker=["a:1", "b:2"]))
    assert read_cluster() == Cluster(("a:1", "b:2"), 1)
    monkeypatch.setenv("TF_CONFIG", config({"type": "worker", "index": 0}, worker=["a:1"], chief=["b:2"]))
    assert read_cluster() == Cluster(("b:2", "a:1"), 1)
    monkeypatch.setenv("TF_CONFIG", config({"type": "chief", "index": 0}, worker=["a:1"], chief=["b:2"]))
    assert read_cluster() == Cluster(("b:2", "a:1"), 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is not set"),
        ("{", "it is not JSON"),
        ("[]", "'cluster' and 'task' must both be there"),
        ('{"cluster": {"worker": ["a:1"]}}', "'cluster' and 'task' must both be there"),
        (config({"type": "worker", "index": 0}, worker="a:1"), 'cluster.worker is "a:1"; it must be a list'),
        (config({"type": "worker", "index": 0}, worker=["a"]), 'cluster.worker is ["a"]; it must be a list'),
        (
            config({"type": "worker", "index": 0}, worker=["a:70000"]),
            'cluster.worker is ["a:70000"]; it must be a list',
        ),
        (config({"type": "worker", "index": 0}, worker=["a:1", "a:1"]), "an address occurs twice"),
        (config({"type": "worker", "index": 0}, worker=["a:1"], ps=["b:1"]), "cluster: ps is not used here"),
        (config({"type": "worker", "index": 0}, worker=["a:1"], chief=["b:1", "c:1"]), "there can be only one chief"),
        (config({"type": "worker", "index": 1}, worker=["a:1"]), "but cluster has 1 of type worker, counted from 0"),
        (config({"type": "worker", "index": "0"}, worker=["a:1"]), "but cluster has 1 of type worker"),
        (config({"type": ["worker"], "index": 0}, worker=["a:1"]), "but cluster has 1 of type worker"),
        (config({"type": "chief", "index": 0}), "but cluster has no worker"),
    ],
)
def test_a_wrong_tf_config_is_explained(monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ClusterError) as error:
        read_cluster()
    assert says in str(error.value)
    assert """TF_CONFIG='{"cluster": {"worker": ["host1:2222",""" in str(error.value)


def free_addresses(number: int) -> list[str]:
    """Return free addresses. They stay free: operating systems hand out higher ports than these."""
    found: set[str] = set()
    while len(found) < number:
        address = "127.0.0.1", random.randrange(20_000, 32_768)
        with suppress(OSError), socket.create_server(address):
            found.add(f"{address[0]}:{address[1]}")
    return list(found)


def test_a_worker_that_does_not_come_is_named() -> None:
    here, absent = free_addresses(2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = f"127.0.0.1:{server.getsockname()[1]}"
        await_workers(Cluster((here, there), 0), seconds=30)
        with pytest.raises(ClusterError, match=f"worker 0: after 0.3 s, nothing answers at {absent}: start"):
            await_workers(Cluster((here, there, absent), 0), seconds=0.3)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"worker 1: the port of {taken} cannot be opened"):
            await_workers(Cluster(("127.0.0.1:1", taken), 1), seconds=30)
