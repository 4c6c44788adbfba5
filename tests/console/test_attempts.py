"""How often somebody may be wrong."""

from __future__ import annotations

import pytest

from agentkit.runtime.console.attempts import MOST_ADDRESSES, Attempts
from agentkit.runtime.faults import Fault


def test_the_eleventh_failure_within_a_minute_is_refused_until_the_first_is_a_minute_old() -> None:
    attempts = Attempts()
    for second in range(10):
        attempts.begin("a", now=second)
    with pytest.raises(Fault, match="try again in 50 s") as caught:
        attempts.begin("a", now=10)
    assert (caught.value.code, caught.value.members["retry_after"]) == ("rate_limited", 50)
    attempts.begin("b", now=10)
    attempts.begin("a", now=60)


def test_attempts_under_way_count_so_that_many_at_once_are_no_way_around() -> None:
    attempts = Attempts()
    for _ in range(10):
        attempts.begin("a", now=0)
    attempts.succeeded("a")
    attempts.begin("a", now=0)
    with pytest.raises(Fault):
        attempts.begin("a", now=0)


def test_no_number_of_addresses_fills_the_memory() -> None:
    attempts = Attempts()
    for number in range(MOST_ADDRESSES + 50):
        attempts.begin(str(number), now=0)
    assert len(attempts._made) == MOST_ADDRESSES
