"""Locust users for any server with OpenAI's completions, as in `locust -f benchmarks/locustfile.py`.

Besides each POST, Locust counts "first token" and "next token" in milliseconds. It also counts the "tokens per second"
of each stream, a speed in the columns of times. The rate of "next token" is the tokens of all users per second. Locust
patches the standard library on import, so this module needs its own process. docs/load.md has more.
"""

import random
import re
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import gevent
import msgspec
from httpx_sse import ServerSentEvent
from locust import FastHttpUser, LoadTestShape, task
from locust import events as locust_events
from locust.argument_parser import LocustArgumentParser, get_parser
from locust.env import Environment

from benchmarks.load import shapes
from benchmarks.load.record import CUT, Asked, Recorder, Stage
from benchmarks.openings import opening
from benchmarks.streams import DONE, Failure, Stream, events

TOKEN = re.compile(r'name="token" value="(\w+)"')
"""The token of the forms on the desk's page."""

REFUSED_PAUSE = 1.0
"""Seconds until a refused user tries again."""

WORDS_A_SECOND = 4.0
"""A person's reading speed."""


ABOUT = (
    f"Shapes: {'; '.join(f'{name}: {how}' for name, how in shapes.SHAPES.items())}. Ramp and spike divide -t. "
    "Behaviours: people: think, send, read and send again; clients: send the next request after each answer; "
    "mixed: half of each; poisson: send requests at random times, however many are running; "
    "writers: ask the desk of Plotify for three continuations, again and again."
)


def add_options(parser: LocustArgumentParser) -> None:
    """Add the users' options to the command line and to Locust's page.

    `python -m benchmarks.locustfile` lists them. On the page, the help is a part of an option's label, and a label of
    more than 90 characters is cut.
    """
    own = parser.add_argument_group("Plotify", ABOUT)

    def add(name: str, default: Any, help: str, **more: Any) -> None:
        own.add_argument(name, default=default, type=type(default), help=help, **more)

    add("--shape", "steady", "the number of users over time", choices=list(shapes.SHAPES))
    add("--levels", "", "users in each stage of a ramp, such as 1,8,32; without: 1, 2, 4 … -u")
    add("--behaviour", "clients", "what a user does", choices=list(BEHAVIOURS))
    add("--rate", 1.0, "poisson: requests a second of each user")
    add("--max-tokens", 64, "new tokens of a request")
    add("--prompt-words", 24, "of a client's or a writer's text")
    add("--longest", 256, "tokens of the longest text a person goes on with")
    add("--genre", "any", "a writer's")
    add("--think", 5.0, "seconds that a person thinks, on average")
    add("--temperature", 1.0, "0 takes the likeliest token")
    own.add_argument("--ignore-eos", action="store_true", help="no text ends early, on servers that know it")
    add("--stage-seconds", 30.0, "knee: seconds of a stage")
    add("--patience", 600.0, "silent seconds until a stream has failed")
    add("--draw-seed", 1, "of the prompts and pauses")
    add("--record", "", "a folder for a line of JSON for each request")
    for action in own._group_actions:
        action.include_in_web_ui = True  # Locust's page would leave it out otherwise
    add("--key", "", "an API key, if the server needs one", env_var="LOCUST_KEY")


class Load:
    """The shared state of the users in this process."""

    def __init__(self, environment: Environment) -> None:
        self.options = cast(Any, environment.parsed_options)
        self.recorder = Recorder(Path(self.options.record) if self.options.record else None)
        self.model = ""
        self.numbers = count()


def prepare(environment: Environment, **_: Any) -> None:
    """Make the shared state, once in each process before its users start."""
    environment.load = Load(environment)  # type: ignore[attr-defined]


locust_events.init_command_line_parser.add_listener(add_options)
locust_events.init.add_listener(prepare)


