"""`plotify bench load` for ten seconds: the report, and agreement with the server's own counts."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import process
from benchmarks.load.figures import DIFFERENCE
from server.cli import plotify
from server.settings import SHIPPED_MODEL
from tests.conftest import ROOT
from tests.documentation import DOCS


def load(out: Path, *arguments: str | Path) -> Result:
    files = ("--out", out, "--history", out / "history.jsonl")
    return CliRunner().invoke(plotify, ["bench", "load", *map(str, (*files, *arguments))])


def test_the_report_agrees_with_the_servers_own_count(tmp_path: Path) -> None:
    done = load(tmp_path, "--model", SHIPPED_MODEL, "--target", "served", "--users", "4", "--seconds", "10")
    assert done.exit_code == 0, done.output
    assert re.search(r"^ *served +4 users +\(?\d+\.\d", done.output, re.MULTILINE), "no headline"
    assert re.search(r"^served, 4 users: [\d]+ tokens in \d+ requests; about 0 s left$", done.output, re.MULTILINE)
    written = json.loads((tmp_path / "load.json").read_text())
    (counts,), (figures,) = written["settings"]["counts"], written["results"]
    assert counts["written"] > 0
    assert counts["received"] == pytest.approx(counts["written"], rel=DIFFERENCE)
    assert 0 < figures["tokens"] <= counts["written"]
    assert figures["tokens_per_second"] == pytest.approx(figures["tokens"] / figures["seconds"])
    assert figures["failures"] == 0
    assert figures["first_token"]["seconds"]["50"] > 0
    assert figures["shares"]["server"] > figures["shares"]["generator"] > 0
    with (tmp_path / "requests.csv").open() as lines:
        requests = list(csv.DictReader(lines))
    assert sum(int(each["tokens"]) for each in requests) == counts["received"]
    assert {each["problem"] for each in requests} <= {"", "cut"}
    assert {each["tokens"] for each in requests if not each["problem"]} == {"64"}
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page), "the page needs another file"
    assert page.count("data:image/png;base64,") == 2
    assert f"{counts['received']} received, {counts['written']} by the server" in page
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1
    locust = (tmp_path / "served" / "4-users" / "locust_stats.csv").read_text()
    assert {"first token", "next token", "tokens per second"} <= {line.split(",")[1] for line in locust.splitlines()}


def test_a_host_may_end_with_a_slash_as_in_a_browser(tmp_path: Path) -> None:
    with process.plotify(tmp_path / "log", model=SHIPPED_MODEL, rows=2) as server:
        options = ("-u", 1, "-t", "10s", "--behaviour", "clients", "--max-tokens", 2, "--record", tmp_path)
        host = ("--host", f"{server.address}/", "--stop-timeout", 60)
        command = [sys.executable, "-m", "locust", "-f", "benchmarks/locustfile.py", "--headless", "--only-summary"]
        done = subprocess.run(
            [*command, *map(str, (*options, *host))], capture_output=True, text=True, cwd=ROOT, timeout=300
        )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^POST +/v1/completions +[1-9]\d* +0\(", done.stdout + done.stderr, re.MULTILINE)


def test_both_sides_stand_in_the_headline(tiny_bundle: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    small = ("--seconds", "3", "--max-tokens", "4", "--prompt-words", "3", "--shape", "ramp", "--users", "1,2")
    done = load(tmp_path, "--model", tiny_bundle, "--checkpoint", tiny_checkpoint, "--target", "served,eager", *small)
    assert done.exit_code == 0, done.output
    assert "the baseline's tokens per second" in done.output
    results = json.loads((tmp_path / "load.json").read_text())["results"]
    loads = [(each["target"], each["label"]) for each in results]
    assert loads == [(target, users) for target in ("served", "eager") for users in ("1 user", "2 users")]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert len(re.findall(r"<td>(?:1 user|2 users)</td>\s+<td><span", page)) >= 2
    assert "Against the eager baseline" in page


def test_the_docs_have_the_users_options() -> None:
    # This needs its own process: Locust patches the process that imports it.
    done = subprocess.run([sys.executable, "-m", "benchmarks.locustfile"], capture_output=True, text=True, cwd=ROOT)
    own = done.stdout.partition("Plotify:")[2]
    offered = re.findall(r"^  (--[a-z-]+)", own, re.MULTILINE)
    documented = re.findall(r"^\| `(--[a-z-]+)` \|.*\|.*\|$", (DOCS / "load.md").read_text(), re.MULTILINE)
    assert offered == documented
    assert len(offered) > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "served,fast"), "'fast' is not one of served, eager, pytorch"),
        (("--users", "0"), "0 is under 1"),
        (("--users", "9999"), "are too many for one load generator"),
        (("--rate", "-1"), "every number must be over 0"),
        (("--rate", "often"), "not a list of numbers"),
        (("--target", "served,eager"), "add --checkpoint"),
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = load(tmp_path, "--model", SHIPPED_MODEL, *arguments)
    assert (done.exit_code, message in done.output) == (2, True), done.output
