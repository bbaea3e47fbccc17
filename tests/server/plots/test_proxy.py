"""Two servers with one PostgreSQL behind nginx, in turns for each request, serve any plot."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from server.bundle import Bundle
from tests.server.following import LONG, follow, following, start, text_of
from tests.server.live import serving
from tests.server.plots.lives import Life, Reader, serve_slowly
from tests.server.shelf.conftest import needs_postgresql

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")

CONFIGURATION = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream plotify {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://plotify;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_buffering off;
        }}
    }}
}}
"""

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.parametrize("database", [pytest.param("postgresql", marks=needs_postgresql)], indirect=True),
]


@contextmanager
def nginx(folder: Path, lives: list[Life]) -> Iterator[str]:
    """Run nginx in front of servers, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = " ".join(f"server {httpx.URL(life.address).netloc.decode()} fail_timeout=1s;" for life in lives)
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, servers=servers, port=port))
    with subprocess.Popen([str(NGINX), "-c", str(file), "-e", "stderr"]) as process:
        try:
            for _ in range(600):
                with socket.socket() as connection:
                    if connection.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, "nginx did not start"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def lives(tiny_bundle: Path, database: str) -> Iterator[list[Life]]:
    lives = [Life(serve_slowly, tiny_bundle, database) for _ in range(2)]
    yield lives
    for life in lives:
        life.kill()


@pytest.fixture
def undisturbed(bundle: Bundle) -> str:
    with serving(bundle) as live:
        return text_of(follow(start(live.address, LONG)))


def test_either_server_serves_any_plot_and_one_may_die(tmp_path: Path, lives: list[Life], undisturbed: str) -> None:
    with nginx(tmp_path, lives) as address:
        readers = [Reader(start(address, LONG)["id"]) for _ in range(3)]
        for reader in readers:
            for _ in range(3):  # each time at the other server
                reader.read(address, most=10)
                newest = reader.events[-1].id
                so_far = httpx.get(
                    f"{address}/api/plots/{reader.id}", params={"last-event-id": newest}, timeout=60
                ).json()
                assert so_far["text"].startswith(text_of(reader.events))
        lives[0].kill()
        for reader in readers:
            while not reader.ended:
                reader.read(address)
    assert [text_of(reader.events) for reader in readers] == [undisturbed] * 3


def test_what_is_stopped_at_one_ends_at_both(tmp_path: Path, lives: list[Life]) -> None:
    with nginx(tmp_path, lives) as address:
        plot = start(address, LONG)
        path = f"/api/plots/{plot['id']}"
        with (
            following(plot | {"events": lives[0].address + path + "/events"}) as one,
            following(plot | {"events": lives[1].address + path + "/events"}) as other,
        ):
            first, second = one.iter_sse(), other.iter_sse()
            next(first), next(second)
            assert httpx.delete(address + path, timeout=60).status_code == 204
            ends = [list(first)[-1], list(second)[-1]]
        assert [end.json()["finish_reason"] for end in ends] == ["cancelled", "cancelled"]
        furthest = max(ends, key=lambda end: int(end.id.split("-")[0]))
        for life in lives:
            answer = httpx.get(life.address + path, headers={"Last-Event-ID": furthest.id}, timeout=60).json()
            assert (answer["last_event_id"], answer["finish_reason"]) == (furthest.id, "cancelled")
