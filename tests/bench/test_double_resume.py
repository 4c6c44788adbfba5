"""The double-resume experiment, with agentkit alone: the whole of it installs the other libraries."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.double_resume import LIBRARIES, Finding, Row, as_text, edit

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def findings() -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.double_resume", "--only", "agentkit", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)
    assert not row["why"], row
    return dict(row["findings"])


@pytest.mark.thorough  # eleven processes, one after the other
@pytest.mark.parametrize("experiment", ["twice", "at once"])
def test_resuming_twice_runs_the_tool_once_and_tells_the_other(findings: dict[str, Any], experiment: str) -> None:
    asked, *resumed = findings[experiment]["steps"]
    assert asked["said"] == "1 pending"
    assert findings[experiment]["payments"] == ["10 EUR"]
    assert sum("AlreadyResolvedError" in each["said"] for each in resumed) == 1
    assert all("It is paid." in each["said"] for each in resumed)


@pytest.mark.thorough
def test_what_was_edited_in_the_store_is_not_run(findings: dict[str, Any]) -> None:
    assert findings["edited"]["payments"] == []
    assert findings["edited"]["steps"][1]["refused"].startswith("ConflictError: ")


@pytest.mark.thorough
def test_a_tool_that_was_killed_is_not_run_again_before_somebody_says_so(findings: dict[str, Any]) -> None:
    _, died, resumed = findings["killed"]["steps"]
    assert findings["killed"]["payments"] == ["10 EUR"]
    assert died["said"] == "killed"
    assert "asks: " in resumed["said"]


def test_what_happened_is_told_in_a_row() -> None:
    steps = [{"said": "1 pending"}, {"said": "It is paid."}, {"refused": "StaleError: it was"}]
    twice = Finding(["10 EUR", "10 EUR"], steps[:2])
    changed = Finding(["99 EUR"], steps[:2])
    asking = Finding(["10 EUR"], [{"said": "1 pending"}, {"said": "killed"}, {"said": "asks: it was begun"}])
    once = Finding(["10 EUR"], steps)
    row = Row("it", "1.0", findings={"twice": twice, "at once": once, "edited": changed, "killed": asking})
    assert as_text(row) == (
        "| it | 1.0 | ran **twice** | ran once; StaleError | ran with **99 EUR** | ran once, then asks a person |"
    )
    assert as_text(Row("it", why="no wheel")) == "| it | | not run: no wheel | | | |"


def test_an_edit_reaches_every_column_and_every_text(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"amount": "10 EUR"}')
    with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
        db.execute("CREATE TABLE t (a TEXT, b BLOB, c INTEGER)")
        db.execute("INSERT INTO t VALUES ('pay 10 EUR', x'00' || CAST('10 EUR' AS BLOB), 10)")
    for path in tmp_path.iterdir():
        edit(path)
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        assert db.execute("SELECT a, CAST(b AS BLOB), c FROM t").fetchone() == ("pay 99 EUR", b"\x0099 EUR", 10)
    assert json.loads((tmp_path / "state.json").read_text()) == {"amount": "99 EUR"}


def test_every_library_is_another_row() -> None:
    assert len({each.name for each in LIBRARIES}) == len(LIBRARIES)
