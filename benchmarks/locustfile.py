"""Users for Locust, against any server with OpenAI's completions: `locust -f benchmarks/locustfile.py --host URL`.

What Locust counts beside each POST: "first token" and "next token" in milliseconds, and "tokens per second" of a whole
stream, which is a speed in the columns of times. The rate of "next token" is how many came in a second, from all.
Locust patches the standard library when it is imported, so this runs in no process but its own. docs/load.md has more.
"""

import random
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import gevent
import msgspec
from locust import FastHttpUser, LoadTestShape, events, task
from locust.argument_parser import LocustArgumentParser, get_parser
from locust.env import Environment

from benchmarks.loadtest import shapes, words
from benchmarks.loadtest.record import CUT, Asked, Recorder, Stage
from benchmarks.loadtest.story import DONE, Failure, Story, events_of

REFUSED_PAUSE = 1.0
"""Seconds until somebody who was refused asks again."""

WORDS_A_SECOND = 4.0
"""That a person reads."""


def add_options(parser: LocustArgumentParser) -> None:
    """Locust's page shows them, and `python -m benchmarks.locustfile`."""
    own = parser.add_argument_group("Plotify", "What users do, and how many there are when.")
    shaped = "; ".join(f"{name}: {what}" for name, what in shapes.SHAPES.items())
    own.add_argument(
        "--shape", default="steady", choices=list(shapes.SHAPES), help=f"{shaped}. Ramp and spike divide -t."
    )
    own.add_argument("--levels", default="", help="Users of a ramp's stages, such as 1,8,32. Default: 1, 2, 4 ... -u.")
    own.add_argument(
        "--behaviour",
        default="mixed",
        choices=list(BEHAVIOURS),
        help="people think, ask, read and ask again; clients ask as fast as they are answered; mixed: half of each; "
        "poisson: requests come at random, however many are under way.",
    )
    own.add_argument("--rate", type=float, default=1.0, help="Of poisson: requests a second, of each user.")
    own.add_argument("--max-tokens", type=int, default=64, help="New tokens of a request.")
    own.add_argument("--prompt-words", type=int, default=40, help="Of a client's prompt; a person begins with 12.")
    own.add_argument("--longest", type=int, default=256, help="Tokens of a text that a person still goes on with.")
    own.add_argument("--think", type=float, default=5.0, help="Seconds that a person thinks, on average.")
    own.add_argument("--temperature", type=float, default=1.0, help="0: the likeliest token.")
    own.add_argument("--ignore-eos", action="store_true", help="No text ends early. Not every server knows this field.")
    own.add_argument("--stage-seconds", type=float, default=30.0, help="Of the knee: how long a stage takes.")
    own.add_argument(
        "--patience", type=float, default=600.0, help="Seconds of silence after which a stream has failed."
    )
    own.add_argument("--draw-seed", type=int, default=1, help="The same gives the same prompts and pauses.")
    own.add_argument("--record", default="", help="A folder for one line of JSON for each request.")
    for action in own._group_actions:
        action.include_in_web_ui = True  # without which Locust's page leaves it out
    own.add_argument("--key", default="", env_var="LOCUST_KEY", help="Where the server has API keys.")


class Load:
    """What the users of this process have in common."""

    def __init__(self, environment: Environment) -> None:
        self.options = cast(Any, environment.parsed_options)
        self.recorder = Recorder(Path(self.options.record) if self.options.record else None)
        self.model = ""
        self.numbers = count()


def prepare(environment: Environment, **_: Any) -> None:
    """Once in each process, before its users."""
    environment.load = Load(environment)  # type: ignore[attr-defined]


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(prepare)


