"""The circumstances of a benchmark, to report with its figures: date, machine, versions."""

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
"""Instruction sets with kernels in ONNX Runtime and the peers, and Linux's flags for each."""


def circumstances() -> dict[str, Any]:
    """Return date, commit, machine, its load (with the benchmark's own), and the installed versions."""
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine | {"load_average": os.getloadavg()[0]},
        "versions": {"python": platform.python_version()} | versions(PACKAGES),
    }


def peak_resident_bytes() -> int:
    """Return the peak memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): kilobytes, but on macOS bytes


def _commit() -> str | None:
    """Return the commit of the checkout, with a plus if it has changes; None outside of a checkout."""
    describe = ("git", "-C", Path(__file__).parent, "describe", "--always", "--dirty=+", "--abbrev=12")
    try:
        done = subprocess.run(describe, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return this machine's processor and its `INSTRUCTIONS`, as "AMD EPYC (AVX2, AVX-512, VNNI)"."""
    first = cpuinfo.read_text().split("\n\n")[0] if cpuinfo.is_file() else ""
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    flags = set(fields.get("flags", "").split())
    instructions = ", ".join(name for name, any_of in INSTRUCTIONS.items() if flags & any_of)
    model = fields.get("model name") or platform.processor() or platform.machine()
    return f"{model} ({instructions})" if instructions else model


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of the installed ones of these distributions."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