class Reader(FastHttpUser):
    """A user with streamed completions."""

    abstract = True
    behaviour = ""
    last = DONE
    connection_timeout = 10.0

    def __init__(self, environment: Environment) -> None:
        self.load: Load = environment.load  # type: ignore[attr-defined]
        self.options = self.load.options
        self.network_timeout = self.options.patience
        if self.options.key:
            self.default_headers = {"Authorization": f"Bearer {self.options.key}"}
        if self.host:  # paths begin with a slash, and an address from a browser ends with one
            self.host = self.host.rstrip("/")
        super().__init__(environment)
        worker = getattr(environment.runner, "worker_index", 0)
        self.draw = random.Random(f"{self.options.draw_seed} {worker} {next(self.load.numbers)}")

    def on_start(self) -> None:
        """Request the model's name, once in each process."""
        while not self.load.model:
            with self.client.get("/v1/models", catch_response=True) as answer:
                try:
                    self.load.model = answer.json()["data"][0]["id"]
                except Exception as wrong:  # the server may send anything
                    answer.failure(Failure(f"no list of models: {type(wrong).__name__}"))
            if not self.load.model:
                gevent.sleep(REFUSED_PAUSE)

    def ask(self, prompt: str, due: float | None = None) -> tuple[Asked, str]:
        """Send one request, and count it. Return its record and its text.

        Args:
            due: the time to count from; None for now.
        """
        body = {"model": self.load.model, "prompt": prompt, "seed": self.draw.randrange(1_000_000)}
        body |= {"max_tokens": self.options.max_tokens, "temperature": self.options.temperature}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.options.ignore_eos:
            body["ignore_eos"] = True
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        return self._send("/v1/completions", Stream(due), json=body, headers=headers)

    def _send(self, path: str, stream: Stream, **body: Any) -> tuple[Asked, str]:
        problem: str | None = CUT
        try:
            with self.client.post(path, stream=True, catch_response=True, **body) as answer:
                problem = self._follow(answer, stream)
                answer.request_meta["response_time"] = 1e3 * (perf_counter() - stream.submitted)
                answer.request_meta["response_length"] = len(stream.text)
                if problem:
                    answer.failure(Failure(problem))
                else:
                    answer.success()
        finally:  # also if the end of the run stops this user
            read = stream.usage.get("prompt_tokens", 0)
            times = (stream.submitted, perf_counter(), stream.arrivals)
            asked = Asked(self.behaviour, *times, read, stream.tokens, problem)
            self.load.recorder.write(asked)
        if asked.tokens:
            self._count("tokens per second", asked.tokens / (asked.ended - asked.submitted))
        if asked.failed:
            gevent.sleep(REFUSED_PAUSE)
        return asked, stream.text

    def _follow(self, answer: Any, stream: Stream) -> str | None:
        """Read the stream to its end. Return its problem, None if there is none."""
        if not answer.status_code:
            return f"no answer: {answer.error}"
        if answer.status_code != 200:
            return f"status {answer.status_code}: {answer.text}"[:200]
        # Read line by line: the iterators of Locust's client wait for a full block, about a second of tokens.
        lines = iter(lambda: bytes(answer.stream.readline(b"\n")), b"")
        try:
            for event in events(answer.headers.get("content-type", ""), lines).iter_sse():
                if self.read(event, stream):
                    return None
        except Failure as told:
            return str(told)[:200]
        except Exception as wrong:  # the connection may break, and the server may send anything
            return f"{type(wrong).__name__}: {wrong}"[:200]
        return f"the stream ended without {self.last}"

    def read(self, event: ServerSentEvent, stream: Stream) -> bool:
        """Read one event of a stream, and count it. Return True for the last one. Raises Failure."""
        if event.data == DONE:
            return True
        wait = stream.read(msgspec.json.decode(event.data))
        if wait is not None:
            self._count("next token" if len(stream.arrivals) > 1 else "first token", 1e3 * wait)
        return False

    def _count(self, name: str, value: float) -> None:
        counted = {"request_type": "SSE", "name": name, "response_time": value, "response_length": 0}
        self.environment.events.request.fire(**counted, exception=None, context={})


class Person(Reader):
    """Thinks, requests a text, reads it, and requests its continuation until the text is long."""

    behaviour = "person"

    @task
    def write(self) -> None:
        """Write one story."""
        text = opening(self.draw, 12)
        gevent.sleep(self._thinking())
        while True:
            asked, more = self.ask(text)
            read = asked.submitted + len(more.split()) / WORDS_A_SECOND
            gevent.sleep(max(0.0, read - perf_counter()) + self._thinking())
            if asked.problem or asked.prompt_tokens + asked.tokens > self.options.longest:
                return
            text += more

    def _thinking(self) -> float:
        """Draw a thinking time in seconds."""
        return self.draw.expovariate(1 / self.options.think) if self.options.think else 0.0


