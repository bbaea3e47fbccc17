"""Bad input, made up: what a server may be sent by those who mean harm, or whose program is broken."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from benchmarks.trust.asking import Visitor
from benchmarks.trust.scraps import (
    BODIES,
    CHUNKED,
    FIELDS,
    FORM_VALUES,
    HEADERS,
    HOSTS,
    LENGTHS,
    METHODS,
    MULTIPART,
    PATHS,
    STRANGE,
    TARGETS,
    TYPES,
    VALUES,
    VERSIONS,
)

DEEDS = ("continue", "keep", "undo", "redo", "stop", "rename", "share", "withdraw")
FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"


@dataclass(frozen=True)
class Known:
    """What there is: the name of the served model, the path of a plot, and of one on the shelf of a visitor."""

    model: str
    plot: str
    visitor: Visitor
    kept: str


@dataclass(frozen=True)
class Input:
    """What is sent on one connection. kind: what is bad about it. content: the bytes."""

    number: int
    kind: str
    content: bytes


def inputs(known: Known, seed: int, numbers: Sequence[int]) -> Iterator[Input]:
    """The bad inputs of these numbers, the same for the same seed and what is known; the kinds take turns."""
    kinds = list(KINDS.items())
    for number in numbers:
        kind, make = kinds[number % len(kinds)]
        yield Input(number, kind, make(random.Random(f"{seed} {number}"), known))


def spelled(
    path: bytes,
    body: bytes | None = None,
    kind: bytes = JSON,
    headers: Sequence[bytes] = (),
    method: bytes | None = None,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """A request, whose connection ends with its answer."""
    lines = [b"%b %b %b" % (method or (b"GET" if body is None else b"POST"), path, version), b"Host: 127.0.0.1"]
    lines += [b"Connection: close", *headers]
    if body is not None:
        lines += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def valid(draw: random.Random, known: Known) -> bytes:
    """A request that is as it should be, short in its answer."""
    completion = _object({"model": f'"{known.model}"', "prompt": '"A fox"', "max_tokens": "2"})
    streamed = completion[:-1] + b',"stream":true}'
    form = b"prompt=A+fox&genre=any&length=line&wildness=3&seed=1"
    return draw.choice(
        (
            spelled(b"/v1/completions", completion),
            spelled(b"/v1/completions", streamed),
            spelled(b"/api/plots", b'{"prompt":"A fox","length":"line","wildness":3,"seed":1}'),
            spelled(b"/api/plots", form, FORM),
            at_desk(known, b"text=A+fox&do=continue&" + form),
            at_desk(known, b"text=A+fox&do=keep&" + form),
            at_desk(known, b"do=rename&title=A+fox", known.kept.encode()),
            spelled(known.kept.encode() + draw.choice((b"", b"/about", b"/plot.md", b"/plot.txt"))),
            spelled(known.plot.encode()),
            spelled(known.plot.encode() + b"/events", headers=[b"Last-Event-ID: 1"]),
            spelled(b"/?text=A%20fox&seed=1"),
            spelled(draw.choice(TARGETS)),
        )
    )


def at_desk(known: Known, fields: bytes, path: bytes = b"/desk", kind: bytes = FORM) -> bytes:
    """A form of the visitor's pages."""
    token = b"token=%b&" % known.visitor.token.encode()
    return spelled(path, token + fields, kind, [b"Cookie: " + known.visitor.cookie.encode()])


def mutated(draw: random.Random, known: Known) -> bytes:
    """One that was valid, and is changed in a few places: flipped, cut, doubled, or grown together with another."""
    content = bytearray(valid(draw, known))
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
                content[at:] = valid(draw, known)[draw.randrange(20) :]
            case _:
                content[at:other] = draw.choice(STRANGE).encode("utf-8", "surrogatepass")
    return bytes(content)


def framed(draw: random.Random, known: Known) -> bytes:
    """One whose frame is broken: its length, its chunks, its version, its method, how many headers it has."""
    body = _object({"model": f'"{known.model}"', "prompt": '"A fox"', "max_tokens": "2"})
    path = draw.choice((b"/v1/completions", b"/api/plots", b"/desk"))
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\n" % (path, draw.choice((JSON, FORM)))
    match draw.randrange(9):
        case 0:
            return head + b"Content-Length: %b\r\n\r\n" % draw.choice(LENGTHS) + body
        case 1:
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + draw.choice(CHUNKED)
        case 2:
            return head + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + draw.choice(CHUNKED)
        case 3:
            return spelled(path, body, version=draw.choice(VERSIONS))
        case 4:
            return spelled(draw.choice(TARGETS), draw.choice((None, body)), method=draw.choice(METHODS))
        case 5:
            flood = [b"X-%d: %b" % (each, b"x" * draw.randrange(200)) for each in range(draw.choice((50, 500, 5000)))]
            return spelled(path, body, headers=flood)
        case 6:
            return spelled(path, body, headers=[draw.choice((b"X: ", b"")) + b"x" * draw.choice((9_000, 70_000))])
        case 7:  # pipelined, the last one perhaps cut off
            several = b"".join(valid(draw, known).replace(b"close", b"keep-alive") for _ in range(draw.randint(2, 12)))
            return several[: len(several) - draw.choice((0, 0, 1, 40))]
        case _:
            return draw.randbytes(draw.choice((1, 10, 1000)))


