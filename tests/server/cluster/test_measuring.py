"""`plotify bench replicas` measures a server; its speed is not tested here."""

from benchmarks.process import Serving
from benchmarks.replicas import kill, measure
from server.bundle import Bundle
from tests.server.cluster.conftest import Cluster


def test_a_server_is_measured_and_loses_a_replica(cluster: Cluster, bundle: Bundle) -> None:
    server = Serving(cluster.address, bundle.manifest.name, cluster.process.pid)
    turns: list[None] = []
    measured = measure(server, bundle, (8, 4), 4, 2, lambda: turns.append(None))
    assert len(turns) == 3
    assert len(measured.each_round) == 2
    assert min(measured.each_round) <= measured.tokens_per_second <= max(measured.each_round)
    assert measured.seconds_per_token["engine"] > 0
    assert {kind: len(found) for kind, found in measured.resident_bytes.items() if kind != "Ray"} == {
        "server": 1,
        "engine": 2,
        "app": 1,
        "proxy": 1,
    }
    killed = kill(server, 4, seed=1)
    assert (killed.texts, killed.whole, killed.identical) == (4, 4, 4)
    assert killed.silence > 0