class Client(Reader):
    """Sends the next request right after each answer: a closed loop."""

    behaviour = "client"

    @task
    def ask_on(self) -> None:
        """Send one request."""
        self.ask(opening(self.draw, self.options.prompt_words))


class Poisson(Reader):
    """Sends requests at random times, without waiting for answers: an open loop."""

    behaviour = "poisson"
    concurrency = 10_000

    @task
    def send(self) -> None:
        """Send requests until the user is stopped. Times count from the due time, not from sending."""
        sent: list[gevent.Greenlet] = []
        due = perf_counter()
        try:
            while True:
                due += self.draw.expovariate(self.options.rate)
                gevent.sleep(max(0.0, due - perf_counter()))
                prompt = opening(self.draw, self.options.prompt_words)
                sent = [greenlet for greenlet in sent if not greenlet.dead]
                sent.append(gevent.spawn(self.ask, prompt, due))
        finally:
            gevent.killall(sent)


class Writer(Reader):
    """Asks the desk of Plotify for three continuations, reads them, and asks again for another text."""

    behaviour = "writer"
    last = "settled"

    def on_start(self) -> None:
        """Open the desk, for its cookie and the token of its form."""
        self.token = ""
        while not self.token:
            with self.client.get("/", name="the desk", catch_response=True) as page:
                found = TOKEN.search(page.text or "")
                if found:
                    self.token = found[1]
                else:
                    page.failure(Failure("no desk"))
            if not self.token:
                gevent.sleep(REFUSED_PAUSE)

    @task
    def suggest(self) -> None:
        """Ask for one offer."""
        text = opening(self.draw, self.options.prompt_words)
        form = {"token": self.token, "text": text, "genre": self.options.genre, "seed": str(self.draw.randrange(10**6))}
        asked, _ = self._send("/desk/suggest", Stream(), data=form, headers={"Accept": "text/event-stream"})
        if not asked.problem:
            self._count("all three done", 1e3 * (asked.ended - asked.submitted))

    def read(self, event: ServerSentEvent, stream: Stream) -> bool:
        content = msgspec.json.decode(event.data)
        if event.event == "settled":
            if content["failure"]:
                raise Failure(content["failure"])
            return True
        wait = stream.add(content["text"]) if event.event == "piece" else None
        if wait is not None and len(stream.arrivals) == 1:
            self._count("first letters", 1e3 * wait)
        return False


Behaviours = dict[str, list[type[Reader]]]
BEHAVIOURS: Behaviours = {
    "people": [Person],
    "clients": [Client],
    "mixed": [Person, Client],
    "poisson": [Poisson],
    "writers": [Writer],
}


class Shape(LoadTestShape):
    """The number of users over time, for every shape. -u, -r and -t keep their usual meaning."""

    use_common_options = True

    def __init__(self) -> None:
        super().__init__()
        self._users = 0
        self._speeds: list[float] = []
        self._stage_began = 0.0
        self._tokens = 0

    def tick(self) -> tuple[int, float, list[type[Reader]]] | None:  # type: ignore[override]
        """Return the number of users, the spawn rate and the user classes; None to stop. Called every second."""
        assert self.runner is not None
        load: Load = self.runner.environment.load  # type: ignore[attr-defined]
        options = load.options
        most = options.num_users or 1
        if options.shape == "knee":
            users = self._next_to_the_knee(most, options.stage_seconds)
        else:
            levels = [int(level) for level in options.levels.split(",") if level] or shapes.stages(most)
            seconds = options.run_time or float("inf")
            users = shapes.users_at(options.shape, self.get_run_time(), seconds, most, levels)
        if users != self._users:
            load.recorder.write(Stage(perf_counter(), users or 0))
            self._users = users or 0
        return None if users is None else (users, options.spawn_rate or users, BEHAVIOURS[options.behaviour])

    def _next_to_the_knee(self, most: int, seconds: float) -> int | None:
        now = self.get_run_time()
        if self._users and now - self._stage_began < seconds:
            return self._users
        assert self.runner is not None
        tokens = sum(self.runner.stats.get(name, "SSE").num_requests for name in ("first token", "next token"))
        if self._users:
            self._speeds.append((tokens - self._tokens) / (now - self._stage_began))
        if self._users == most or shapes.knee(self._speeds):
            return None
        self._stage_began, self._tokens = now, tokens
        return min(2 * self._users, most) if self._users else 1


if __name__ == "__main__":  # Locust's own --help does not read the locustfile
    get_parser().parse_args(["--help"])
