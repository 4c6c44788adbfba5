"""Calls that were begun and that nobody knows the outcome of: a person is asked, and nothing is done twice meanwhile.

Allowed, the call is made once more; denied, the model reads that nobody knows; with an answer, that is its result.
What becomes known after all (the process was slow and not gone) settles the call, and the question is withdrawn.
"""

from __future__ import annotations

from typing import Final

from agentkit.runtime import invocations, journal
from agentkit.runtime.asking import policies, questions
from agentkit.runtime.faults import Fault
from agentkit.runtime.journal import AttemptEnd
from agentkit.runtime.records import InvocationRecord
from agentkit.runtime.states import INVOCATION, InvocationEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import InterruptReason, ToolInvocationStatus, ToolType, UnknownOutcome

__all__ = ["UNKNOWN", "ask", "report"]

UNKNOWN: Final = "unknown_outcome"
"""The member of a question's `meta` that says so; `why` beside it is a sentence, `attempt` the one in question."""

CLIENT_GONE: Final = "the client stopped while it carried this call out"
LONGEST_NOTE: Final = 1_000  # characters


def ask(work: Work, invocation: InvocationRecord, why: str) -> InvocationRecord:
    """Asks a person what to do about the call, by the approval policy of its tool; the run waits."""
    if questions.withdraw(work, invocation):  # whoever asked is gone
        questions.carry_on(work)
    tool = invocations.definition(work, invocation.name)
    policy = policies.policy_of(work.chat.agent, tool).model_copy(update={"judged": False})  # by a person, always
    meta = {UNKNOWN: True, "why": why, "attempt": invocation.attempt}
    questions.ask(work, invocation, InterruptReason.TOOL_APPROVAL, meta=meta, policy=policy)
    asked = work.save(
        invocation,
        status=after(INVOCATION, invocation.status, InvocationEvent.UNKNOWN),
        engine_id=None,
        callback_until=None,
        **journal.end(invocation, AttemptEnd.UNKNOWN, at=work.tx.now),
    )
    work.tx.clear_wake(invocations.wake_key(invocation.id))
    work.tell_message(invocation.message_id)
    work.tell_chat()
    work.tx.wake(work.chat.id)
    return asked


def report(work: Work, invocation: InvocationRecord, body: UnknownOutcome) -> InvocationRecord:
    """A client says that it began this attempt and cannot tell what came of it. The same report again is fine.

    Raises Fault `conflict` for an attempt that is not the one under way, `invalid_request` for what no client runs.
    """
    if invocation.type is not ToolType.CLIENT:
        raise Fault("invalid_request", f"{invocation.name!r} is no client tool: this server knows what came of it")
    if body.attempt != invocation.attempt:
        raise Fault("conflict", f"attempt {body.attempt} is over: invocation {invocation.id!r} is at another one")
    if invocation.status is ToolInvocationStatus.AWAITING_APPROVAL and journal.is_unknown(invocation):
        return invocation
    if invocation.status is not ToolInvocationStatus.AWAITING_INPUT:
        raise Fault("conflict", f"invocation {invocation.id!r} is {invocation.status.value}: no client has it")
    note = (body.note or "").strip()[:LONGEST_NOTE]
    return ask(work, invocation, f"{CLIENT_GONE}: {note}" if note else CLIENT_GONE)
