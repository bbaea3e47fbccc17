"""Bad input, such as attackers and broken programs may send.

schemathesis and hypothesis generate fields, forms, headers, addresses and texts. This module adds what they cannot
generate: requests that are not HTTP, bodies that are not JSON, and deep or huge values.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, quote_from_bytes

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode

from benchmarks.client import Visitor
from benchmarks.trials.raw import FORM, JSON, raw_request

BATCH = 25
"""Inputs of a kind to generate together."""

DEEP = 20_000
"""Levels of brackets, more than any stack can hold."""

DEEDS = ["continue", "keep", "undo", "redo", "stop", "rename", "share", "withdraw"]
DESK_FIELDS = ["token", "plot", "text", "do", "choose", "genre", "length", "wildness", "avoid", "seed", "title"]
PAGES = b"/ /docs /healthz /readyz /openapi /v1/models /static/desk.js /shelf /about".split()
SHELF = (b"", b"/about", b"/plot.md", b"/plot.txt")
POSTS = (b"/v1/completions", b"/api/plots", b"/desk")

BODIES = (
    *b'|\0|\xef\xbb\xbf{}|\xff\xfe{\0}\0|{|}|[]|"|null|1e400|{}{}|{},|{"prompt":}|{"prompt":"a",}'.split(b"|"),
    *rb"""{'prompt':'a'}|{"prompt":"\ude00\ud83d"}|{"prompt":"\u12"}|{"prompt":"a","prompt":1}""".split(b"|"),
    *b'{"prompt":"\xff"}|{"prompt":"\xed\xa0\x80"}|{"prompt":"a\0b"}|{"prompt":"a\nb"}'.split(b"|"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000, b'{"prompt":' + b"[" * 100_000),
    *(b'{"prompt":"' + b"a" * length + b'"}' for length in (100_000, 262_130, 262_131, 262_132)),
    *(b'{"prompt":"' + rb"\u0041" * 40_000 + b'"}', b'{"prompt":' + b"9" * 200_000 + b"}", b" " * 262_145),
    b"{" + b",".join(b'"%d":0' % number for number in range(20_000)) + b"}",
)
"""Not JSON, or JSON without sense, some of it at the limit of a body's size."""

