"""Numbers in the docs are the same as in the code."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import get_type_hints

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from export.parity import PROMPTS
from server.app import MAX_BODY
from server.bundle import FORMATS
from server.completions.schema import CompletionRequest
from server.desk.caret_routes import MAX_FORM
from server.desk.shelf_routes import PAGE
from server.desk.uploads import MAX_FILES, MAX_UPLOAD
from server.desk.writers import COOKIE_SECONDS
from server.engine import InvalidRequest, Sampling
from server.engine.model.cache import BLOCK
from server.http.connection import MAX_HEAD
from server.http.sse import RETRY
from server.observability.recorder import SLOW
from server.settings import Settings, SettingsError, variable
from server.shelf import bounds
from server.shelf.outline import NEAR
from server.writing.brief import LENGTHS, MAX_NOTES, WILDNESSES
from tests.documentation import ADDRESS, DOCS, ROOT, words

DEFAULTS = Settings()
ROWS = re.findall(
    r"^\| `(PLOTIFY_\w+)` \| (?:`.*?` )?\| (.*?) ?\| .* \|$", (DOCS / "settings.md").read_text(), re.MULTILINE
)
RANGES = {name: words for name, words in ROWS if " to " in words}
CHOICES = {name: words for name, words in ROWS if "`" in words}


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("architecture.md", f"| block | As many tokens as the bundle says, usually {BLOCK}."),
        ("architecture.md", f"The manifest's format is {FORMATS[-1]}; the server still reads format {FORMATS[0]}."),
        ("completions.md", f"over {MAX_BODY // 1024} KiB"),
        ("completions.md", f"over {MAX_HEAD // 1024} KiB"),
        ("deployment.md", f"requests have {DEFAULTS.grace} seconds to end"),
        ("deployment.md", f"the port on 127.0.0.1, {DEFAULTS.port} by default"),
        ("desk.md", f"`plotify_shelf_…`, for {COOKIE_SECONDS // 86_400} days"),
        ("metrics.md", f"took longer than {SLOW:g} seconds"),
        ("operations.md", f"than `PLOTIFY_GRACE` ({DEFAULTS.grace} seconds)"),
        ("operations.md", f"than the heartbeat ({DEFAULTS.heartbeat} seconds)"),
        ("operations.md", f"client_max_body_size {MAX_FORM // 1024}k;"),
        ("operations.md", f"max_size {MAX_FORM // 1024}KiB"),
        ("pictures.md", f"in any sixty minutes, {DEFAULTS.pictures_cap} by default"),
        ("plots.md", f"After {DEFAULTS.heartbeat} seconds without an event"),
        ("plots.md", f"without a reader is cancelled after {DEFAULTS.plot_grace} seconds"),
        ("plots.md", f"restart those {DEFAULTS.plot_grace} seconds"),
        ("plots.md", f"read a plot for {DEFAULTS.plot_ttl} seconds after its end"),
        ("plots.md", RETRY.decode().strip()),
        ("plots.md", f"over {MAX_BODY // 1024} KiB"),
        ("plots.md", f"over {MAX_HEAD // 1024} KiB"),
        ("plots.md", f"from {min(WILDNESSES)}, close, to {max(WILDNESSES)}, wild"),
        ("plots.md", "`{}`, `{}` or `{}`".format(*LENGTHS)),
        ("scaling.md", f"in blocks of {BLOCK} tokens"),
        ("shelf.md", f"| text of a plot | {bounds.TEXT:,} characters |"),
        ("shelf.md", f"| title, genre, search | {bounds.TITLE:,} characters |"),
        ("shelf.md", f"| words to avoid, notes | {bounds.STEERING:,} characters; "),
        ("shelf.md", f"a request for text takes notes of at most {MAX_NOTES:,} |"),
        ("shelf.md", f"| plots on a shelf | {bounds.PLOTS:,} |"),
        ("shelf.md", f"| passages of a plot, including everything tried | {bounds.PASSAGES:,} |"),
        ("shelf.md", f"| picture | {bounds.PICTURE // 2**20} MiB, "),
        ("shelf.md", f"| files brought in at once | {MAX_FILES} files, {MAX_UPLOAD // 1024:,} KiB together |"),
        ("shelf.md", f"the cover of each plot, {PAGE} on a page"),
        ("shelf.md", f"the {NEAR} passages that are nearest"),
        ("training.md", f"on {PROMPTS} beginnings from the test split"),
        ("trials.md", f"The default is {DEFAULTS.queue} for {DEFAULTS.rows} rows"),
        ("trials.md", f"The server keeps {DEFAULTS.plot_limit:,} of them"),
        ("../SECURITY.md", f"bytes of a body: {MAX_BODY // 1024} KiB"),
        ("../SECURITY.md", f"bytes of the desk's form: {MAX_FORM // 1024:,} KiB"),
        ("../SECURITY.md", f"bytes of a request's head: {MAX_HEAD // 1024} KiB"),
        ("../README.md", f"open http://127.0.0.1:{DEFAULTS.port}"),
    ],
)
def test_a_constant(page: str, says: str) -> None:
    assert says in words(page)


def test_addresses_have_the_default_port() -> None:
    assert f"http://{DEFAULTS.host}:{DEFAULTS.port}" == ADDRESS
    for page in ("completions.md", "plots.md", "load.md", "../README.md"):
        assert ADDRESS in words(page)


def test_every_whole_number_has_a_range_and_every_choice_its_values() -> None:
    whole = {variable(name) for name, kind in get_type_hints(Settings).items() if kind is int}
    assert RANGES.keys() == whole
    assert len(CHOICES) > 5


@pytest.mark.parametrize("name", RANGES)
def test_a_range(name: str) -> None:
    least, most = (int(number.replace(",", "")) for number in RANGES[name].split(" to "))
    for inside in (least, most):
        Settings.read({name: str(inside)})
    for outside in (least - 1, most + 1):
        with pytest.raises(SettingsError, match=name):
            Settings.read({name: str(outside)})


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name: str) -> None:
    with pytest.raises(SettingsError, match="choose one of ") as refused:
        Settings.read({name: "nothing"})
    known = str(refused.value).partition("choose one of ")[2].split(", ")
    assert sorted(re.findall(r"`(\w+)`", CHOICES[name])) == sorted(known)


def numbers(page: str, pattern: str) -> list[int]:
    """Return the numbers in a pattern's only match on a page."""
    (found,) = re.findall(pattern, words(page))
    return [int(number.replace(",", "")) for number in ([found] if isinstance(found, str) else found)]


