"""What /api/plots is asked and answers, as JSON."""

from typing import Annotated, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.engine import FinishReason
from server.plots.journal import Done, Failed, Journal
from server.writing.brief import LENGTHS, SEED_DIGITS, WILDNESSES
from server.writing.usage import Usage


class PlotRequest(msgspec.Struct, frozen=True):
    """What a writer asks for. What is absent, null or "" has its default."""

    # Decoding looks at the types alone. What the schemas say beyond is kept by `Brief`, with a sentence for each field.
    prompt: Annotated[str, Meta(description="How the plot begins.", extra_json_schema={"pattern": r"\S"})] = ""
    genre: Annotated[str | None, Meta(description="One of the model's genres, or any, the default.")] = None
    length: Annotated[
        str | None,
        Meta(
            description=f"One of {', '.join(LENGTHS)}; lines is the default.",
            extra_json_schema={"enum": [*LENGTHS, "", None]},
        ),
    ] = None
    wildness: Annotated[
        int | str | None,
        Meta(
            description=f"From {min(WILDNESSES)}, close, to {max(WILDNESSES)}, wild; 3 is the default.",
            extra_json_schema={"enum": [*WILDNESSES, *map(str, WILDNESSES), "", None]},
        ),
    ] = None
    avoid: Annotated[str | None, Meta(description="Words that are not to be written, separated by commas.")] = None
    seed: Annotated[
        Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 10**SEED_DIGITS - 1})]
        | Annotated[str, Meta(extra_json_schema={"pattern": rf"^\s*[0-9]{{0,{SEED_DIGITS}}}\s*$"})]
        | None,
        Meta(description="A whole number of up to nine digits; the same gives the same plot. Absent: any."),
    ] = None

    @property
    def typed(self) -> dict[str, str]:
        """The fields that are there, as they are typed into the form."""
        return {name: str(value) for name, value in msgspec.structs.asdict(self).items() if value not in (None, "")}


class Started(msgspec.Struct, frozen=True):
    """A plot that is being written from now on."""

    id: str
    seed: Annotated[int, Meta(description="What gives the same plot again.")]
    address: Annotated[str, Meta(description="Path of what is there of it: GET; to stop it, DELETE.")] = msgspec.field(
        name="self"
    )
    events: Annotated[str, Meta(description="Path of its event stream.")]


class PlotSoFar(msgspec.Struct, frozen=True):
    """What is there of a plot."""

    id: str
    state: Annotated[
        Literal["waiting", "writing", "done", "error"],
        Meta(description="waiting until its first token, then writing, until it is done or ended in an error."),
    ]
    prompt: str
    text: Annotated[str, Meta(description="What was written so far, without the prompt.")]
    seed: Annotated[int, Meta(description="What gives the same plot again.")]
    usage: Usage
    last_event_id: Annotated[int, Meta(description="The event that the text reaches to; follow on from it.")]
    finish_reason: FinishReason | None
    problem: Annotated[str | None, Meta(description="What went wrong, where the state is error.")]

    @classmethod
    def of(cls, journal: Journal) -> Self:
        """From a plot's journal."""
        end = journal.end
        return cls(
            id=journal.id,
            state=end.name if end else "writing" if journal.feed.items else "waiting",
            prompt=journal.plot.opening,
            text=journal.text,
            seed=journal.plot.seed,
            usage=journal.usage,
            last_event_id=len(journal.feed.items),
            finish_reason=end.finish_reason if isinstance(end, Done) else None,
            problem=end.message if isinstance(end, Failed) else None,
        )


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was not served."""

    message: str
    problems: Annotated[dict[str, str] | UnsetType, Meta(description="What is wrong with each field at fault.")] = UNSET
