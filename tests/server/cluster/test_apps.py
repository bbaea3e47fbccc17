"""Two apps with two replicas, from their clients' view."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.bundle import Bundle
from tests.server.cluster.conftest import Cluster, serving
from tests.server.following import LONG, follow, following, start, text_of
from tests.server.live import serving as serving_alone
from tests.server.plots.lives import Reader


@pytest.fixture(scope="module")
def apps(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with serving(tiny_bundle, tmp_path_factory.mktemp("shelf"), apps=2) as cluster:
        yield cluster


def _name(address: str, cookie: str = "") -> str:
    """Return the name of the app that answers."""
    headers = {"Cookie": cookie} if cookie else {}
    found = re.findall(r'app="(.*?)"', httpx.get(f"{address}/metrics", headers=headers).text)
    assert len(set(found)) == 1
    return str(found[0])


def test_a_cookie_stays_with_one_app_and_all_else_goes_to_any(apps: Cluster) -> None:
    assert len(apps.replicas("App")) == 2
    assert len({_name(apps.address) for _ in range(30)}) == 2
    by_cookie = [{_name(apps.address, f"shelf={writer}") for _ in range(5)} for writer in range(20)]
    assert all(len(found) == 1 for found in by_cookie)
    assert len(set.union(*by_cookie)) == 2


def test_what_is_stopped_at_one_app_ends_at_all(apps: Cluster) -> None:
    plot = start(apps.address, LONG)
    with following(plot) as one, following(plot) as two, following(plot) as three:
        events = [source.iter_sse() for source in (one, two, three)]
        for each in events:
            next(each)
        assert httpx.delete(f"{apps.address}/api/plots/{plot['id']}", timeout=60).status_code == 204
        ends = [list(each)[-1] for each in events]
    assert [end.json()["finish_reason"] for end in ends] == ["cancelled"] * 3


def test_plots_of_an_app_that_is_killed_go_on_at_another(apps: Cluster, bundle: Bundle) -> None:
    with serving_alone(bundle) as live:
        undisturbed = text_of(follow(start(live.address, LONG)))
    readers = [Reader(start(apps.address, LONG)["id"]) for _ in range(4)]
    for reader in readers:
        reader.read(apps.address, most=5)
    os.kill(min(apps.replicas("App")), signal.SIGKILL)
    for reader in readers:
        while not reader.ended:
            reader.read(apps.address)
    assert [text_of(reader.events) for reader in readers] == [undisturbed] * 4