VALUES = (
    *("NaN", "-Infinity", "1e309", "-1e400", "1e999999999", "5e-324", "-0", "01", "+1", "0x10", "1_0", "undefined"),
    *("18446744073709551616", "[NaN]", '"\\ud800"', '{"0":1e400}', '{"0":1,"0":2}', "9" * 5000, "0." + "3" * 5000),
    *(f'"{letter * 100_000}"' for letter in "a é😀"),
    *("[" + ",".join([value] * 600) + "]" for value in ("0", '"a"')),
    *("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP),
)
"""Values of a field, in JSON that no library writes, or huge."""

STRANGE = (
    *("e" + "\u0301" * 60, "Z" + "\u0336\u0337\u0338" * 40, "👩‍👩‍👧‍👦", "🇵🇹" * 9, "\u0e33" * 30, "ﷺ" * 20, "\u202e"),
    *("\ud800", "\udfff", "\0", "\x1b[31m", "'s" * 100, " " * 300, "\t" * 50, "\r\n\r\n", "a" * 500, "1" * 300),
    *("<|endoftext|>", "%zz", "{genre.__class__}", "${7*7}", "<script>alert(1)</script>", "../../etc/passwd", '"'),
)
"""Texts known to have broken servers, some with half a surrogate pair."""

PATHS = (
    *b"/../../../../etc/passwd /%2e%2e/%2e%2e/etc/passwd /..%5c..%5c /%c0%ae%c0%ae/ //example.org/ /%00 /%ff".split(),
    *b"/desk.js%00.css /%0d%0aX:%20y /%zz /%u0041 /\xff\xfe /.git/config * http://example.org/ example.org:443".split(),
    *b"/events /AAAAAAAAAAAAAAAAAAAAAA/events ?last-event-id=%FF ?text=%ff /#fragment".split(),
    *(b"", b"/a b", b"/ HTTP/1.1", b"/" + b"a" * 60_000, b"/%41" * 2_000, b"/?" + b"&" * 9_000),
)
"""Pieces of addresses."""

HEADERS = (
    *b"Cookie Authorization Accept Accept-Encoding Accept-Language Range If-None-Match If-Modified-Since".split(),
    *b"If-Range Origin Referer X-Forwarded-For X-Forwarded-Proto Forwarded X-Real-IP X-Request-ID Host".split(),
    *b"X-HTTP-Method-Override traceparent Expect Upgrade Trailer TE Connection Content-Encoding".split(),
    *b"Content-Type Content-Length Transfer-Encoding Last-Event-ID".split(),
)
HOSTS = (*b"|:|a:99999|a:-1|[::1|[::1]:8000|]:1|a b|a@b:1|\xff|<b>".split(b"|"), b"a." * 3_000)
TYPES = (*b"|text/plain|application/json; charset=utf-16|multipart/form-data|;;=|\xff\xfe".split(b"|"), b"a" * 1000)
METHODS = (*b"HEAD|OPTIONS|PUT|DELETE|TRACE|CONNECT|PRI|get|*||GET,POST|G\0T".split(b"|"), b"G" * 9_000)
VERSIONS = (*b"|HTTP/0.9|HTTP/1.0|HTTP/2|HTTP/1.1.1|HTTP/-1.1|http/1.1|HTTP/11|RTSP/1.0".split(b"|"), b"1" * 5_000)
LENGTHS = (*b"-1|0|5|+5|5, 6|0x5|5.0||five|\xb2|262144|262145|18446744073709551616".split(b"|"), b"9" * 400)
"""Values of Content-Length, mostly not the body's."""

CHUNKED = (
    *(b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"5\r\nhello0\r\n\r\n", b"3\r\nhello\r\n0\r\n\r\n"),
    *(b"-1\r\n", b"g\r\n", b"F" * 20 + b"\r\nhello\r\n", b"F" * 5_000, b"5\nhello\n0\n\n", b"0\r\nTrailer: x\r\n\r\n"),
    *(b"5;" + b"a" * 70_000 + b"\r\n", b"1\r\n{\r\n" * 3_000 + b"0\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 20_000),
    (b"40000\r\n" + b"a" * 0x40000 + b"\r\n") * 2 + b"0\r\n\r\n",
)

PART = b'--b\r\nContent-Disposition: form-data; name="prompt"'
MULTIPART = (b"", b"--b--", PART + b"\r\n\r\nno end", PART + b'; filename="a"\r\n\r\n\xff\r\n--b--\r\n', PART * 2_000)


SETTINGS = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Known:
    """Valid parts for requests: the OpenAPI document, the path of a plot, a visitor with a kept plot."""

    document: dict[str, Any]
    plot: str
    visitor: Visitor
    kept: str
    model: str


@dataclass(frozen=True)
class Input:
    """The bytes to send on one connection.

    Attributes:
        number: the index among all inputs of a seed.
        kind: a name from `KINDS`.
    """

    number: int
    kind: str
    content: bytes


def bad_inputs(known: Known, seed: int, numbers: Sequence[int]) -> Iterator[Input]:
    """Yield the bad inputs with these numbers; the kinds take turns.

    The same seed, numbers and `known` give the same inputs.
    """
    kinds = [(name, make(known)) for name, make in KINDS.items()]

    @lru_cache(len(kinds))
    def batch(kind: int, number: int) -> list[bytes]:
        return _examples(kinds[kind][1], f"{seed} {kind} {number}", BATCH)

    for number in numbers:
        turn, kind = divmod(number, len(kinds))
        made = batch(kind, turn // BATCH)
        yield Input(number, kinds[kind][0], made[turn % BATCH % len(made)])


def _examples(strategy: SearchStrategy[bytes], seed: str, count: int) -> list[bytes]:
    """Return at most `count` examples of a strategy. The same seed gives the same ones."""
    found: list[bytes] = []

    @hypothesis.seed(seed)
    @settings(SETTINGS, max_examples=count)
    @hypothesis.given(strategy)
    def keep(content: bytes) -> None:
        found.append(content)

    keep()
    return found[:count]


def _of(pool: Sequence[Any]) -> SearchStrategy[Any]:
    """Do the same as `sampled_from`, without a description of the whole huge pool."""
    return st.integers(0, len(pool) - 1).map(lambda index: pool[index])


def _completion(model: str, /, **fields: str) -> bytes:
    """Return the body of a completion with a short answer.

    Args:
        fields: values already spelled as JSON, so they may be invalid.
    """
    content = {"model": f'"{model}"', "prompt": '"A fox"', "max_tokens": "2"} | fields
    return _spelled("{" + ",".join(f'"{name}":{value}' for name, value in content.items()) + "}")


def _spelled(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _at_desk(known: Known, fields: bytes, path: bytes = b"/desk", kind: bytes = FORM) -> bytes:
    """Return a form of the visitor's pages."""
    token = b"token=%b&" % known.visitor.token.encode()
    return raw_request(path, token + fields, kind, [b"Cookie: " + known.visitor.cookie.encode()])


def _valid(draw: random.Random, known: Known) -> bytes:
    """Return a valid request with a short answer."""
    form, kept, plot = b"prompt=A+fox&genre=any&length=line&seed=1", known.kept.encode(), known.plot.encode()
    whole, streamed = _completion(known.model), _completion(known.model, stream="true")
    posts = (POSTS[0], whole), (POSTS[0], streamed), (POSTS[1], b'{"prompt":"A fox","length":"line"}')
    at_desk = (b"text=A+fox&do=continue",), (b"text=A+fox&do=keep",), (b"do=rename&title=A+fox", kept)
    gets = (*PAGES, b"/?text=A%20fox&seed=1", plot, plot + b"/events", *(kept + each for each in SHELF))
    match draw.randrange(4):
        case 0:
            return raw_request(*draw.choice((*posts, (POSTS[1], form, FORM))))
        case 1:
            return _at_desk(known, *draw.choice(at_desk))
        case _:
            return raw_request(draw.choice(gets), headers=draw.choice(([], [b"Last-Event-ID: 1"])))


def _mutate(draw: random.Random, known: Known) -> bytes:
    """Return a valid request with a few mutations: flipped, cut, repeated or inserted bytes."""
    content = bytearray(_valid(draw, known))
    for _ in range(draw.randint(1, 4)):
        at, other = sorted(draw.randrange(len(content) + 1) for _ in range(2))
        match draw.randrange(7):
            case 0 if at < len(content):
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                del content[at:]
            case 2:
                del content[at:other]
            case 3:
                content[at:at] = content[at:other] * draw.choice((1, 2, 50))
            case 4:
                content[at:at] = draw.randbytes(draw.randint(1, 16))
            case 5:
                content[at:] = _valid(draw, known)[draw.randrange(20) :]
            case _:
                content[at:other] = _spelled(draw.choice(STRANGE))
    return bytes(content)


def _break_frame(draw: random.Random, known: Known) -> bytes:
    """Return a request with a broken frame: length, chunks, version, method, or number of headers."""
    body, path = _completion(known.model), draw.choice(POSTS)
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\n" % (path, draw.choice((JSON, FORM)))
    match draw.randrange(9):
        case 0:
            return head + b"Content-Length: %b\r\n\r\n" % draw.choice(LENGTHS) + body
        case 1 | 2 as both:
            length = b"Content-Length: 5\r\n" if both == 2 else b""
            return head + b"Transfer-Encoding: chunked\r\n" + length + b"\r\n" + draw.choice(CHUNKED)
        case 3:
            return raw_request(path, body, version=draw.choice(VERSIONS))
        case 4:
            return raw_request(draw.choice(PAGES), draw.choice((None, body)), method=draw.choice(METHODS))
        case 5:
            flood = [b"X-%d: %b" % (each, b"x" * draw.randrange(200)) for each in range(draw.choice((50, 500, 5000)))]
            return raw_request(path, body, headers=flood)
        case 6:
            return raw_request(path, body, headers=[draw.choice((b"X: ", b"")) + b"x" * draw.choice((9_000, 70_000))])
        case 7:  # pipelined requests, the last one sometimes cut off
            several = b"".join(_valid(draw, known).replace(b"close", b"keep-alive") for _ in range(draw.randint(2, 12)))
            return several[: len(several) - draw.choice((0, 0, 1, 40))]
        case _:
            return draw.randbytes(draw.choice((1, 10, 1000)))


def _by_hand(make: Callable[[random.Random, Known], bytes], known: Known) -> SearchStrategy[bytes]:
    return st.randoms(use_true_random=True).map(lambda draw: make(draw, known))


def _malformed(known: Known) -> SearchStrategy[bytes]:
    """Generate bodies that are not JSON, or JSON without sense."""
    schemas = known.document["components"]["schemas"]["CompletionRequest"]["properties"]
    fields = st.dictionaries(st.sampled_from(sorted(schemas)), _of(VALUES), min_size=1, max_size=3)
    bodies = _of(BODIES) | fields.map(lambda found: _completion(known.model, **found)) | st.binary()
    kinds = st.just(JSON) | _of(TYPES) | st.binary(max_size=40)
    return st.builds(raw_request, st.sampled_from(POSTS[:2]), bodies, kinds)


def _misfilled(known: Known) -> SearchStrategy[bytes]:
    """Generate requests against the OpenAPI document: wrong types, out of range, missing fields."""
    schema = schemathesis.openapi.from_dict(known.document)
    wrong = (schema[path][method].as_strategy(GenerationMode.NEGATIVE) for path in schema for method in schema[path])
    return st.one_of(*wrong).map(_case)


def _case(case: Case[Any]) -> bytes:
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
    headers = [_spelled(f"{name}: {value}") for name, value in (case.headers or {}).items()]
    body = _spelled(sent.body) if isinstance(sent.body, str) else sent.body
    kind = sent.headers.get("Content-Type", "")
    return raw_request(sent.path_url.encode(), body, kind.encode(), headers, sent.method.encode())


def _texts() -> SearchStrategy[str]:
    """Generate any text, with halves of surrogate pairs and strange pieces, some of it long."""
    piece = st.text(st.characters(exclude_categories=()), min_size=1) | _of(STRANGE)
    repeated = st.builds(lambda text, times: text * times, piece, st.sampled_from((1, 1, 30)))
    return st.lists(repeated, min_size=1, max_size=6).map(lambda pieces: "".join(pieces)[:60_000])


def _posted(known: Known) -> SearchStrategy[bytes]:
    """Generate forms of the desk with values that nobody can type, or with broken encodings."""

    def form(fields: dict[str, str], safe: str, between: str, times: int, path: bytes, kind: bytes) -> bytes:
        pairs = [f"{name}={quote(value, safe, errors='surrogatepass')}" for name, value in fields.items()]
        return _at_desk(known, between.join(pairs * times).encode()[:300_000], path, kind)

    fields = st.dictionaries(st.sampled_from(DESK_FIELDS), _texts(), min_size=1, max_size=3)
    whole = st.builds(lambda deed, found: {"text": "A fox", "do": deed} | found, st.sampled_from(DEEDS), fields)
    how = (st.sampled_from(("", "%", "&=", "%&=;+")), st.sampled_from("&&&;"), st.sampled_from((1, 1, 1, 2000)))
    paths = st.sampled_from((b"/desk", b"/api/plots", known.kept.encode()))
    forms = st.builds(form, whole, *how, paths, st.just(FORM) | st.just(FORM) | _of(TYPES))
    boundaries = st.just(b"b") | st.binary(max_size=60) | st.just(b"b" * 3_000)
    kinds = boundaries.map(b"multipart/form-data; boundary=".__add__)
    return forms | forms | forms | st.builds(raw_request, st.sampled_from(POSTS), _of(MULTIPART), kinds)


def _astray(known: Known) -> SearchStrategy[bytes]:
    """Generate invalid addresses and senseless queries."""
    starts = (*PAGES, known.plot.encode(), known.kept.encode(), b"/api/plots", b"/static", b"/shared", b"")
    more = _of(PATHS) | st.binary(max_size=60).map(quote_from_bytes).map(str.encode) | st.binary(max_size=60)
    query = st.just(b"") | st.builds(b"?%b=%b".__mod__, st.tuples(st.sampled_from((b"text", b"genre", b"")), more))
    path = st.tuples(st.sampled_from(starts), more | st.just(b""), query).map(b"".join)
    bodies, methods = st.sampled_from((None, None, b"{}")), st.none() | st.none() | _of(METHODS)
    return st.builds(raw_request, path, bodies, method=methods)


def _headed(known: Known) -> SearchStrategy[bytes]:
    """Generate false or senseless headers: hosts, cookies, keys, ranges, event ids."""
    values = st.binary(max_size=200) | _texts().map(lambda text: _spelled(text).replace(b"\n", b" ")[:8000])
    headers = st.lists(st.tuples(st.sampled_from(HEADERS), values).map(b": ".join), min_size=1, max_size=4)
    paths = st.sampled_from((known.plot.encode() + b"/events", known.plot.encode(), *PAGES))
    sound = st.builds(raw_request, paths, headers=headers)
    hosted = st.builds(lambda content, host: content.replace(b"127.0.0.1", host, 1), sound, _of(HOSTS))
    return sound | sound | hosted


def _strange(known: Known) -> SearchStrategy[bytes]:
    """Generate requests with Unicode text that is hard to count, to split and to show."""

    def request(text: str, ascii: bool, plot: bool, more: dict[str, str | bool]) -> bytes:
        told = {"prompt": text, "length": "line"} if plot else {"prompt": text, "model": known.model, "max_tokens": 2}
        body = _spelled(json.dumps(told | ({"genre": more["genre"]} if plot else more), ensure_ascii=ascii))
        return raw_request(POSTS[plot], body)

    more = st.fixed_dictionaries({"genre": _texts() | st.just("any"), "stop": _texts(), "echo": st.booleans()})
    return st.builds(request, _texts(), st.booleans(), st.booleans(), more)


KINDS: dict[str, Callable[[Known], SearchStrategy[bytes]]] = {
    "mutated": partial(_by_hand, _mutate),
    "framed": partial(_by_hand, _break_frame),
    "malformed": _malformed,
    "misfilled": _misfilled,
    "posted": _posted,
    "astray": _astray,
    "headed": _headed,
    "strange": _strange,
}
"""The strategy of each kind."""
