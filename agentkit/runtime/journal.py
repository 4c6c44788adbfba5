"""The journal of a tool call: every attempt is recorded before its effect may begin, and how it ended. No I/O.

An entry is `{attempt, started_at, engine_id, ended_at, end}`, the last two once it has ended; `engine_id` names the
process that had it, null where a client did. What these functions return are changes for the call's row.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from agentkit.runtime.records import InvocationRecord

__all__ = ["MOST_ENTRIES", "AttemptEnd", "begin", "end", "is_unknown", "unknown"]

MOST_ENTRIES: Final = 32  # of one call; the oldest go


class AttemptEnd(StrEnum):
    """How an attempt ended."""

    COMMITTED = "committed"  # it has a result, which is the call's
    FAILED = "failed"
    UNKNOWN = "unknown"  # its process is gone, or its answer was lost
    NOT_DONE = "not_done"  # its process is gone, and whoever knows says that it came to nothing
    HANDED_OVER = "handed_over"  # it goes on with a client, a webhook, a task or a chat; ends again with the call
    CANCELLED = "cancelled"


def begin(
    invocation: InvocationRecord,
    *,
    at: str,
    engine_id: str | None = None,
    last: AttemptEnd = AttemptEnd.UNKNOWN,
    first: AttemptEnd | None = None,
) -> dict[str, Any]:
    """One attempt more, by this process. `last` is how the one before it ended, `first` how this one did at once."""
    attempt = invocation.attempt + 1
    entry: dict[str, Any] = {"attempt": attempt, "started_at": at, "engine_id": engine_id}
    entries = [*end(invocation, last, at=at).get("journal", invocation.journal), entry]
    if first is not None:
        entries[-1] = _ended(entry, first, at=at)
    return {"attempt": attempt, "engine_id": engine_id, "journal": entries[-MOST_ENTRIES:]}


def end(invocation: InvocationRecord, how: AttemptEnd, *, at: str, is_known_after_all: bool = False) -> dict[str, Any]:
    """The end of the last attempt; nothing where it has one, other than that it went on elsewhere.

    `is_known_after_all`: even where it was believed unknown.
    """
    if not invocation.journal:
        return {}
    *before, last = invocation.journal
    may_end = [None, AttemptEnd.HANDED_OVER] + [AttemptEnd.UNKNOWN] * is_known_after_all
    return {"journal": [*before, _ended(last, how, at=at)]} if last.get("end") in may_end else {}


def is_unknown(invocation: InvocationRecord) -> bool:
    """Whether nobody knows what came of the last attempt."""
    return bool(invocation.journal) and invocation.journal[-1].get("end") == AttemptEnd.UNKNOWN


def unknown(invocation: InvocationRecord) -> int:
    """How many attempts did not live to tell what came of them."""
    return sum(each.get("end") in (AttemptEnd.UNKNOWN, AttemptEnd.NOT_DONE) for each in invocation.journal)


def _ended(entry: dict[str, Any], how: AttemptEnd, *, at: str) -> dict[str, Any]:
    return {**entry, "ended_at": at, "end": how.value}
