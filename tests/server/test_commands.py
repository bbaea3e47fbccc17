"""The commands on the command line."""

import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from server.cli import plotify
from server.commands import _listen
from server.settings import Settings
from tests.server.at_desk import form
from tests.server.following import LONG, following, start

ROOT = Path(__file__).parents[2]
PLOTIFY = [sys.executable, "-c", "from server.cli import main; main()"]


def call(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(plotify, [str(argument) for argument in arguments])


def test_generate_prints_the_prompt_and_its_plot(tiny_bundle: Path) -> None:
    first, second = (call("generate", "A fox", "--model", tiny_bundle, "--seed", "1") for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.output == second.output
    assert first.output.startswith("A fox")
    assert len(first.output) > 20
    other = call("generate", "A fox", "--model", tiny_bundle, "--seed", "1", "--genre", "Horror")
    assert other.exit_code == 0
    assert other.output != first.output


def test_generate_takes_what_is_asked_for(tiny_bundle: Path) -> None:
    greedy = [call("generate", "A fox", "--model", tiny_bundle, "--temperature", "0").output for _ in range(2)]
    assert greedy[0] == greedy[1]
    short = call("generate", "A fox", "--temperature", "0", "--max-tokens", "3", PLOTIFY_MODEL=str(tiny_bundle))
    assert greedy[0].startswith(short.output.rstrip("\n�"))
    assert len(short.output) < len(greedy[0])
    narrow = call("generate", "A fox", "--model", tiny_bundle, "--top-p", "0.000001").output
    assert narrow == greedy[0], "only the likeliest token is left"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["A fox", "--genre", "Western"], "unknown genre 'Western'; this model knows Comedy, Drama, Horror"),
        (["A fox", "--temperature", "nan"], "temperature must be a number from 0 to 10"),
        (["A fox", "--top-p", "2"], "top_p must be"),
        (["A fox", "--max-tokens", "-1"], "max_tokens must be"),
        (["A fox", "--seed", "-1"], "seed must be"),
        ([" "], "The prompt is empty"),
        (["A fox " * 500], "this model reads at most 127; shorten it"),
        (["\udcff"], "not Unicode text"),
    ],
)
def test_generate_says_what_is_wrong(tiny_bundle: Path, arguments: list[str], says: str) -> None:
    result = call("generate", "--model", tiny_bundle, *arguments)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("command", [["generate", "A fox"], ["serve", "--port", "0"]])
