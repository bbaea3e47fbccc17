"""The circumstances of a figure: the processor and its instruction sets."""

import platform
from pathlib import Path

import pytest

from benchmarks.circumstances import circumstances, processor

CORE = "processor\t: 0\nmodel name\t: Invented 9000\nstepping\t: 1\nflags\t\t: fpu {} rdpid\nbugs\t\t:\n\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("sse4_1 avx", "Invented 9000"),
        ("avx avx2 fma", "Invented 9000 (AVX2)"),
        ("avx2 avx_vnni", "Invented 9000 (AVX2, VNNI)"),
        ("avx2 avx512f avx512bw", "Invented 9000 (AVX2, AVX-512)"),
        ("avx2 avx512f avx512_vnni", "Invented 9000 (AVX2, AVX-512, VNNI)"),
        ("amx_tile amx_int8 avx2 avx512f avx512_vnni", "Invented 9000 (AVX2, AVX-512, VNNI, AMX)"),
    ],
)
def test_the_processor_is_named_with_its_instructions(flags: str, said: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(2 * CORE.format(flags))
    assert processor(cpuinfo) == said


def test_without_cpuinfo_the_processor_is_the_one_that_python_names(tmp_path: Path) -> None:
    assert processor(tmp_path / "none") in (platform.processor(), platform.machine())


def test_every_benchmark_says_it() -> None:
    assert circumstances()["machine"]["processor"] == processor()
