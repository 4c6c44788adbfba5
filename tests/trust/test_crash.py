"""`kill -9` between every two statements of what answers a question: zero or one payment, and the record says which."""

from __future__ import annotations

import os
from difflib import unified_diff
from typing import Any

import pytest

from tests.trust.crash import OPERATIONS, Outcome, killed
from tests.trust.crash_table import POINTS, listed

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives are forks"),
]


def also(name: str) -> Any:
    """In the thorough run only."""
    return pytest.param(name, marks=pytest.mark.thorough)


EVERY_TIME = ("approve", "reject", "expire", "respond", "result")  # what is left is made of the same statements


@pytest.mark.parametrize("name", [each if each in EVERY_TIME else also(each) for each in OPERATIONS])
def test_a_death_at_any_point_leaves_what_was_durable_and_nothing_happens_twice(name: str) -> None:
    points, deaths = killed(name)
    assert len(deaths) > 20
    check(name, points, deaths)


@pytest.mark.thorough
@pytest.mark.parametrize("name", OPERATIONS)
def test_so_does_a_death_before_what_only_reads(name: str) -> None:
    points, deaths = killed(name, "all")
    assert len(deaths) == len(points)
    check(name, points, deaths)


def check(name: str, points: list[Outcome], deaths: list[Outcome]) -> None:
    kept = [line for line in POINTS.read_text().splitlines() if line.startswith(f"{name}:")]
    changes = "\n".join(unified_diff(kept, listed(points), "points.txt", "now", lineterm=""))
    assert not changes, f"other statements run: look, and run python -m tests.trust.crash_table --points\n{changes}"
    must = {each.point: each for each in points}
    assert [each for each in deaths if each != must[each.point]] == []
    assert {each.payments for each in deaths} <= {0, 1}
