"""`python -m tests.runtime.executors.table` runs the conformance suite and prints it: a row per property, a column per
kind; `ok`, `FAILED`, or `-` with the reason below where a kind cannot have the property."""

from __future__ import annotations

import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest


class Outcomes:
    """A pytest plugin that keeps what came of each test."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = str(report.nodeid)
        if "test_conformance[" not in name or (report.when != "call" and not report.failed):
            return
        *_, property, kind = name.rpartition("[")[2].rstrip("]").split("-")
        failed = report.failed or self.of.get((property, kind)) == "FAILED"
        self.of[property, kind] = "FAILED" if failed else "ok"


def main() -> int:
    """Prints the table; the exit code is pytest's."""
    outcomes, suite = Outcomes(), str(Path(__file__).with_name("test_conformance.py"))
    with redirect_stdout(sys.stderr):
        code = pytest.main(["-q", "--no-header", "-p", "no:xdist", suite], plugins=[outcomes])
    from tests.runtime.executors.rigs import KINDS, PROPERTIES  # behind pytest, which rewrites what it imports

    with tempfile.TemporaryDirectory() as folder:
        left_out = {kind: _left_out(kind, Path(folder) / kind) for kind in KINDS}
    print("| property | " + " | ".join(KINDS) + " |")
    print("|---" * (len(KINDS) + 1) + "|")
    for property in PROPERTIES:
        cells = ["-" if property in left_out[kind] else outcomes.of.get((property, kind), "?") for kind in KINDS]
        print(f"| {property} | " + " | ".join(cells) + " |")
    for kind in KINDS:
        for property, why in left_out[kind].items():
            print(f"{kind} has no {property}: {why}")
    return int(code)


def _left_out(kind: str, folder: Path) -> dict[str, str]:
    from tests.runtime.executors.rigs import rigged  # see above

    folder.mkdir()
    with rigged(kind, folder) as rig:
        return dict(rig.left_out)


if __name__ == "__main__":
    sys.exit(main())
