from pathlib import Path

import pytest
from click.testing import CliRunner

from server.cli import plotify
from tests.training.corpora import write_corpora


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    mpst, cmu = write_corpora(folder)
    command = ["prepare", "--mpst", mpst, "--cmu", cmu, "--out", folder / "data"]
    assert CliRunner().invoke(plotify, [str(word) for word in command]).exit_code == 0
    return folder / "data"
