"""Questions to a person: answered once. The first answer wins by compare-and-set, later ones learn who won."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.protocol.lines import is_object
from agentkit.runtime import dto, invocations
from agentkit.runtime.asking import questions
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.executors.internal import widget
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import inquiry
from agentkit.runtime.patterns import misses
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.states import INTERRUPT, InterruptEvent, after
from agentkit.runtime.work import Work
from agentkit.wire import HookEvent, InterruptReason, InterruptResolution, InterruptStatus, ToolInvocationStatus

__all__ = ["Decision", "expire_due", "of_invocation", "resolve"]

EXPIRY = Approver("expiry")
CLOSED = "the user closed the widget without an answer"
_RESOLUTIONS = {
    InterruptEvent.ALLOW: InterruptResolution.ALLOW,
    InterruptEvent.DENY: InterruptResolution.DENY,
    InterruptEvent.EXPIRE: InterruptResolution.DENY,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said. `arguments` edits the call; `arguments_hash` proves what was shown."""

    allow: bool
    by: Approver
    note: str = ""
    arguments: Mapping[str, Any] | None = None
    arguments_hash: str | None = None
    always: bool = False
    data: Any = None  # the answer to a question that is no approval


def of_invocation(tx: Reading, invocation_id: str) -> InterruptRecord | None:
    """The latest question about this invocation."""
    found = tx.find(InterruptRecord, resource_id=invocation_id, descending=True, limit=1)
    return found[0] if found else None


