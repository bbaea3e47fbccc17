"""Whether a pinned package has a known vulnerability, as far as that can be found out: `python -m tests.audit`.

pip-audit asks PyPI for each package of constraints.txt, and for ONNX Runtime, which pyproject.toml pins. Where PyPI is
not reached there is nothing to fail: that is said.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

ACCEPTED: dict[str, str] = {}
"""Vulnerabilities that are known and stay, by their id, each with the reason."""


def audit() -> tuple[bool, str]:
    """Whether nothing was found, and what to tell."""
    (runtime,) = re.findall(r'"(onnxruntime==\S+) ', (ROOT / "pyproject.toml").read_text())
    asked = subprocess.run(
        [
            Path(sys.executable).with_name("pip-audit"),
            *("--requirement", ROOT / "constraints.txt", "--requirement", "/dev/stdin", "--no-deps", "--disable-pip"),
            *("--format", "json", "--progress-spinner", "off", "--timeout", "10"),
            *(word for known in ACCEPTED for word in ("--ignore-vuln", known)),
        ],
        input=runtime,
        capture_output=True,
        text=True,
    )
    return verdict(asked.stdout, asked.stderr)


def verdict(report: str, said: str) -> tuple[bool, str]:
    """Of pip-audit's report in JSON, which is empty where it failed, and what it said on standard error."""
    if not report:
        return True, f"The packages could not be audited: {said.strip().rpartition(chr(10))[2]}"
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    asked = [package for package in packages if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']} has {each['id']}, "
        + (f"mended in {', '.join(each['fix_versions'])}" if each["fix_versions"] else "which is not mended yet")
        for package in asked
        for each in package["vulns"]
    ]
    if found:
        return False, "\n".join(found)
    if not asked:
        return True, "The packages could not be audited: PyPI told of none of them."
    return True, f"{len(asked)} of {len(packages)} packages were audited; no known vulnerability."


if __name__ == "__main__":
    sound, told = audit()
    print(told)
    sys.exit(not sound)
