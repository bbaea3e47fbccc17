"""The audit of the packages reports vulnerabilities, and passes without a network."""

import json
from collections.abc import Mapping

from tests.audit import verdict


def report(*packages: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


SOUND = {"name": "click", "version": "8.2", "vulns": []}
UNKNOWN = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited: rich (14)"}


def test_a_vulnerability_fails_and_is_named_with_what_mends_it() -> None:
    found = [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": [], "description": ""}]
    open_still = [{"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": ""}]
    bad = [{"name": name, "version": "1.0", "vulns": vulns} for name, vulns in (("a", found), ("b", open_still))]
    assert verdict(report(SOUND, UNKNOWN, *bad), "") == (
        False,
        "a 1.0 has PYSEC-1, fixed in 1.1, 2.0\nb 1.0 has PYSEC-2, without a fix yet",
    )


def test_sound_packages_are_counted() -> None:
    assert verdict(report(SOUND, UNKNOWN), "") == (True, "1 of 2 packages were audited; no known vulnerabilities.")


def test_without_its_data_it_says_so_and_passes() -> None:
    assert verdict(report(UNKNOWN), "") == (True, "The packages could not be audited: PyPI knows none of them.")
    assert verdict("", "WARNING: one\nERROR: no route to host\n") == (
        True,
        "The packages could not be audited: ERROR: no route to host",
    )
