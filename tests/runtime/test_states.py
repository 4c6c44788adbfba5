"""The three tables, as literal pairs: what may happen in which state, and where it leads."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from agentkit.runtime.states import (
    INTERRUPT,
    INVOCATION,
    RUN,
    InterruptEvent,
    InvocationEvent,
    Refused,
    RunEvent,
    after,
    is_open,
)
from agentkit.wire import AgentRunState, InterruptStatus, ToolInvocationStatus

TABLES: list[tuple[Any, type[Enum], type[Enum]]] = [
    (RUN, AgentRunState, RunEvent),
    (INVOCATION, ToolInvocationStatus, InvocationEvent),
    (INTERRUPT, InterruptStatus, InterruptEvent),
]


@pytest.mark.parametrize(("table", "states", "events"), TABLES, ids=["run", "invocation", "interrupt"])
def test_a_pair_that_is_not_in_the_table_is_refused(table: Any, states: type[Enum], events: type[Enum]) -> None:
    for state in states:
        for event in events:
            if event in table.get(state, {}):
                assert after(table, state, event) is table[state][event]
            else:
                with pytest.raises(Refused, match=event.name):
                    after(table, state, event)


@pytest.mark.parametrize(("table", "states", "events"), TABLES, ids=["run", "invocation", "interrupt"])
def test_every_event_is_used_and_every_open_state_can_end(table: Any, states: type[Enum], events: type[Enum]) -> None:
    assert {event for row in table.values() for event in row} == set(events)
    for state in table:
        seen, todo = {state}, [state]
        while todo:
            for follows in table.get(todo.pop(), {}).values():
                if follows not in seen:
                    seen.add(follows)
                    todo.append(follows)
        assert any(not is_open(table, each) for each in seen)


@pytest.mark.parametrize(
    "over",
    [AgentRunState.COMPLETED, AgentRunState.FAILED, AgentRunState.CANCELED, AgentRunState.REJECTED],
)
def test_a_run_that_is_over_stays_over(over: AgentRunState) -> None:
    assert not is_open(RUN, over)


def test_every_open_run_and_invocation_can_be_stopped() -> None:
    assert all(RunEvent.STOP in row for row in RUN.values())
    assert all(InvocationEvent.STOP in row for row in INVOCATION.values())
