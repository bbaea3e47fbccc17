"""Text that the desk called kept survives, whenever the server is killed."""

import contextlib
import multiprocessing
import random
import re
import time
from pathlib import Path
from threading import Thread

import httpx

from tests.server.desk.life import serve
from tests.server.desk.visiting import Visitor

LIVES = 50


class Life:
    """A server, and a writer of growing plots.

    kept: the last acknowledged text, by plot. address: of the server, once it listens.
    """

    def __init__(self, bundle: Path, database: Path, cookies: httpx.Cookies) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.server.desk.life"])
        self.kept: dict[str, str] = {}
        self.address = ""
        self.cookies = cookies
        self._heard, said = context.Pipe(duplex=False)
        self._process = context.Process(target=serve, args=(str(bundle), str(database), said))
        self._process.start()
        said.close()
        self._writer = Thread(target=self._write)
        self._writer.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._writer.join()
        self._heard.close()

    def client(self) -> httpx.Client:
        """Return a browser of the writer."""
        return httpx.Client(base_url=self.address, cookies=self.cookies, timeout=30)

    def _write(self) -> None:
        with open(self._heard.fileno(), closefd=False) as output:
            found = re.search(r"http://\S+", output.readline())
        if not found:  # it was killed before it listened
            return
        self.address = found[0]
        plot = text = ""
        with self.client() as client, contextlib.suppress(httpx.TransportError):
            visitor = Visitor(client)
            self.cookies = client.cookies
            while True:
                text += f"{random.random()} " + "and so on " * random.randint(1, 300)
                plot = visitor.keep(text, plot)["plot"]
                self.kept[plot] = text


def test_nothing_is_lost_that_the_desk_said_is_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    """Fifty servers are killed at random moments, while the next one starts on the same file."""
    lives: list[Life] = []
    cookies = httpx.Cookies()
    try:
        for number in range(LIVES + 1):
            lives.append(Life(tiny_bundle, tmp_path / "shelf.sqlite", cookies))
            if number:
                lives[-2].kill()
            # One in ten dies at its start, the others while they keep texts.
            begun = time.monotonic()
            while number % 10 != 9 and not lives[-1].kept:
                assert time.monotonic() < begun + 60, "the server keeps nothing"
                time.sleep(0.005)
            cookies = lives[-1].cookies
            time.sleep(random.uniform(0, 0.1))
        kept = {plot: text for life in lives[:-1] for plot, text in life.kept.items()}
        assert len(kept) >= LIVES * 0.9
        with lives[-1].client() as client:
            for plot, text in kept.items():
                assert text.strip() in client.get(f"/shelf/{plot}/plot.txt").text
    finally:
        for life in lives:
            life.kill()