def resolve(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer. Raises Fault `already_resolved` with the winner, `conflict` where other arguments were shown."""
    _refuse_late(interrupt, now=work.tx.now)
    if interrupt.reason is InterruptReason.WIDGET:
        return _answer_widget(work, interrupt, decision)
    if interrupt.reason is InterruptReason.HOOK_GATE:
        return _pass(work, interrupt, decision)
    if interrupt.reason is not InterruptReason.TOOL_APPROVAL:
        return _answer(work, interrupt, decision)
    invocation = _invocation(work, interrupt)
    if decision.arguments_hash is not None and decision.arguments_hash != interrupt.arguments_hash:
        raise Fault("conflict", "the call has other arguments than the ones this answer is for; read it again")
    if decision.allow:
        invocation = _edited(work, invocation, decision)
    event = InterruptEvent.ALLOW if decision.allow else InterruptEvent.DENY
    resolved = _close(work, interrupt, event, by=decision.by, note=decision.note)
    if decision.allow:
        invocations.go_on(work, invocation)
    else:
        invocations.deny(work, invocation, expired=False, reason=decision.note)
    if decision.always:
        allowed = dict.fromkeys([*work.chat.always_allowed_tools, invocation.name])
        work.save_chat(always_allowed_tools=list(allowed))
    _carry_on(work, invocation)
    return resolved


def expire_due(work: Work) -> None:
    """Denies what nobody answered in time: fail closed."""
    for interrupt in work.pending_interrupts():
        if not _is_due(interrupt, work.tx.now):
            continue
        closed = _close(work, interrupt, InterruptEvent.EXPIRE, by=EXPIRY, note="")
        if interrupt.reason is InterruptReason.TOOL_APPROVAL:
            invocation = invocations.deny(work, _invocation(work, interrupt), expired=True, reason="")
            _carry_on(work, invocation)
        elif interrupt.reason is InterruptReason.HOOK_GATE:
            is_allowed = closed.resolution is InterruptResolution.ALLOW
            inquiry.answer(work, closed, is_allowed=is_allowed, reason="nobody answered in time")
            questions.carry_on(work)
        else:
            _tell_asker(work, closed)
            questions.carry_on(work)


# -- parts ---------------------------------------------------------------------------------------------------------


def _is_due(interrupt: InterruptRecord, now: str) -> bool:
    return interrupt.expires_at is not None and interrupt.expires_at <= now


def _refuse_late(interrupt: InterruptRecord, *, now: str) -> None:
    if interrupt.status is InterruptStatus.PENDING:
        if _is_due(interrupt, now):  # its wake-up denies it in a moment: fail closed
            raise Fault("already_resolved", f"interrupt {interrupt.id!r} expired at {interrupt.expires_at}: deny")
        return
    winner = dto.interrupt(interrupt)
    said = interrupt.resolution.value if interrupt.resolution else interrupt.status.value
    by = f" by {interrupt.resolved_by}" if interrupt.resolved_by else ""
    raise Fault("already_resolved", f"interrupt {interrupt.id!r} was resolved{by}: {said}", winner=winner)


def _invocation(work: Work, interrupt: InterruptRecord) -> InvocationRecord:
    invocation = work.tx.get(InvocationRecord, interrupt.resource_id)
    if invocation is None or invocation.status is not ToolInvocationStatus.AWAITING_APPROVAL:
        raise Fault("invalid_transition", f"interrupt {interrupt.id!r} waits for nothing any more")
    return invocation


def _edited(work: Work, invocation: InvocationRecord, decision: Decision) -> InvocationRecord:
    if decision.arguments is None:
        return invocation
    tool = invocations.definition(work, invocation.name)
    schema = invocations.input_schema(tool) if tool else None
    arguments = dict(decision.arguments)
    if schema is not None and (problems := misses(schema, arguments)):
        raise Fault("validation_error", f"the edited arguments do not fit {invocation.name!r}", errors=problems)
    hashed = invocations.arguments_hash(invocation.name, arguments)
    return work.save(invocation, arguments=arguments, arguments_hash=hashed)


def _answer(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer to what a tool asks while it runs: whoever waits for it is told."""
    schema = interrupt.answer_schema
    if decision.allow and schema is not None and (problems := misses(schema, decision.data)):
        raise Fault("validation_error", "`data` does not fit what was asked for", errors=problems)
    event = InterruptEvent.ALLOW if decision.allow else InterruptEvent.DENY
    resolved = _close(work, interrupt, event, by=decision.by, note=decision.note, data=decision.data)
    _tell_asker(work, resolved)
    questions.carry_on(work)
    work.tell_chat()
    work.tx.wake(work.chat.id)
    return resolved


def _answer_widget(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """What a person did with a widget, or that nobody will do anything: the call's result."""
    invocation = work.tx.get(InvocationRecord, interrupt.resource_id)
    if invocation is None or invocation.status is not ToolInvocationStatus.AWAITING_INPUT:
        raise Fault("invalid_transition", f"interrupt {interrupt.id!r} waits for nothing any more")
    said, data = CLOSED + (f": {decision.note}" if decision.note else ""), None
    if decision.allow:
        if not is_object(decision.data):
            raise Fault(
                "invalid_request",
                "this is a widget, not an approval: answer with `data`: {action, form_data}, or with POST /tools/{id}",
            )
        said, data = widget.answer(invocation.widget or {}, decision.data)
    event = InterruptEvent.ALLOW if decision.allow else InterruptEvent.DENY
    resolved = _close(work, interrupt, event, by=decision.by, note=decision.note, data=data)
    invocations.conclude(work, invocation, said, failed=not decision.allow, data=data)
    work.tell_chat()
    return resolved


def _pass(work: Work, interrupt: InterruptRecord, decision: Decision) -> InterruptRecord:
    """The answer to what a hook suspended: the run goes on with it as with the hook's own."""
    if decision.always:
        raise Fault("invalid_request", "this is a hook's question, which is asked every time; answer allow or deny")
    if decision.arguments_hash is not None and decision.arguments_hash != interrupt.arguments_hash:
        raise Fault("conflict", "the call has other arguments than the ones this answer is for; read it again")
    if decision.allow and decision.arguments is not None:
        _check_gated(work, interrupt, decision.arguments)
    event = InterruptEvent.ALLOW if decision.allow else InterruptEvent.DENY
    resolved = _close(work, interrupt, event, by=decision.by, note=decision.note, data=decision.data)
    inquiry.answer(work, resolved, is_allowed=decision.allow, reason=decision.note, override=decision.arguments)
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
    tool = invocations.definition(work, invocation.name)
    schema = invocations.input_schema(tool) if tool else None
    if schema is not None and (problems := misses(schema, arguments)):
        raise Fault("validation_error", f"the edited arguments do not fit {invocation.name!r}", errors=problems)


def _tell_asker(work: Work, interrupt: InterruptRecord) -> None:
    work.tx.tell(interrupt.id, interrupt.version)


def _close(
    work: Work, interrupt: InterruptRecord, event: InterruptEvent, *, by: Approver, note: str, data: Any = None
) -> InterruptRecord:
    return work.save(
        interrupt,
        resolved_data=data,
        status=after(INTERRUPT, interrupt.status, event),
        resolution=_resolution(interrupt, event),
        resolved_at=work.tx.now,
        resolved_by=by.name,
        resolved_as=by.said,
        note=note,
    )


def _carry_on(work: Work, invocation: InvocationRecord) -> None:
    """The run works again, and everybody hears of it."""
    questions.carry_on(work)
    work.tell_message(invocation.message_id)
    work.tell_chat()
    work.tx.wake(work.chat.id)


def _resolution(interrupt: InterruptRecord, event: InterruptEvent) -> InterruptResolution:
    """A gate may be one that opens where nobody answers."""
    default = interrupt.meta.get("default_resolution") if interrupt.reason is InterruptReason.HOOK_GATE else None
    return InterruptResolution(default) if event is InterruptEvent.EXPIRE and default else _RESOLUTIONS[event]
