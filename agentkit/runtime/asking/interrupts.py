"""Questions to a person: answered once. The first answer wins by compare-and-set, later ones learn who won."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic_core import to_json

from agentkit.runtime import dto, invocations
from agentkit.runtime.asking import questions, rules
from agentkit.runtime.asking.approvers import Approver, answering
from agentkit.runtime.executors import internal
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import inquiry
from agentkit.runtime.patterns import misses
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.states import INTERRUPT, InterruptEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import (
    Always,
    HookEvent,
    InterruptDecision,
    InterruptReason,
    InterruptResolution,
    InterruptStatus,
    ToolInvocationStatus,
)

__all__ = ["Answer", "Decision", "expire", "is_unknown_outcome", "of_invocation", "resolve"]

EXPIRY: Final = Approver("expiry")
UNANSWERED: Final = "nobody answered in time"
_RESOLUTIONS: Final = {
    InterruptEvent.ALLOW: InterruptResolution.ALLOW,
    InterruptEvent.DENY: InterruptResolution.DENY,
    InterruptEvent.EXPIRE: InterruptResolution.DENY,
}


class Answer(StrEnum):
    """What a question can be answered with."""

    ALLOW = "allow"
    DENY = "deny"
    RESPOND = "respond"  # `data` is what the call would have come to, or what was asked for


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said. `arguments` edits the call; `arguments_hash` proves what was shown."""

    answer: Answer
    by: Approver
    note: str = ""
    arguments: Mapping[str, Any] | None = None
    arguments_hash: str | None = None
    always: Always | None = None
    data: Any = None

    @property
    def event(self) -> InterruptEvent:
        """What it does to the question."""
        return InterruptEvent.DENY if self.answer is Answer.DENY else InterruptEvent.ALLOW


def of_invocation(tx: Reading, invocation_id: str) -> InterruptRecord | None:
    """The latest question about this invocation."""
    found = tx.find(InterruptRecord, resource_id=invocation_id, descending=True, limit=1)
    return found[0] if found else None


def is_unknown_outcome(interrupt: InterruptRecord) -> bool:
    """Whether the call that it is about may have run already."""
    return bool(interrupt.meta.get("unknown_outcome"))


