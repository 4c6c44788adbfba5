"""Questions to a person while they are open, and the run that waits for them. Transaction functions.

How they are answered: `agentkit.runtime.asking.interrupts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agentkit.runtime import lineage
from agentkit.runtime.asking import policies
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_id
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.states import INTERRUPT, RUN, InterruptEvent, RunEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentRunState,
    ApprovalPolicy,
    ChatStatus,
    InterruptDecision,
    InterruptReason,
    InterruptResolution,
    InterruptStatus,
)

__all__ = [
    "ASKED_FOR_EVER",
    "answer",
    "ask",
    "carry_on",
    "is_over",
    "pending",
    "pose",
    "shown_hash",
    "withdraw",
    "withdraw_one",
]

ASKED_FOR_EVER: Final = ApprovalPolicy()
"""Whoever may approve answers, and it never expires."""


def ask(
    work: Work,
    invocation: InvocationRecord,
    reason: InterruptReason,
    *,
    meta: Mapping[str, Any] | None = None,
    answer_schema: Mapping[str, Any] | None = None,
    policy: ApprovalPolicy = ASKED_FOR_EVER,
) -> InterruptRecord:
    """Opens a question about this call; `policy` says who answers it until when.

    What is no move of the plan wakes the chat afterwards: the times at which the question is due are looked at then.
    """
    told: dict[str, Any] = {
        "tool_invocation_id": invocation.id,
        "tool_name": invocation.name,
        "arguments": invocation.arguments,
    }
    if policy.judged and reason is InterruptReason.TOOL_APPROVAL:
        told["judged"] = True  # a client's rule for a tool of this name may be another tool's
    return pose(
        work,
        reason,
        run_id=invocation.run_id,
        resource_id=invocation.id,
        meta={**told, **(meta or {})},
        arguments_hash=shown_hash(invocation, meta or {}),
        answer_schema=answer_schema,
        policy=policy,
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
    policy: ApprovalPolicy = ASKED_FOR_EVER,
) -> InterruptRecord:
    """Opens a question about anything of a run; `policy` as for `ask`."""
    return work.ask(
        InterruptRecord(
            id=new_id(),
            owner=work.chat.owner,
            chat_id=work.chat.id,
            chat_path=[*(each.chat_id for each in reversed(lineage.above(work.tx, work.chat.id))), work.chat.id],
            tool_name=str(meta.get("tool_name") or ""),
            run_id=run_id,
            resource_id=resource_id,
            reason=reason,
            arguments_hash=arguments_hash,
            meta=dict(meta),
            answer_schema=dict(answer_schema) if answer_schema is not None else None,
            **policies.due_times(policy, now=work.tx.now),
        )
    )


def pending(work: Work, invocation: InvocationRecord) -> list[InterruptRecord]:
    """What is asked about this call."""
    return work.tx.find(InterruptRecord, resource_id=invocation.id, status=InterruptStatus.PENDING)


def is_over(interrupt: InterruptRecord, *, now: str) -> bool:
    """Whether it is too late for an answer, noticed or not."""
    return interrupt.expires_at is not None and interrupt.expires_at <= now


def answer(work: Work, invocation: InvocationRecord, *, by: str, data: Any, is_declined: bool = False) -> bool:
    """The call's widget was answered, not through the question but with the call's result. False: it has none.

    Raises Fault `invalid_transition` where it is too late for that.
    """
    event = InterruptEvent.DENY if is_declined else InterruptEvent.ALLOW
    asked = [each for each in pending(work, invocation) if each.reason is InterruptReason.WIDGET]
    for interrupt in asked:
        if is_over(interrupt, now=work.tx.now):  # its wake-up denies it in a moment: fail closed
            raise Fault("invalid_transition", f"interrupt {interrupt.id!r} expired at {interrupt.expires_at}")
        work.save(
            interrupt,
            status=after(INTERRUPT, interrupt.status, event),
            resolution=InterruptResolution.DENY if is_declined else InterruptResolution.ALLOW,
            decision=InterruptDecision.REJECTED if is_declined else InterruptDecision.RESPONDED,
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


def shown_hash(invocation: InvocationRecord, meta: Mapping[str, Any]) -> str:
    """What names the call as it is shown: one that may have run before is shown as such, so no older yes is for it.

    A request that approved the call, and that is sent again after the crash does not make it run twice.
    """
    if not meta.get("unknown_outcome"):
        return invocation.arguments_hash
    return hashed(f"{invocation.arguments_hash} unknown outcome of attempt {invocation.attempt}")
