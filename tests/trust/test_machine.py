"""10,000 random steps of people, clients, clocks and crashes, beside a model that says what must be true."""

from __future__ import annotations

import unittest

import pytest
from hypothesis import HealthCheck, settings

from tests.trust.machine import Approving

SHARDS = 4
WANTED = 10_000 // SHARDS  # steps of each
EXAMPLES = 8  # at a time
STEPS = 100  # of an example, at most


def shard(number: int) -> type[Approving]:
    """A machine of its own, so that they run side by side."""
    return type(f"Approving{number}", (Approving,), {"steps": 0})


MACHINES = [shard(number) for number in range(SHARDS)]


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_whatever_happens_the_rows_are_what_the_model_says(machine: type[Approving]) -> None:
    machine.TestCase.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=False,  # or the same examples would come again
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    while machine.steps < WANTED:
        before = machine.steps
        case: unittest.TestCase = machine.TestCase()
        case.debug()
        assert machine.steps > before
