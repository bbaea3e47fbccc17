"""The trials of benchmarks/trials, shortened: the server meets the targets, and the table says so."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.client import Reply, SampleRequest, Visitor, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.bad_inputs import KINDS, Known, bad_inputs
from benchmarks.trials.garbage import complaints
from benchmarks.trials.losses import VICTIMS
from benchmarks.trials.raw import Outcome, judge
from benchmarks.trials.soak import grown, max_at_once
from benchmarks.trials.trial import TrialResult
from server.cli import plotify
from server.settings import SHIPPED_MODEL

VISITOR = Visitor("plotify_shelf=one", "two")
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "One operation", "version": "1"},
    "paths": {
        "/v1/completions": {
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CompletionRequest"}}}
                },
                "responses": {"200": {"description": "A text."}},
            }
        }
    },
    "components": {
        "schemas": {
            "CompletionRequest": {
                "type": "object",
                "required": ["prompt"],
                "properties": {"prompt": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
            }
        }
    },
}
KNOWN = Known(DOCUMENT, "/api/plots/one", VISITOR, "/shelf/one", "plotify-mini")
NOTHING = {
    "soak": {"--streams": 0, "--seconds": 0, "--requests": 0, "--fairness": 0},
    "chaos": {"--disconnects": 0, "--kills": 0, "--crashes": 0, "--chunks": 0, "--searches": 0, "--losses": 0},
    "garbage": {"--count": 0},
}


def bench(command: str, out: Path, model: Path, rows: int, **trial: int) -> tuple[Result, TrialResult]:
    """Run one trial alone, and return its row."""
    chosen = NOTHING[command] | {f"--{name}": count for name, count in trial.items()}
    arguments = {"--model": model, "--out": out, "--rows": rows} | chosen
    done = CliRunner().invoke(plotify, ["bench", command, *(str(word) for pair in arguments.items() for word in pair)])
    assert done.exit_code in (0, 1), done.output
    (row,) = json.loads((out / f"{command}.json").read_text())["results"]
    return done, TrialResult(**row)


def test_streams_at_once_are_what_each_is_alone(tmp_path: Path) -> None:
    done, row = bench("soak", tmp_path, SHIPPED_MODEL, rows=4, streams=40)
    assert row.figures == {"streams": 40, "held": 40, "identical": 40, "problems": []}
    assert (done.exit_code, row.reached) == (0, True)
    assert "| 40 event streams at once |" in done.output


def test_twice_what_can_be_served_ends_cleanly(tmp_path: Path) -> None:
    """There is no bound on the waiting time: that needs a quiet machine."""
    _, row = bench("soak", tmp_path, SHIPPED_MODEL, rows=4, seconds=5)
    figures = row.figures
    assert figures["problems"] == []
    assert set(figures["ends"]) <= {"whole", "refused"}
    assert figures["ends"]["whole"] > 0
    assert figures["rate"] == pytest.approx(2 * figures["capacity"])
    assert figures["ratio"] == pytest.approx(figures["first_token"] / figures["first_token_at_capacity"])


def test_a_soak_serves_all_and_draws_the_memory(tmp_path: Path) -> None:
    _, row = bench("soak", tmp_path, SHIPPED_MODEL, rows=8, requests=200)
    assert row.figures["ends"] == {"whole": 200}
    assert row.figures["memory"][-1][0] == 200
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_clients_who_leave_leave_nothing_behind(tmp_path: Path) -> None:
    _, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=8, disconnects=400)
    figures = row.figures
    assert figures["rows_usable"]
    assert figures["running"] > 1
    assert figures["idle_seconds"] < 20, "a closer bound needs a quiet machine"
    assert figures["idle_seconds_of_plots"] < 20
    assert len(figures["resident_bytes"]) == 5


def test_after_a_kill_plots_go_on_and_all_else_is_as_before(tmp_path: Path) -> None:
    done, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=32, kills=2)
    found = row.figures["found"]
    assert row.figures["problems"] == []
    assert found["stream broke off"] > 0
    assert found["again"] == 32
    assert found["plot broke off"] == found["went on"] + found.get("unacknowledged", 0)
    assert found["went on"] > 0
    assert row.figures["kept"] > 0
    assert row.figures["lost"] == 0
    assert (done.exit_code, row.reached) == (0, True)


def test_a_model_that_fails_is_told_to_everybody(tmp_path: Path) -> None:
    done, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=32, crashes=2)
    assert row.figures["problems"] == []
    assert row.figures["ends"]["told"] > 0
    assert row.figures["served_afterwards"] == 8
    assert (done.exit_code, row.reached) == (0, True)


def test_chunks_of_one_byte_are_answered_and_others_are_served(tmp_path: Path) -> None:
    """There is no bound on the waiting time: that needs a quiet machine. So it is with searches."""
    _, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=2, chunks=2)
    assert row.figures["problems"] == []
    assert row.figures["texts"] > 0
    assert row.figures["quiet"]
    assert row.reached == (max(row.figures["beside"]) <= 0.25)


def test_searches_are_answered_and_another_writer_saves(tmp_path: Path) -> None:
    _, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=2, searches=3)
    assert row.figures["problems"] == []
    assert row.figures["quiet"]
    assert row.figures["seconds"] > 0
    assert row.reached == (max(row.figures["beside"]) <= 1)


def test_plots_go_on_if_a_process_of_a_cluster_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the raylet: the command gives up a lost Ray only after a minute, and starts it again."""
    program = ("-c", "from tests.server.cluster.slow import main; main()", "serve")
    monkeypatch.setattr("benchmarks.trials.losses.PROGRAM", program)
    monkeypatch.delitem(VICTIMS, "the raylet")
    done, row = bench("chaos", tmp_path, SHIPPED_MODEL, rows=8, losses=4)
    assert row.figures["problems"] == []
    identical = {victim: found["identical"] for victim, found in row.figures["runs"].items()}
    assert identical == {"an app": 4, "an engine": 4}
    assert (done.exit_code, row.reached) == (0, True)


