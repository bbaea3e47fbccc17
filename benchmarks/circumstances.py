"""The circumstances of a benchmark, which stand beside its figures: date, machine, versions."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("plotify", "onnxruntime", "onnxruntime-gpu", "numpy", "tokenizers", "litestar", "uvicorn", "tensorflow"),
    *("torch", "transformers", "locust", "ray"),
)

INSTRUCTIONS = {"AVX2": {"avx2"}, "AVX-512": {"avx512f"}, "VNNI": {"avx512_vnni", "avx_vnni"}, "AMX": {"amx_int8"}}
"""The instructions by which ONNX Runtime and the peers choose their kernels, with the flags that Linux has for each."""


def circumstances() -> dict[str, Any]:
    """Date, commit, machine, its load now, the benchmark's own included, and the versions of what is installed."""
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine | {"load_average": os.getloadavg()[0]},
        "versions": {"python": platform.python_version()} | versions(PACKAGES),
    }


def peak_resident_bytes() -> int:
    """The most memory that this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): kilobytes, but on macOS bytes


def _commit() -> str | None:
    """Of the checkout, with a plus where it was changed since; None where there is none."""
    describe = ("git", "-C", Path(__file__).parent, "describe", "--always", "--dirty=+", "--abbrev=12")
    try:
        done = subprocess.run(describe, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """This machine's, with those of `INSTRUCTIONS` that it has: "AMD EPYC (AVX2, AVX-512, VNNI)"."""
    first = cpuinfo.read_text().split("\n\n")[0] if cpuinfo.is_file() else ""
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    flags = set(fields.get("flags", "").split())
    instructions = ", ".join(name for name, any_of in INSTRUCTIONS.items() if flags & any_of)
    model = fields.get("model name") or platform.processor() or platform.machine()
    return f"{model} ({instructions})" if instructions else model


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of the distributions that are installed."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
