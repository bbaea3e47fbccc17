"""Audit of the pinned packages for known vulnerabilities: `python -m tests.audit`.

pip-audit asks PyPI about each package in constraints.txt, and about ONNX Runtime, pinned in pyproject.toml. Without
PyPI the audit says so and passes.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

ACCEPTED: dict[str, str] = {}
"""Accepted vulnerabilities: their ids, and the reasons."""


def audit() -> tuple[bool, str]:
    """Run the audit. Return True if it found nothing, and a message."""
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
    """Return True if pip-audit found nothing, and a message.

    Args:
        report: its JSON; empty if it failed.
        said: its standard error.
    """
    if not report:
        return True, f"The packages could not be audited: {said.strip().rpartition(chr(10))[2]}"
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    asked = [package for package in packages if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']} has {each['id']}, "
        + (f"fixed in {', '.join(each['fix_versions'])}" if each["fix_versions"] else "without a fix yet")
        for package in asked
        for each in package["vulns"]
    ]
    if found:
        return False, "\n".join(found)
    if not asked:
        return True, "The packages could not be audited: PyPI knows none of them."
    return True, f"{len(asked)} of {len(packages)} packages were audited; no known vulnerabilities."


if __name__ == "__main__":
    sound, told = audit()
    print(told)
    sys.exit(not sound)
