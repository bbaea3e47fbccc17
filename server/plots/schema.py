"""The requests and responses of /api/plots."""

from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import asdict

from server.engine import FinishReason
from server.plots.journal import Done, Failed, Journal, Seed
from server.writing.brief import LENGTHS, SEED_DIGITS, WILDNESSES
from server.writing.usage import Usage

LENGTH = Meta(
    description=f"One of {', '.join(LENGTHS)}; lines is the default.",
    extra_json_schema={"enum": [*LENGTHS, "", None]},
)
WILDNESS = Meta(
    description=f"From {min(WILDNESSES)}, close, to {max(WILDNESSES)}, wild; 3 is the default.",
    extra_json_schema={"enum": [*WILDNESSES, *map(str, WILDNESSES), "", None]},
)


State = Literal["waiting", "writing", "done", "error"]


class PlotRequest(Struct, frozen=True):
    """A brief. A field that is absent, null or "" has its default."""

    # Decoding checks only the types. `Brief` checks the rest of the schema, with a sentence for each field.
    prompt: Annotated[str, Meta(description="The beginning of the plot.", extra_json_schema={"pattern": r"\S"})] = ""
    genre: Annotated[str | None, Meta(description="One of the model's genres, or any, the default.")] = None
    length: Annotated[str | None, LENGTH] = None
    wildness: Annotated[int | str | None, WILDNESS] = None
    avoid: Annotated[str | None, Meta(description="Words to keep out of the plot, separated by commas.")] = None
    seed: Annotated[
        Annotated[int, Meta(extra_json_schema={"minimum": -1, "maximum": 10**SEED_DIGITS - 1})]
        | Annotated[str, Meta(extra_json_schema={"pattern": rf"^\s*([0-9]{{0,{SEED_DIGITS}}}|-1)\s*$"})]
        | None,
        Meta(description="A whole number of up to nine digits; the same seed gives the same plot. Absent, -1: random."),
    ] = None

    @property
    def typed(self) -> dict[str, str]:
        """The fields with values, as text, like those of a form."""
        return {name: str(value) for name, value in asdict(self).items() if value not in (None, "")}


class Started(Struct, frozen=True):
    """A plot that has just started."""

    id: str
    seed: Seed
    address: Annotated[str, Meta(description="The path of the plot: GET reads it, DELETE stops it.")] = field(
        name="self"
    )
    events: Annotated[str, Meta(description="The path of its events.")]


class PlotSoFar(Struct, frozen=True):
    """A plot so far."""

    id: str
    state: Annotated[State, Meta(description="waiting before its first token, then writing, then done or error.")]
    prompt: str
    text: Annotated[str, Meta(description="The text so far, without the prompt.")]
    seed: Seed
    usage: Usage
    last_event_id: Annotated[str, Meta(description="The last event of the text; follow the plot from here.")]
    finish_reason: FinishReason | None
    problem: Annotated[str | None, Meta(description="An explanation, if the state is error.")]

    @classmethod
    def of(cls, journal: Journal) -> Self:
        """Return the state of a journal."""
        end = journal.end
        return cls(
            id=journal.id,
            state=end.name if end else "writing" if journal.feed.items else "waiting",
            prompt=journal.opening,
            text=journal.text,
            seed=journal.seed,
            usage=journal.usage,
            last_event_id=journal.ids[-1] if journal.ids else journal.place.id,
            finish_reason=end.finish_reason if isinstance(end, Done) else None,
            problem=end.message if isinstance(end, Failed) else None,
        )


class Refusal(Struct, frozen=True):
    """An explanation of an error."""

    message: str
    problems: Annotated[dict[str, str] | UnsetType, Meta(description="The mistake in each wrong field.")] = UNSET
