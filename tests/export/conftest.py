"""Optimum's graph of the minute checkpoint, and the rewritten one, made once per session."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.calibration import measure_peaks, watch
from export.checkpoint import Checkpoint, Dimensions, read_checkpoint
from export.perplexity import texts_to_score
from export.rewrite.precisions import rewrite
from tests.conftest import PYTHON, run
from tests.export.rows import Optimum

# Run as a process of its own, to keep TensorFlow out of the test process.
CONVERT = """
import sys
from pathlib import Path
from export import convert
from export.checkpoint import read_checkpoint
checkpoint = read_checkpoint(Path(sys.argv[1]))
convert.to_onnx(convert.to_torch(convert.load_tensorflow(checkpoint)), Path(sys.argv[2]))
"""


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="session")
def dimensions(checkpoint: Checkpoint) -> Dimensions:
    return checkpoint.model


@pytest.fixture(scope="session")
def optimum_file(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Optimum's export of `tiny_checkpoint`."""
    folder = tmp_path_factory.mktemp("optimum")
    run(PYTHON, "-c", CONVERT, tiny_checkpoint, folder)
    return folder / "model.onnx"


@pytest.fixture
def optimum_graph(optimum_file: Path) -> onnx.ModelProto:
    """A copy of Optimum's graph to rewrite."""
    return onnx.load(optimum_file)


@pytest.fixture(scope="session")
def optimum(optimum_file: Path) -> Optimum:
    """Optimum's graph as it is, to run."""
    return Optimum(onnx.load(optimum_file))


@pytest.fixture(scope="session")
def rewritten(optimum_file: Path, dimensions: Dimensions) -> onnx.ModelProto:
    """The float32 graph for the engine. Copy it before changing it."""
    return rewrite(onnx.load(optimum_file), dimensions)


@pytest.fixture(scope="session")
def peaks(
    rewritten: onnx.ModelProto, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """The largest magnitudes in caches and layer norms of the rewritten graph, on held-out documents."""
    file = tmp_path_factory.mktemp("watched") / "watched.onnx"
    return dict(measure_peaks(watch(rewritten, checkpoint.model, file), texts_to_score(checkpoint)))
