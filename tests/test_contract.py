"""The contract between the stages: they don't import each other, and agree on shared values."""

from dataclasses import asdict

import pytest

from export.checkpoint import LengthClass as ExportedLength
from export.checkpoint import Prompt
from export.graph import BLOCK as EXPORTED_BLOCK
from export.samples import PLAUSIBLE as EXPORTED_FLOOR
from server.bundle import EngineContract, LengthClass, PromptTemplate
from server.engine.model.cache import BLOCK
from server.engine.sampling.guidance import PLAUSIBLE
from training.prompt import PromptTemplate as TrainedTemplate

TRAINED = TrainedTemplate(("Horror", "Science Fiction"))


def test_block_size_and_guidance_floor_are_the_same_everywhere() -> None:
    assert EngineContract().block_size == BLOCK == EXPORTED_BLOCK
    assert EngineContract().guidance_floor == PLAUSIBLE == EXPORTED_FLOOR


@pytest.mark.parametrize("genre", [None, "Horror"])
@pytest.mark.parametrize("length", [None, "line", "page"])
@pytest.mark.parametrize("begins", [True, False])
def test_a_prompt_is_the_same_in_training_in_the_export_and_in_the_server(
    genre: str | None, length: str | None, begins: bool
) -> None:
    fields = {name: value for name, value in asdict(TRAINED).items() if name not in ("prose", "lengths")}
    exported = Prompt(**fields, lengths=tuple(ExportedLength(**asdict(each)) for each in TRAINED.lengths))
    served = PromptTemplate(**fields, lengths=tuple(LengthClass(**asdict(each)) for each in TRAINED.lengths))
    trained = TRAINED.prefix(genre, length, (), begins) + TRAINED.body("A door")
    assert trained == exported.join(genre, "A door", length, begins) == served.fill("A door", genre, length, (), begins)
    noted = TRAINED.prefix(genre, length, ["Anna", "Skye"], begins) + TRAINED.body("A door")
    assert noted == served.fill("A door", genre, length, ["Anna", "Skye"], begins)