def test_a_small_client_is_served_beside_large_ones(tmp_path: Path) -> None:
    _, row = bench("soak", tmp_path, SHIPPED_MODEL, rows=8, fairness=5)
    figures = row.figures
    assert figures["problems"] == []
    assert figures["ends"]["small whole"] == len(figures["quiet"]) + len(figures["beside"])
    assert "small refused" not in figures["ends"]
    assert figures["ends"]["large whole"] > 1
    assert figures["ends"]["holder whole"] > 0
    assert figures["ratio"] == pytest.approx(max(figures["beside"]) / figures["large_alone"])


def test_a_target_that_is_missed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = TrialResult("streams", "all of them", "none", reached=False)
    monkeypatch.setattr("benchmarks.trials.command.hold_streams", lambda *_: missed)
    done, row = bench("soak", tmp_path, SHIPPED_MODEL, rows=2, streams=1)
    assert (done.exit_code, row) == (1, missed)
    assert "| **no**" in done.output


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\n"
TEXT = b'data: {"choices": [{"text": "Once"}]}\n\n'
ERROR = b'data: {"error": {"message": "the model failed"}}\n\n'


def saying(head: bytes, body: bytes, length: int | None = None) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (saying(EVENTS, TEXT + b"data: [DONE]\n\n"), "whole"),
        (saying(EVENTS, TEXT), "wrong"),
        (saying(EVENTS, TEXT, 1000), "cut"),
        (b"", "cut"),
        (saying(EVENTS, TEXT + ERROR), "told"),
        (saying(BUSY + b"Retry-After: 3\r\n", b'{"error": {"message": "busy"}}'), "refused"),
        (saying(BUSY, b'{"error": {"message": "busy"}}'), "wrong"),
        (saying(BUSY + b"Retry-After: 3\r\n", b"busy"), "wrong"),
        (saying(BUSY + b"Retry-After: 3\r\n", b'{"busy": true}'), "wrong"),
        (saying(BUSY.replace(b"503", b"500"), b'{"error": {"message": "failed"}}'), "told"),
    ],
)
def test_the_ends_of_answers_are_told_apart(said: bytes, end: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(said)
        await writer.drain()
        writer.close()

    async def ask_once() -> Reply:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connect(Serving(address, "model", 0)) as client:
                return await client.ask(Reply(next(sample_requests(1, 8, [], ("stream",)))))

    assert asyncio.run(ask_once()).end == end


def test_growth_is_what_comes_after_the_warming() -> None:
    memory = [(requests, 100 + min(requests, 50)) for requests in range(1, 201)]
    assert grown(memory, 50) == 0
    assert grown([(requests, 100 + requests) for requests in range(1, 201)], 100) == pytest.approx(290.5 / 209.5 - 1)


def test_only_what_overlaps_was_held_at_once() -> None:
    def reply(opened: float | None, ended: float) -> Reply:
        found = Reply(next(sample_requests(1, 8, [])))
        found.opened, found.ended = opened, ended
        return found

    assert max_at_once([reply(0, 2), reply(1, 3), reply(2, 4), reply(None, 4)]) == 2
    assert max_at_once([reply(0, 9), reply(1, 3), reply(2, 4)]) == 3


def test_garbage_is_answered_and_changes_nothing(tmp_path: Path) -> None:
    done, row = bench("garbage", tmp_path, SHIPPED_MODEL, rows=8, count=400)
    assert row.figures["problems"] == []
    assert {"200", "400", "404", "422"} <= set(row.figures["statuses"])
    assert (done.exit_code, row.reached) == (0, True)


def test_garbage_is_the_same_for_the_same_seed() -> None:
    first, again, other = (list(bad_inputs(KNOWN, seed, range(160))) for seed in (1, 1, 2))
    assert first == again != other
    assert {each.kind for each in first} == set(KINDS)
    assert list(bad_inputs(KNOWN, 1, [137])) == [first[137]]


@pytest.mark.parametrize(
    ("received", "statuses", "problem"),
    [
        (b"", (), None),
        (b"HTTP/1.1 400 Bad Request\r\nA: b\r\n\r\nno", (400,), None),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}HTTP/1.1 500 Oops\r\nA: b\r\n\r\n", (200, 500), "answered 500"),
        (b"HTTP/1.1 503 Busy\r\nretry-after: 5\r\n\r\n", (503,), None),
        (b"HTTP/1.1 503 Busy\r\nretry-after: soon\r\n\r\n", (503,), "answered 503"),
        (b"SSH-2.0", (), "no answer in HTTP: b'SSH-2.0'"),
    ],
)
def test_an_answer_to_garbage_is_judged(received: bytes, statuses: tuple[int, ...], problem: str | None) -> None:
    assert judge(received) == Outcome(statuses, problem)