def malformed(draw: random.Random, known: Known) -> bytes:
    """A body that is no JSON, or JSON that nobody means."""
    body = draw.choice(BODIES)
    if draw.random() < 0.3:  # a sound one, some of whose bytes are not
        sound = bytearray(_object({"model": f'"{known.model}"', "prompt": '"A fox"', "max_tokens": "2"}))
        for _ in range(draw.randint(1, 3)):
            sound[draw.randrange(len(sound))] = draw.randrange(256)
        body = bytes(sound)
    return spelled(draw.choice((b"/v1/completions", b"/api/plots")), body, draw.choice((JSON, JSON, *TYPES)))


def misfilled(draw: random.Random, known: Known) -> bytes:
    """Fields with values of the wrong type, out of range, huge, or at a bound."""
    path = draw.choice((b"/v1/completions", b"/api/plots"))
    fields = FIELDS[path]
    content = (
        {"model": f'"{known.model}"', "prompt": '"A fox"', "max_tokens": "2"} if path == b"/v1/completions" else {}
    )
    content |= {draw.choice(fields): draw.choice(VALUES) for _ in range(draw.randint(1, 3))}
    return spelled(path, _object(content))


def posted(draw: random.Random, known: Known) -> bytes:
    """A form with values that nobody can type, or that is none."""
    if draw.random() < 0.15:
        return spelled(draw.choice((b"/desk", b"/api/plots")), *draw.choice(MULTIPART))
    path = draw.choice((b"/desk", b"/api/plots", known.kept.encode()))
    names = FIELDS[b"/api/plots" if path == b"/api/plots" else b"/desk"]
    fields = {"prompt": "A fox", "text": "A fox", "do": draw.choice(DEEDS)} | {
        draw.choice(names): draw.choice((*FORM_VALUES, *STRANGE)) for _ in range(draw.randint(1, 3))
    }
    safe = draw.choice(("", "%", "&=", "%&=;+"))
    pairs = [f"{name}={quote(value, safe, errors='surrogatepass')}" for name, value in fields.items()]
    body = draw.choice(("&", "&", "&", ";", "&&&")).join(pairs * draw.choice((1, 1, 1, 2000))).encode()[:300_000]
    kind = draw.choice((FORM, FORM, FORM, *TYPES))
    return spelled(path, body, kind) if path == b"/api/plots" else at_desk(known, body, path, kind)


def astray(draw: random.Random, known: Known) -> bytes:
    """An address that is none, or a query that makes no sense."""
    start = draw.choice((*TARGETS, known.plot.encode(), known.kept.encode(), b"/api/plots", b"/static", b"/shared"))
    query = draw.choice((b"", b"?" + draw.choice(PATHS), b"?text=" + draw.choice(PATHS), b"?last-event-id=%FF"))
    path = draw.choice((start + draw.choice(PATHS), draw.choice(PATHS), start)) + query
    return spelled(path, draw.choice((None, None, b"{}")), method=draw.choice((None, None, None, *METHODS)))


def headed(draw: random.Random, known: Known) -> bytes:
    """Headers that lie, or make no sense: hosts, cookies, keys, ranges, ids of events."""
    names = (*HEADERS, b"Last-Event-ID")
    values = [each.encode("utf-8", "surrogatepass").replace(b"\n", b" ")[:8000] for each in (*STRANGE, *FORM_VALUES)]
    headers = [b"%b: %b" % (draw.choice(names), draw.choice(values)) for _ in range(draw.randint(1, 4))]
    path = draw.choice((known.plot.encode() + b"/events", known.plot.encode(), *TARGETS))
    request = spelled(path, headers=headers)
    return request.replace(b"127.0.0.1", draw.choice(HOSTS), 1) if draw.random() < 0.3 else request


def strange(draw: random.Random, known: Known) -> bytes:
    """Text that is Unicode, and hard on whoever counts, splits or shows it."""
    text = "".join(draw.choice(STRANGE) * draw.choice((1, 1, 30)) for _ in range(draw.randint(1, 6)))[:60_000]
    escaped = "".join(f"\\u{unit:04x}" for unit in _units(text))
    told = (
        f'"{escaped}"' if draw.random() < 0.5 or not text.isprintable() or '"' in text or "\\" in text else f'"{text}"'
    )
    content = {"prompt": told, "genre": draw.choice((told, '"any"', "null"))}
    if draw.random() < 0.5:
        return spelled(b"/api/plots", _object(content | {"length": '"line"'}))
    content |= {"model": f'"{known.model}"', "max_tokens": "2", "stop": draw.choice((told, f"[{told}]", "null"))}
    return spelled(b"/v1/completions", _object(content | {"echo": draw.choice(("true", "false"))}))


KINDS: dict[str, Callable[[random.Random, Known], bytes]] = {
    "mutated": mutated,
    "framed": framed,
    "malformed": malformed,
    "misfilled": misfilled,
    "posted": posted,
    "astray": astray,
    "headed": headed,
    "strange": strange,
}


def _object(fields: dict[str, str]) -> bytes:
    """JSON of fields whose values are spelled already, so that they may be none."""
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode(
        "utf-8", "surrogatepass"
    )


def _units(text: str) -> Iterator[int]:
    """The UTF-16 units of a text."""
    content = text.encode("utf-16-be", "surrogatepass")
    return map(partial(int.from_bytes, byteorder="big"), (content[at : at + 2] for at in range(0, len(content), 2)))
