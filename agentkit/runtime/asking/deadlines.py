"""What is due while nobody answers: reminders, other people to ask, and in the end a denial. Transaction functions.

All three are moments in the question's row; its chat is woken at the earliest. What was missed while no server ran
counts once.
"""

from __future__ import annotations

from typing import Any

from agentkit.runtime.asking import interrupts, questions
from agentkit.runtime.asking.approvers import answering
from agentkit.runtime.moments import later
from agentkit.runtime.records import InterruptRecord
from agentkit.runtime.work import Work

__all__ = ["earliest", "meet"]


def meet(work: Work) -> None:
    """Does what is due by now with every question of the chat."""
    is_changed = False
    for interrupt in work.pending_interrupts():
        if questions.is_over(interrupt, now=work.tx.now):
            interrupts.expire(work, interrupt)
        elif changes := _due(interrupt, now=work.tx.now):
            work.save(interrupt, **changes)
            is_changed = True
    if is_changed:
        work.tell_chat()


def earliest(work: Work) -> str | None:
    """When something is due next; None: never."""
    return min((moment for each in work.pending_interrupts() for moment in _moments(each)), default=None)


# -- parts ---------------------------------------------------------------------------------------------------------


def _due(interrupt: InterruptRecord, *, now: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if _is_to_escalate(interrupt) and (interrupt.escalate_at or "") <= now:
        changes |= {"is_escalated": True, "approvers": answering(interrupt, now=now)}
    if interrupt.remind_at is not None and interrupt.remind_at <= now:
        next_one = later(now, interrupt.remind_seconds) if interrupt.remind_seconds else None
        changes |= {"reminders": interrupt.reminders + 1, "remind_at": next_one}
    return changes


def _moments(interrupt: InterruptRecord) -> list[str]:
    escalate_at = interrupt.escalate_at if _is_to_escalate(interrupt) else None
    return [each for each in (interrupt.expires_at, interrupt.remind_at, escalate_at) if each is not None]


def _is_to_escalate(interrupt: InterruptRecord) -> bool:
    return interrupt.escalate_at is not None and not interrupt.is_escalated
