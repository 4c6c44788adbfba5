"""What a run may use, and what it has used together with the sub-agents below it. Transaction functions."""

from __future__ import annotations

from dataclasses import dataclass

from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import BudgetRecord, RunRecord

__all__ = ["Limits", "add", "calls_left", "spent"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use.

    `turns` (model calls) and `tool_calls` count for a run and its sub-agents together; `depth`: how deep those may
    nest. `output_attempts`: finish calls that miss the schema. `parallel_tools`: calls of a run that are carried out
    at a time; `tool_seconds`: how long one attempt may take where its tool does not say; `result_chars`: how much of a
    result the model gets at once, the rest is a file.
    """

    turns: int = 50
    output_attempts: int = 3
    tool_calls: int = 500
    depth: int = 4
    parallel_tools: int = 8
    tool_seconds: float = 300.0
    result_chars: int = 50_000


def add(tx: Writing, run: RunRecord, *, turns: int = 0, tool_calls: int = 0) -> None:
    """So much more is used. A model call counts when it begins, so that those side by side keep to the limit."""
    found = tx.get(BudgetRecord, _id(run))
    if found is None:
        tx.insert(BudgetRecord(id=_id(run), turns=turns, tool_calls=tool_calls))
    else:
        tx.update(found.but(turns=found.turns + turns, tool_calls=found.tool_calls + tool_calls))


def spent(tx: Reading, run: RunRecord, limits: Limits) -> str | None:
    """The limit that the run has reached, as a sentence; None while it may go on."""
    found = tx.get(BudgetRecord, _id(run))
    if found is None:
        return None
    whose = "the run and its sub-agents" if run.budget_id or found.turns != run.turns else "the run"
    if found.turns >= limits.turns:
        return f"{whose} asked the model {found.turns} times, which is the limit"
    if found.tool_calls > limits.tool_calls:
        return f"{whose} asked for {found.tool_calls} tool calls; the limit is {limits.tool_calls}"
    return None


def calls_left(tx: Reading, run: RunRecord, limits: Limits) -> int:
    """How many tools the run may still call."""
    found = tx.get(BudgetRecord, _id(run))
    return max(limits.tool_calls - (found.tool_calls if found else 0), 0)


def _id(run: RunRecord) -> str:
    return run.budget_id or run.id