def test_a_problem_with_garbage_says_how_to_send_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.trials.raw.judge", lambda _: Outcome((500,), "answered 500"))
    done, row = bench("garbage", tmp_path, SHIPPED_MODEL, rows=2, count=2)
    assert (done.exit_code, row.reached) == (1, False)
    again, _ = sorted(row.figures["problems"], reverse=True)
    assert again.startswith("mutated 0: answered 500; nc 127.0.0.1 ")
    assert again.endswith(f" < {tmp_path / 'garbage-0.http'}")
    (sent,) = bad_inputs(KNOWN, 1, [1])
    assert (tmp_path / "garbage-1.http").read_bytes() == sent.content


def test_a_traceback_in_the_log_is_a_problem(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        "WARNING: nothing\nTraceback (most recent call last):\n  File 1\n    code()\n    ^^\nOSError: one\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n  File 2\nValueError: two\nWARNING: more\n"
    )
    assert complaints(log) == ["in the log: OSError: one", "in the log: ValueError: two"]


def test_a_text_in_a_genre_takes_two_rows_only_with_guidance() -> None:
    page = SampleRequest("page", "A door", seed=1, tokens=8, length="line", genre="Crime")
    assert (page.rows(guidance=1.0), page.rows(guidance=2.0)) == (3, 6)
    assert replace(page, genre="any").rows(guidance=2.0) == 3
    assert replace(page, kind="plot").rows(guidance=2.0) == 2
    assert replace(page, kind="stream").rows(guidance=2.0) == 1
