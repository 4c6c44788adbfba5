"""The benchmark runs and says what it measured. How fast is for people to judge, on a quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPREAD = {"median", "low", "high"}
COMPARED = {"turn", "stream", "call", "import"}


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *args], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    done = bench("--quick", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.thorough  # measuring every row takes a minute
@pytest.mark.timeout(120)
def test_every_row_is_measured_and_none_twice(report: dict[str, Any]) -> None:
    named = [(row["name"], row["unit"]) for row in report["rows"]]
    assert len(named) == len(set(named))
    assert {row["group"] for row in report["rows"]} == {*COMPARED, "runtime"}
    assert {"turn, text, sync", "turn, one tool, async", "stream, sync", "import agentkit"} <= {
        name for name, _ in named
    }


@pytest.mark.thorough  # measuring every row takes a minute
@pytest.mark.timeout(120)
def test_what_has_a_counterpart_is_told_beside_it_and_beside_the_noise(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        spreads = [row["ours"], *([row["bare"], row["ratio"], row["noise"]] if row["group"] in COMPARED else [])]
        assert all(set(each) == SPREAD for each in spreads), row
        assert all(0 < each["low"] <= each["median"] <= each["high"] for each in spreads), row


@pytest.mark.thorough  # measuring every row takes a minute
@pytest.mark.timeout(120)
def test_the_machine_is_named(report: dict[str, Any]) -> None:
    assert {"agentkit", "python", "system", "cores", "load"} == set(report["machine"])


@pytest.mark.timeout(60)
@pytest.mark.thorough
def test_one_group_of_rows_can_be_asked_for_as_a_table() -> None:
    done = bench("--quick", "--rows", "import")
    assert done.returncode == 0, done.stderr
    _, header, *rows = done.stdout.splitlines()
    assert header.split() == ["row", "bare", "agentkit", "ratio", "noise"]
    assert [row.split("  ")[0] for row in rows] == ["import agentkit", "import Runtime", "import inference"]


def test_rows_that_do_not_exist_are_refused_with_those_that_do() -> None:
    done = bench("--rows", "speed")
    assert done.returncode == 2
    assert "no such rows: speed; there are turn, stream, runtime, call, import" in done.stderr