@pytest.mark.parametrize("page", ["completions.md", "../SECURITY.md"])
def test_bounds_of_the_engine(page: str) -> None:
    if page == "completions.md":
        stops, letters = numbers(page, r"up to (\d+), of 1 to (\d+) characters")
        (biased,) = numbers(page, r"Up to ([\d,]+) token ids")
        (logprobs,) = numbers(page, r"0 to (\d+): the log probability")
    else:
        stops, letters, biased, logprobs = numbers(
            page, r"(\d+) stop strings of (\d+) characters, ([\d,]+) entries of logit_bias, (\d+) log probabilities"
        )
    makers: list[tuple[int, Callable[[int], Sampling]]] = [
        (stops, lambda count: Sampling(stop=("a",) * count)),
        (letters, lambda count: Sampling(stop=("a" * count,))),
        (biased, lambda count: Sampling(logit_bias=dict.fromkeys(range(count), 1.0))),
        (logprobs, lambda count: Sampling(logprobs=count)),
    ]
    check_bounds(makers)


def test_bounds_of_words_to_avoid() -> None:
    count, letters = numbers("plots.md", r"at most (\d+), of at most (\d+) letters each")
    check_bounds(
        [
            (count, lambda count: Sampling(bad_words=("a",) * count)),
            (letters, lambda count: Sampling(bad_words=("a" * count,))),
        ]
    )


def check_bounds(makers: list[tuple[int, Callable[[int], Sampling]]]) -> None:
    for most, make in makers:
        make(most)
        with pytest.raises(InvalidRequest):
            make(most + 1)


def test_log_probabilities_of_an_answer(client: TestClient[Litestar]) -> None:
    request = {"model": "plotify-mini", "prompt": ["A fox"] * 16, "max_tokens": 512, "logprobs": 20}
    refused = client.post("/v1/completions", json=request).json()["error"]
    assert refused["param"] == "logprobs"
    most = max(map(int, re.findall(r"\d+", refused["message"].partition("one answer")[2])))
    for page in ("completions.md", "../SECURITY.md"):
        assert f"{most:,} " in words(page)


def test_defaults_of_completions() -> None:
    table = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) ?\| .* \|$", (DOCS / "completions.md").read_text(), re.MULTILINE
    )
    told = {name: default for names, default in table for name in re.findall(r"\w+", names)}
    known = {field.name: field.default for field in msgspec.structs.fields(CompletionRequest)}
    assert told.keys() == known.keys() - {"suffix"}
    for name, default in told.items():
        if default in ("", "random", "`n`", "the beginning of a document"):
            assert known[name] in (None, msgspec.NODEFAULT), name
        else:
            assert json.loads(default) == known[name], name


def test_defaults_of_locusts_users() -> None:
    # This needs its own process: Locust patches the process that imports it.
    code = (
        "import json, benchmarks.locustfile\nfrom locust.argument_parser import get_parser\n"
        "print(json.dumps(vars(get_parser().parse_args([]))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    known = json.loads(done.stdout)
    told = re.findall(r"^\| `--([a-z-]+)` \| (\d+|`\w+`) \| .* \|$", (DOCS / "load.md").read_text(), re.MULTILINE)
    told = [(name, default.strip("`")) for name, default in told if name != "key"]  # its default is a variable
    assert len(told) > 8
    for name, default in told:
        assert str(known[name.replace("-", "_")]).removesuffix(".0") == default, name
