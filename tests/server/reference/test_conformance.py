"""The server keeps to its OpenAPI document, for right and wrong requests by schemathesis."""

import re
import subprocess
import sys
from pathlib import Path

from server.bundle import Bundle
from tests.conftest import ROOT
from tests.server.live import serving, wait_until_idle

SECONDS = 40
"""The time limit of schemathesis."""


def test_nothing_is_answered_but_what_is_described(bundle: Bundle) -> None:
    with serving(bundle, rows=8) as server:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                *(
                    "--config-file",
                    "tests/server/reference/openapi.toml",
                    "run",
                    f"{server.address}/openapi",
                    "--no-color",
                ),
                *("--generation-deterministic", "--max-examples", "15", "--max-time", str(SECONDS)),
            ],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
        )
        wait_until_idle(server.engine)
    assert done.returncode == 0, done.stdout + done.stderr
    (tested,) = re.findall(r"Tested: (\d+)", done.stdout)
    assert int(tested) == 9
