"""Questions to a person while they are open, and the run that waits for them. Transaction functions.

How they are answered: `agentkit.runtime.interrupts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from agentkit.runtime.ids import new_id
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.states import INTERRUPT, RUN, InterruptEvent, RunEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import AgentRunState, ChatStatus, InterruptReason, InterruptStatus

__all__ = ["ask", "carry_on", "pending", "withdraw"]


def ask(
    work: Work,
    invocation: InvocationRecord,
    reason: InterruptReason,
    *,
    meta: Mapping[str, Any] | None = None,
    answer_schema: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> InterruptRecord:
    """Opens a question about this call; unanswered for `seconds` it is denied, None: it waits for ever."""
    return work.tx.insert(
        InterruptRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=invocation.run_id,
            resource_id=invocation.id,
            reason=reason,
            expires_at=_later(work.tx.now, seconds) if seconds else None,
            arguments_hash=invocation.arguments_hash,
            meta={
                "tool_invocation_id": invocation.id,
                "tool_name": invocation.name,
                "arguments": invocation.arguments,
                **(meta or {}),
            },
            answer_schema=dict(answer_schema) if answer_schema is not None else None,
        )
    )


def pending(work: Work, invocation: InvocationRecord) -> list[InterruptRecord]:
    """What is asked about this call."""
    return work.tx.find(InterruptRecord, resource_id=invocation.id, status=InterruptStatus.PENDING)


def withdraw(work: Work, invocation: InvocationRecord) -> None:
    """The call is over: nobody need answer its questions any more."""
    for interrupt in pending(work, invocation):
        status = after(INTERRUPT, interrupt.status, InterruptEvent.CANCEL)
        saved = work.save(interrupt, status=status, resolved_at=work.tx.now)
        work.tx.tell(saved.id, saved.version)


def carry_on(work: Work) -> None:
    """A run that was parked works again, and everybody hears of it; so does the one that asked it, if any."""
    run = work.open_run
    if run is not None and run.state in (AgentRunState.INPUT_REQUIRED, AgentRunState.AUTH_REQUIRED):
        work.save_chat(status=ChatStatus.BUSY)
        run = work.save(run, state=after(RUN, run.state, RunEvent.ANSWERED), interrupt_reason=None)
        work.tell_run(run)
        work.tell_chat()


def _later(now: str, seconds: float) -> str:
    moment = datetime.fromisoformat(now.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