def resolve(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer.

    Raises Fault `forbidden` where it is not theirs to answer, `already_resolved` with the winner, `conflict` where
    other arguments were shown, `validation_error` and `invalid_request` for answers that are none.
    """
    decision.by.check(answering(interrupt, now=work.tx.now))
    _refuse_late(interrupt, now=work.tx.now)
    _refuse_other(interrupt, decision)
    _refuse_senseless(interrupt, decision)
    match interrupt.reason:
        case InterruptReason.TOOL_APPROVAL:
            return _decide(work, interrupt, decision)
        case InterruptReason.WIDGET:
            return _answer_widget(work, interrupt, decision)
        case InterruptReason.HOOK_GATE:
            return _pass(work, interrupt, decision)
        case _:
            return _answer(work, interrupt, decision)


def expire(work: Work, interrupt: InterruptRecord) -> None:
    """Denies what nobody answered in time: fail closed."""
    closed = _close(work, interrupt, InterruptEvent.EXPIRE, InterruptDecision.EXPIRED, by=EXPIRY)
    match interrupt.reason:
        case InterruptReason.TOOL_APPROVAL:
            invocation = invocations.deny(work, _invocation(work, interrupt), expired=True, reason="")
            _carry_on(work, invocation)
        case InterruptReason.WIDGET:
            invocations.conclude(work, _shown_widget(work, interrupt), UNANSWERED, failed=True)
        case InterruptReason.HOOK_GATE:
            is_allowed = closed.resolution is InterruptResolution.ALLOW
            inquiry.answer(work, closed, is_allowed=is_allowed, reason=UNANSWERED)
            questions.carry_on(work)
        case _:
            _tell_asker(work, closed)
            questions.carry_on(work)


# -- what is no answer -----------------------------------------------------------------------------------------------


def _refuse_late(interrupt: InterruptRecord, *, now: str) -> None:
    if interrupt.status is InterruptStatus.PENDING:
        if questions.is_over(interrupt, now=now):  # its wake-up denies it in a moment: fail closed
            expired = interrupt.but(**_closed(interrupt, InterruptEvent.EXPIRE, InterruptDecision.EXPIRED, by=EXPIRY))
            said = f"interrupt {interrupt.id!r} expired at {interrupt.expires_at}: deny"
            raise Fault("already_resolved", said, winner=dto.interrupt(expired))
        return
    said = (interrupt.decision or interrupt.resolution or interrupt.status).value
    by = f" by {interrupt.resolved_by}" if interrupt.resolved_by else ""
    raise Fault(
        "already_resolved", f"interrupt {interrupt.id!r} was resolved{by}: {said}", winner=dto.interrupt(interrupt)
    )


def _refuse_other(interrupt: InterruptRecord, decision: Decision) -> None:
    """An answer is good for exactly what was shown."""
    if decision.arguments_hash is not None and decision.arguments_hash != interrupt.arguments_hash:
        raise Fault("conflict", "the call has other arguments than the ones this answer is for; read it again")


def _refuse_changed(interrupt: InterruptRecord, invocation: InvocationRecord) -> None:
    """A yes is good for the call that was shown, and not for what somebody has made of its row since."""
    is_shown = questions.shown_hash(invocation, interrupt.meta) == interrupt.arguments_hash
    if not (is_shown and invocations.is_whole(invocation)):
        said = f"the call {invocation.id!r} was changed in the store since it was shown; reject it, and find out why"
        raise Fault("conflict", said)


def _refuse_senseless(interrupt: InterruptRecord, decision: Decision) -> None:
    """Members that do not go with the answer, or with the question, could mean that another one was meant."""
    reason, answer = interrupt.reason, decision.answer
    is_about_call = reason in (InterruptReason.TOOL_APPROVAL, InterruptReason.HOOK_GATE)
    if decision.arguments is not None and not (is_about_call and answer is Answer.ALLOW):
        raise Fault("invalid_request", "`arguments` edits a call that is allowed; send it with decision allow")
    if decision.arguments is not None and is_unknown_outcome(interrupt):
        raise Fault(
            "invalid_request",
            "this call may have run already: allow it as it was, so that it is not another one; no `arguments`",
        )
    if decision.always is not None and reason is InterruptReason.HOOK_GATE:
        raise Fault("invalid_request", "this is a hook's question, which is asked every time; answer allow or deny")
    if decision.always is not None and (reason is not InterruptReason.TOOL_APPROVAL or answer is not Answer.ALLOW):
        raise Fault("invalid_request", "`always` goes with decision allow, for a call that needs an approval")
    if decision.always is not None and is_unknown_outcome(interrupt):
        raise Fault(
            "invalid_request", "this call may have run already: whether it runs again is asked every time; no `always`"
        )
    if decision.data is not None and reason is InterruptReason.TOOL_APPROVAL and answer is Answer.ALLOW:
        raise Fault("invalid_request", "`data` is a result: send it with decision respond; `arguments` edit the call")
    if answer is Answer.RESPOND and reason is InterruptReason.HOOK_GATE:
        raise Fault("invalid_request", "this is a hook's question: it has no result to give; answer allow or deny")
    if answer is Answer.RESPOND and decision.data is None:
        raise Fault("invalid_request", "decision respond needs `data`: a text, or any other JSON but null")


# -- approvals ---------------------------------------------------------------------------------------------------------


def _decide(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    invocation = _invocation(work, interrupt)
    match decision.answer:
        case Answer.ALLOW:
            return _approve(work, interrupt, invocation, decision)
        case Answer.RESPOND:
            return _respond(work, interrupt, invocation, decision)
        case Answer.DENY:
            rejected = InterruptDecision.REJECTED
            resolved = _close(work, interrupt, decision.event, rejected, by=decision.by, note=decision.note)
            _carry_on(work, invocations.deny(work, invocation, expired=False, reason=decision.note))
            return resolved


def _approve(work: Work, interrupt: InterruptRecord, shown: InvocationRecord, decision: Decision) -> InterruptRecord:
    """The call is made, as shown or as edited; later ones like it as well, where they are always allowed."""
    _refuse_changed(interrupt, shown)
    invocation = _edited(work, shown, decision.arguments)
    is_edited = invocation.arguments_hash != shown.arguments_hash
    resolved = _close(
        work,
        interrupt,
        decision.event,
        InterruptDecision.EDITED if is_edited else InterruptDecision.APPROVED,
        by=decision.by,
        note=decision.note,
        data=dict(invocation.arguments) if is_edited else None,
        edited_from=shown.arguments if is_edited else None,
    )
    if decision.always is not None:
        rules.add(work, invocation, decision.always, by=decision.by)
    _carry_on(work, invocations.go_on(work, work.save(invocation, approved_by=decision.by.name)))
    return resolved


def _respond(
    work: Work, interrupt: InterruptRecord, invocation: InvocationRecord, decision: Decision
) -> InterruptRecord:
    """The call is not made: what the person says is its result."""
    data = decision.data
    resolved = _close(
        work,
        interrupt,
        decision.event,
        InterruptDecision.RESPONDED,
        by=decision.by,
        note=decision.note,
        data=data,
    )
    text, told = (data, None) if isinstance(data, str) else (to_json(data).decode(), data)
    invocations.conclude(work, invocation, text, data=told)
    work.tell_chat()
    return resolved


def _invocation(work: Work, interrupt: InterruptRecord) -> InvocationRecord:
    invocation = work.tx.get(InvocationRecord, interrupt.resource_id)
    if invocation is None or invocation.status is not ToolInvocationStatus.AWAITING_APPROVAL:
        raise Fault("invalid_transition", f"interrupt {interrupt.id!r} waits for nothing any more")
    return invocation


def _edited(work: Work, invocation: InvocationRecord, arguments: Mapping[str, Any] | None) -> InvocationRecord:
    """The call as it is to be made; the very same one where the arguments say what was shown."""
    if arguments is None or invocations.arguments_hash(invocation.name, arguments) == invocation.arguments_hash:
        return invocation
    _check_fit(work, invocation, arguments)
    return invocations.with_arguments(work, invocation, arguments)


def _check_fit(work: Work, invocation: InvocationRecord, arguments: Mapping[str, Any]) -> None:
    tool = invocations.definition(work, invocation.name)
    schema = invocations.input_schema(tool) if tool else None
    if schema is not None and (problems := misses(schema, arguments)):
        raise Fault("validation_error", f"the edited arguments do not fit {invocation.name!r}", errors=problems)


# -- other questions ---------------------------------------------------------------------------------------------------


def _answer(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer to what a tool asks while it runs: whoever waits for it is told."""
    schema, is_denied = interrupt.answer_schema, decision.answer is Answer.DENY
    if not is_denied and schema is not None and (problems := misses(schema, decision.data)):
        raise Fault("validation_error", "`data` does not fit what was asked for", errors=problems)
    has_data = decision.data is not None
    said = InterruptDecision.RESPONDED if has_data else InterruptDecision.APPROVED
    said = InterruptDecision.REJECTED if is_denied else said
    resolved = _close(work, interrupt, decision.event, said, by=decision.by, note=decision.note, data=decision.data)
    _tell_asker(work, resolved)
    questions.carry_on(work)
    work.tell_chat()
    work.tx.wake(work.chat.id)
    return resolved


def _answer_widget(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """What a person did with a widget, or that nobody will do anything: the call's result."""
    invocation = _shown_widget(work, interrupt)
    if decision.answer is Answer.DENY:
        given = internal.Answered(internal.declined(invocation, decision.note), is_declined=True)
    else:
        given = internal.answered(invocation, decision.data)
    event = InterruptEvent.DENY if given.is_declined else InterruptEvent.ALLOW
    said = InterruptDecision.REJECTED if given.is_declined else InterruptDecision.RESPONDED
    resolved = _close(work, interrupt, event, said, by=decision.by, note=decision.note, data=given.data)
    invocations.conclude(work, invocation, given.text, failed=given.is_declined, data=given.data)
    work.tell_chat()
    return resolved


def _shown_widget(work: Work, interrupt: InterruptRecord) -> InvocationRecord:
    invocation = work.tx.get(InvocationRecord, interrupt.resource_id)
    if invocation is None or invocation.status is not ToolInvocationStatus.AWAITING_INPUT:
        raise Fault("invalid_transition", f"interrupt {interrupt.id!r} waits for nothing any more")
    return invocation


def _pass(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer to what a hook suspended: the run goes on with it as with the hook's own."""
    is_allowed, arguments = decision.answer is Answer.ALLOW, decision.arguments
    is_edited = arguments is not None and arguments != interrupt.meta.get("arguments")
    if arguments is not None:
        _check_gated(work, interrupt, arguments)
    said = InterruptDecision.EDITED if is_edited else InterruptDecision.APPROVED
    resolved = _close(
        work,
        interrupt,
        decision.event,
        said if is_allowed else InterruptDecision.REJECTED,
        by=decision.by,
        note=decision.note,
        data=dict(arguments) if is_edited and arguments is not None else decision.data,
        edited_from=interrupt.meta.get("arguments") if is_edited else None,
    )
    inquiry.answer(work, resolved, is_allowed=is_allowed, reason=decision.note, override=arguments)
    questions.carry_on(work)
    work.tell_chat()
    work.tx.wake(work.chat.id)
    return resolved


def _check_gated(work: Work, interrupt: InterruptRecord, arguments: Mapping[str, Any]) -> None:
    """Refuses arguments for what is no call that is about to be made, and those that do not fit."""
    row = inquiry.suspended(work.tx, interrupt)
    invocation = work.tx.get(InvocationRecord, interrupt.resource_id)
    if row is None or row.event is not HookEvent.AGENT_TOOL_CALL or invocation is None:
        raise Fault("invalid_request", f"interrupt {interrupt.id!r} is about no call; send no `arguments`")
    _check_fit(work, invocation, arguments)


# -- closing -----------------------------------------------------------------------------------------------------------


def _close(
    work: Work,
    interrupt: InterruptRecord,
    event: InterruptEvent,
    decision: InterruptDecision,
    *,
    by: Approver,
    note: str = "",
    data: Any = None,
    edited_from: Mapping[str, Any] | None = None,
) -> InterruptRecord:
    """The one answer, saved by compare-and-set: of two at once, one is read anew and told who won."""
    return work.save(
        interrupt,
        **_closed(interrupt, event, decision, by=by),
        resolved_at=work.tx.now,
        note=note,
        resolved_data=data,
        edited_from=dict(edited_from) if edited_from is not None else None,
    )


def _closed(
    interrupt: InterruptRecord, event: InterruptEvent, decision: InterruptDecision, *, by: Approver
) -> dict[str, Any]:
    return {
        "status": after(INTERRUPT, interrupt.status, event),
        "resolution": _resolution(interrupt, event),
        "decision": decision,
        "resolved_by": by.name,
        "resolved_as": by.said,
    }


def _resolution(interrupt: InterruptRecord, event: InterruptEvent) -> InterruptResolution:
    """A gate may be one that opens where nobody answers."""
    default = interrupt.meta.get("default_resolution") if interrupt.reason is InterruptReason.HOOK_GATE else None
    return InterruptResolution(default) if event is InterruptEvent.EXPIRE and default else _RESOLUTIONS[event]


def _tell_asker(work: Work, interrupt: InterruptRecord) -> None:
    work.tx.tell(interrupt.id, interrupt.version)


def _carry_on(work: Work, invocation: InvocationRecord) -> None:
    """The run works again, and everybody hears of it."""
    questions.carry_on(work)
    work.tell_message(invocation.message_id)
    work.tell_chat()
    work.tx.wake(work.chat.id)
