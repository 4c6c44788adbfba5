"""A small soak in every run of the tests; `make soak` is the long one."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.soak.tasks import Plan, soak


@pytest.mark.requirement("task:soak", "run:one-terminal", "fleet:nothing-left")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("tasks", [60, pytest.param(120, marks=pytest.mark.thorough)])
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes and descriptors in /proc")
def test_every_accepted_task_ends_once_through_kills_of_workers_and_of_the_server(tmp_path: Path, tasks: int) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    report = soak(Plan(tasks=tasks, workers=4, server_kills=1, worker_pause_seconds=1.0, seed=seed), tmp_path.resolve())
    assert (report.restarts, report.server_kills) == (1, 1)
    assert sum(report.outcomes.values()) == tasks