class Reader(FastHttpUser):
    """Somebody who asks for a completion and reads it as it comes."""

    abstract = True
    behaviour = ""
    connection_timeout = 10.0

    def __init__(self, environment: Environment) -> None:
        self.load: Load = environment.load  # type: ignore[attr-defined]
        self.options = self.load.options
        self.network_timeout = self.options.patience
        if self.options.key:
            self.default_headers = {"Authorization": f"Bearer {self.options.key}"}
        super().__init__(environment)
        worker = getattr(environment.runner, "worker_index", 0)
        self.draw = random.Random(f"{self.options.draw_seed} {worker} {next(self.load.numbers)}")

    def on_start(self) -> None:
        """Asks for the model's name, once in a process."""
        while not self.load.model:
            with self.client.get("/v1/models", catch_response=True) as answer:
                try:
                    self.load.model = answer.json()["data"][0]["id"]
                except Exception as wrong:  # whatever a server may send instead
                    answer.failure(Failure(f"no list of models: {type(wrong).__name__}"))
            if not self.load.model:
                gevent.sleep(REFUSED_PAUSE)

    def ask(self, prompt: str, due: float | None = None) -> tuple[Asked, str]:
        """One request, from when it was due (now, if that is None) to its end, which is counted; and its text."""
        submitted = due or perf_counter()
        seed = self.draw.randrange(1_000_000)
        order: dict[str, Any] = {
            "model": self.load.model,
            "prompt": prompt,
            "max_tokens": self.options.max_tokens,
            "temperature": self.options.temperature,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.options.ignore_eos:
            order["ignore_eos"] = True
        story = Story(submitted)
        problem: str | None = CUT
        try:
            with self.client.post(
                "/v1/completions",
                json=order,
                headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                stream=True,
                catch_response=True,
            ) as answer:
                problem = self._follow(answer, story)
                answer.request_meta["response_time"] = 1e3 * (perf_counter() - submitted)
                answer.request_meta["response_length"] = len(story.text)
                if problem:
                    answer.failure(Failure(problem))
                else:
                    answer.success()
        finally:  # also of a user that the end of the run stops
            asked = story.asked(self.behaviour, perf_counter(), problem)
            self.load.recorder.write(asked)
        if asked.tokens:
            self._count("tokens per second", asked.tokens / (asked.ended - submitted))
        if asked.failed:
            gevent.sleep(REFUSED_PAUSE)
        return asked, story.text

    def _follow(self, answer: Any, story: "Story") -> str | None:
        """Reads the stream; what is wrong with it, if anything."""
        if answer.status_code != 200:
            return (
                f"status {answer.status_code}: {answer.text}"[:200]
                if answer.status_code
                else f"no answer: {answer.error}"
            )
        try:
            for event in events_of(answer.headers.get("content-type", ""), answer.stream.readline):
                if event == DONE:
                    return None
                wait = story.read(msgspec.json.decode(event))
                if wait is not None:
                    self._count("next token" if len(story.arrivals) > 1 else "first token", 1e3 * wait)
        except Failure as told:
            return str(told)[:200]
        except Exception as wrong:  # a connection that breaks, and whatever a server may send instead
            return f"{type(wrong).__name__}: {wrong}"[:200]
        return f"the stream ended without {DONE}"

    def _count(self, name: str, value: float) -> None:
        self.environment.events.request.fire(
            request_type="SSE", name=name, response_time=value, response_length=0, exception=None, context={}
        )


class Person(Reader):
    """Thinks, asks, reads, and asks to go on with the text so far, until it is long."""

    behaviour = "person"

    @task
    def write(self) -> None:
        """One story."""
        text = words.opening(self.draw, 12)
        gevent.sleep(self._thinking())
        while True:
            asked, more = self.ask(text)
            read = asked.submitted + len(more.split()) / WORDS_A_SECOND
            gevent.sleep(max(0.0, read - perf_counter()) + self._thinking())
            if asked.problem or asked.prompt_tokens + asked.tokens > self.options.longest:
                return
            text += more

    def _thinking(self) -> float:
        """Seconds."""
        return self.draw.expovariate(1 / self.options.think) if self.options.think else 0.0


class Client(Reader):
    """Asks, reads, and asks for the next at once: a closed loop."""

    behaviour = "client"

    @task
    def ask_on(self) -> None:
        """One request."""
        self.ask(words.opening(self.draw, self.options.prompt_words))


class Poisson(Reader):
    """Sends requests at random times, whatever became of those before: an open loop."""

    behaviour = "poisson"
    concurrency = 10_000

    @task
    def send(self) -> None:
        """All of them, until the user is stopped. Times count from when a request was due, not when it was sent."""
        sent: list[gevent.Greenlet] = []
        due = perf_counter()
        try:
            while True:
                due += self.draw.expovariate(self.options.rate)
                gevent.sleep(max(0.0, due - perf_counter()))
                prompt = words.opening(self.draw, self.options.prompt_words)
                sent = [greenlet for greenlet in sent if not greenlet.dead]
                sent.append(gevent.spawn(self.ask, prompt, due))
        finally:
            gevent.killall(sent)


BEHAVIOURS: dict[str, list[type[Reader]]] = {
    "people": [Person],
    "clients": [Client],
    "mixed": [Person, Client],
    "poisson": [Poisson],
}


class Shape(LoadTestShape):
    """All shapes, by the options; -u, -r and -t mean what they always do."""

    use_common_options = True

    def __init__(self) -> None:
        super().__init__()
        self._users = 0
        self._speeds: list[float] = []
        self._stage_began = 0.0
        self._tokens = 0

    def tick(self) -> tuple[int, float, list[type[Reader]]] | None:  # type: ignore[override]
        """Called each second: how many of whom, how many more a second; None for the end."""
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


if __name__ == "__main__":  # Locust itself answers --help before it reads a locustfile
    get_parser().parse_args(["--help"])
