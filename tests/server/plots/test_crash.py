"""Plots outlive a server that is killed, and one that kills it is not tried for ever."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from server.bundle import Bundle
from tests.server.following import LONG, follow, start, text_of
from tests.server.live import serving
from tests.server.plots.lives import POISON, Life, Reader, read_all, serve_slowly, serve_until_poisoned


@pytest.fixture
def undisturbed(bundle: Bundle) -> dict[int, str]:
    """The texts of LONG, by seed, from a server without interruptions."""
    with serving(bundle) as live:
        return {seed: text_of(follow(start(live.address, LONG | {"seed": str(seed)}))) for seed in (1, 2)}


def test_all_plots_go_on_after_a_kill(tiny_bundle: Path, tmp_path: Path, undisturbed: dict[int, str]) -> None:
    database = tmp_path / "shelf.sqlite"
    life = Life(serve_slowly, tiny_bundle, database)
    try:
        plots = {seed: start(life.address, LONG | {"seed": str(seed)}) for seed in undisturbed}
        readers = {seed: Reader(plot["id"]) for seed, plot in plots.items()}
        with httpx.stream("GET", plots[1]["events"]) as response:
            next(response.iter_lines())
        life.kill()
        life = Life(serve_slowly, tiny_bundle, database)
        for thread in read_all(list(readers.values()), life.address):
            thread.join()
        assert {seed: text_of(reader.events) for seed, reader in readers.items()} == undisturbed
        for reader in readers.values():
            assert reader.events[-1].event == "done"
        assert len(list(tmp_path.glob("shelf.sqlite-server-*"))) == 1, "the dead one's is removed"
    finally:
        life.kill()


def test_a_plot_that_kills_the_server_is_given_up_and_takes_nobody_along(
    tiny_bundle: Path, tmp_path: Path, undisturbed: dict[int, str]
) -> None:
    database, deaths = tmp_path / "shelf.sqlite", 0
    life = Life(serve_slowly, tiny_bundle, database)  # all are recorded before the poison works
    try:
        poison, *others = (
            Reader(start(life.address, LONG | {"seed": str(seed)})["id"]) for seed in (POISON, *undisturbed)
        )
        os.kill(life.process.pid or 0, signal.SIGKILL)
        life.process.join()
        while not all(reader.ended for reader in (poison, *others)):
            assert deaths < 5, "it is tried for ever"
            life = Life(serve_until_poisoned, tiny_bundle, database)
            for thread in read_all([poison, *others], life.address):
                thread.join()
            life.process.join(1)
            deaths += life.process.exitcode == -signal.SIGKILL
            life.kill()
    finally:
        life.kill()
    assert deaths == 3
    assert poison.events[-1].event == "error"
    assert "the server has died 4 times while it was written" in poison.events[-1].json()["message"]
    assert [text_of(reader.events) for reader in others] == list(undisturbed.values())
