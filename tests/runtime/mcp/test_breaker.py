"""When a server that does not come up is tried again."""

from __future__ import annotations

from agentkit.runtime.mcp.breaker import Breaker


def test_it_opens_at_the_third_failure_and_waits_twice_as_long_each_time() -> None:
    breaker, waits = Breaker(), []
    for _ in range(11):
        breaker.failed(100.0, "it is down")
        waits.append(breaker.left(100.0))
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_it_is_tried_again_when_the_time_is_over_and_forgets_all_when_it_is_there() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, "it is down")
    assert (breaker.left(3.0), breaker.left(4.0)) == (1.0, 0.0)
    breaker.succeeded()
    breaker.failed(4.0, "down once more")
    assert breaker.left(4.0) == 0.0
