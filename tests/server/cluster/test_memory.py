"""The memory of the processes of a cluster that hold no model."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["server.cluster.local", "server.cluster.deployments", "server.app"])
def test_only_an_engine_imports_numba(module: str) -> None:
    program = f"import sys, {module}; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
