"""Questions to a person while they are open, and the run that waits for them. Transaction functions.

How they are answered: `agentkit.runtime.asking.interrupts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.runtime import lineage
from agentkit.runtime.ids import new_id
from agentkit.runtime.moments import later
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.states import INTERRUPT, RUN, InterruptEvent, RunEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import AgentRunState, ChatStatus, InterruptReason, InterruptResolution, InterruptStatus

__all__ = ["answer", "ask", "carry_on", "pending", "withdraw", "withdraw_one"]


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
    told = {"tool_invocation_id": invocation.id, "tool_name": invocation.name, "arguments": invocation.arguments}
    return pose(
        work,
        reason,
        run_id=invocation.run_id,
        resource_id=invocation.id,
        meta={**told, **(meta or {})},
        arguments_hash=invocation.arguments_hash,
        answer_schema=answer_schema,
        seconds=seconds,
    )


def pose(
    work: Work,
    reason: InterruptReason,
    *,
    run_id: str,
    resource_id: str,
    meta: Mapping[str, Any],
    arguments_hash: str = "",
    answer_schema: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> InterruptRecord:
    """Opens a question about anything of a run; `seconds` as for `ask`."""
    return work.ask(
        InterruptRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=run_id,
            resource_id=resource_id,
            reason=reason,
            expires_at=later(work.tx.now, seconds) if seconds else None,
            arguments_hash=arguments_hash,
            meta=dict(meta),
            answer_schema=dict(answer_schema) if answer_schema is not None else None,
        )
    )


def pending(work: Work, invocation: InvocationRecord) -> list[InterruptRecord]:
    """What is asked about this call."""
    return work.tx.find(InterruptRecord, resource_id=invocation.id, status=InterruptStatus.PENDING)


def answer(work: Work, invocation: InvocationRecord, *, by: str, data: Any) -> bool:
    """The call's widget was answered, not through the question but with the call's result. False: it has none."""
    asked = [each for each in pending(work, invocation) if each.reason is InterruptReason.WIDGET]
    for interrupt in asked:
        work.save(
            interrupt,
            status=after(INTERRUPT, interrupt.status, InterruptEvent.ALLOW),
            resolution=InterruptResolution.ALLOW,
            resolved_at=work.tx.now,
            resolved_by=by,
            resolved_data=data,
        )
    return bool(asked)


def withdraw(work: Work, invocation: InvocationRecord) -> bool:
    """The call is over: nobody need answer its questions any more. False: it had none."""
    asked = pending(work, invocation)
    for interrupt in asked:
        withdraw_one(work, interrupt)
    return bool(asked)


def withdraw_one(work: Work, interrupt: InterruptRecord) -> None:
    """Nobody need answer this question any more."""
    status = after(INTERRUPT, interrupt.status, InterruptEvent.CANCEL)
    saved = work.save(interrupt, status=status, resolved_at=work.tx.now)
    work.tx.tell(saved.id, saved.version)


def carry_on(work: Work) -> None:
    """A run that was parked works again, and everybody hears of it; so do those that it works for, from the top."""
    run = work.open_run
    if run is not None and run.state in (AgentRunState.INPUT_REQUIRED, AgentRunState.AUTH_REQUIRED):
        call = lineage.asking(work.tx, work.chat)
        above = Work.of(work.tx, call.chat_id) if call else None
        if above is not None:
            carry_on(above)
        work.save_chat(status=ChatStatus.BUSY)
        run = work.save(run, state=after(RUN, run.state, RunEvent.ANSWERED), interrupt_reason=None)
        work.tell_run(run)
        work.tell_chat()