def test_a_damaged_bundle_is_one_line_and_no_traceback(
    damaged: Callable[[str, bytes], Path], command: list[str]
) -> None:
    folder = damaged("tokenizer.json", b"{}")
    done = subprocess.run([*PLOTIFY, *command, "--model", folder], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .*tokenizer\.json: sha256 is .* again\n", done.stderr)


def test_a_database_that_cannot_be_used_is_one_line_before_anything_is_served(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (file := tmp_path / "letter.sqlite").write_text("Dear database, " * 100)
    command = [*PLOTIFY, "serve", "--port", "0", "--model", str(tiny_bundle)]
    environment = os.environ | {"PLOTIFY_DATABASE": str(file)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .*letter\.sqlite.* not a database.*PLOTIFY_DATABASE.*\n", done.stderr), done.stderr


def test_serve_says_at_once_in_a_terminal_that_it_loads(tmp_path: Path) -> None:
    """Before the imports that take seconds. Without a terminal there is only the error, as above."""
    terminal, end = pty.openpty()
    served = ("serve", "--port", "0", "--model", str(tmp_path / "story"))
    command = [sys.executable, "-X", "importtime", *PLOTIFY[1:], *served]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=end, cwd=ROOT) as process:
        os.close(end)
        written = b""
        with suppress(OSError):  # Linux tells so that nobody writes any more
            while piece := os.read(terminal, 65536):
                written += piece
        os.close(terminal)
        assert process.wait() == 1
    before, line, after = written.decode().partition("Loading story; the address follows in a few seconds\r\n")
    assert line
    assert not re.search(r"\| +(uvicorn|litestar|numpy|onnxruntime)\b", before)
    assert re.search(r"\| +onnxruntime\b", after)
    assert "Error: " in after


@pytest.mark.parametrize("command", ["generate", "serve"])
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"Example:\n    plotify {command} " in call(command, "--help").output


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_serve_starts_with_little_work_and_stops_when_told(tiny_bundle: Path, told: signal.Signals, code: int) -> None:
    command = [*PLOTIFY, "serve", "--model", str(tiny_bundle), "--port", "0"]
    environment = os.environ | {"PLOTIFY_PORT": "1"}
    work = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.fullmatch(r"Plotify writes with plotify-tiny at (http://127\.0\.0\.1:\d+)\n", line)
            assert found, line
            with httpx.Client(base_url=found[1], timeout=30) as client:
                typed = form(client, text="A fox", do="continue", length="paragraph")
                with client.stream("POST", "/desk", data=typed):
                    process.send_signal(told)
                    assert process.wait(timeout=30) == code
            assert process.stdout.read() == ""
        finally:
            process.kill()
    # Processor time, so that other work on the machine does not count.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - work < 4


@contextmanager
def slow_server(bundle: Path, seconds: float, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server with two rows and slow decode steps. Yields its process and address."""
    slowed = f"import pytest; from tests.server.live import slow_down; slow_down(pytest.MonkeyPatch(), {seconds})"
    program = f"{slowed}; from server.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--model", str(bundle), "--port", "0", "--rows", "2"]
    environment = os.environ | {f"PLOTIFY_{name.upper()}": value for name, value in settings.items()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_serve_finishes_what_it_writes_and_takes_nothing_more_when_it_is_stopped(tiny_bundle: Path) -> None:
    """Queued plots are finished too, and clients can still follow them."""
    with slow_server(tiny_bundle, 0.1, grace="60") as (process, address):
        plots = [start(address, LONG) for _ in range(3)]
        with following(plots[0]) as first:
            written = first.iter_sse()
            assert next(written).event == "token"
            process.send_signal(signal.SIGTERM)
            while (refused := httpx.post(f"{address}/api/plots", json=LONG)).status_code != 503:
                time.sleep(0.01)
            assert "The server is about to stop" in refused.json()["message"]
            assert refused.headers["retry-after"] == "5"
            with following(plots[2]) as waiting:
                ends = [list(written)[-1], list(waiting.iter_sse())[-1]]
        assert [end.event for end in ends] == ["done", "done"]
        assert process.wait(timeout=30) == -signal.SIGTERM


def test_serve_leaves_to_the_next_server_what_takes_longer_than_its_grace(tiny_bundle: Path) -> None:
    with slow_server(tiny_bundle, 0.3, grace="1") as (process, address):
        plots = [start(address, LONG) for _ in range(3)]
        with following(plots[0]) as first, following(plots[2]) as waiting:
            written = first.iter_sse()
            assert next(written).event == "token"
            process.send_signal(signal.SIGTERM)
            rest = [*written, *waiting.iter_sse()]
        assert {event.event for event in rest} <= {"token"}
        process.wait(timeout=30)


def test_a_second_signal_does_not_wait(tiny_bundle: Path) -> None:
    with slow_server(tiny_bundle, 0.3, grace="600") as (process, address), following(start(address, LONG)) as plot:
        written = plot.iter_sse()
        assert next(written).event == "token"
        process.send_signal(signal.SIGTERM)
        while httpx.post(f"{address}/api/plots", json=LONG).status_code != 503:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def test_a_port_in_use_is_said_clearly(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call("serve", "--model", tiny_bundle, "--port", str(port))
    assert result.exit_code == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another" in result.output


def test_of_two_that_start_at_once_on_one_port_the_second_is_told(tiny_bundle: Path) -> None:
    """The first one is still loading its model: it has the port, but nobody has answered there."""
    with _listen(Settings(port=0)) as first:
        port = first.getsockname()[1]
        result = call("serve", "--model", tiny_bundle, "--port", str(port))
    assert result.exit_code == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another" in result.output


def test_serve_refuses_settings_that_are_none(tiny_bundle: Path) -> None:
    result = call("serve", "--model", tiny_bundle, PLOTIFY_QUEUE="many")
    assert result.exit_code == 1
    assert "PLOTIFY_QUEUE is 'many'; it must be a whole number" in result.output
