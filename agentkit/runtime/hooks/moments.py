"""The moments of a run at which hooks are asked, and what is done about their verdicts. Transaction functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from agentkit.runtime.asking import questions
from agentkit.runtime.hooks import inquiry
from agentkit.runtime.hooks.inquiry import Verdict
from agentkit.runtime.records import InvocationRecord, MessageRecord, RunRecord
from agentkit.runtime.work import Work
from agentkit.wire import (
    ChatMessageContentType,
    HookEvent,
    HookInjection,
    InterruptReason,
    ToolInvocationStatus,
)

__all__ = ["before_answer", "is_gated", "object_to", "of_call", "of_turn", "results", "take_results"]

_ENDED = (ToolInvocationStatus.COMPLETED, ToolInvocationStatus.FAILED)


def before_answer(work: Work, run: RunRecord, message: MessageRecord) -> bool:
    """Whether the model may be asked. A verdict that it may not has ended the run by now."""
    if run.turns == 0:
        said = {"text": _text(work.message(run.user_message_id))}
        if inquiry.verdict(work, run, HookEvent.AGENT_START, run.id, lambda _: said) is None:
            return False
    told = {"message_id": message.id}
    return inquiry.verdict(work, run, HookEvent.AGENT_TURN_START, message.id, lambda _: told) is not None


def of_call(work: Work, invocation: InvocationRecord) -> Verdict | None:
    """Whether the call may be made, and with which arguments; None while a hook is asked."""
    if not inquiry.has(work, HookEvent.AGENT_TOOL_CALL):
        return Verdict()
    run = work.tx.get(RunRecord, invocation.run_id)
    if run is None:
        return Verdict()

    def told(override: Any) -> Mapping[str, Any]:
        return {**_described(invocation), "arguments": invocation.arguments if override is None else override}

    return inquiry.verdict(work, run, HookEvent.AGENT_TOOL_CALL, invocation.id, told)


def results(work: Work, run: RunRecord, made: Iterable[InvocationRecord]) -> list[InterruptReason | None]:
    """What is waited for before the model may read the results: one entry for each, None: a hook itself."""
    waiting = [call for call in made if call.status in _ENDED and _of_result(work, run, call) is None]
    asked = [questions.pending(work, call) for call in waiting]
    return [each[0].reason if each else None for each in asked]


def take_results(work: Work, run: RunRecord, made: Sequence[InvocationRecord]) -> None:
    """Puts what the hooks said in place of the results."""
    touched = False
    for call in made:
        found = _of_result(work, run, call) if call.status in _ENDED else None
        if found is None or not (found.is_denied or found.override is not None):
            continue
        data = None
        if found.is_denied:
            text = "a hook withheld the result" + (f": {found.reason}" if found.reason else "")
        elif isinstance(found.override, str):
            text = found.override
        else:
            text, data = to_json(found.override).decode(), found.override
        if text != call.result:
            work.save(call, result=text, data=data, files=[])
            touched = True
    if touched:
        work.tell_message(run.message_id)


def of_turn(work: Work, run: RunRecord, made: Iterable[InvocationRecord]) -> Verdict | None:
    """Whether the model's answer, its calls ended, is one to go on with; None while a hook is asked."""
    message = work.message(run.message_id)
    data = {
        "message_id": message.id,
        "text": _text(message),
        "tool_calls": [{**_described(call), "arguments": call.arguments, "result": call.result} for call in made],
    }
    return inquiry.verdict(work, run, HookEvent.AGENT_TURN_COMPLETE, message.id, lambda _: data)


def object_to(work: Work, run: RunRecord, reason: str) -> RunRecord:
    """Tells the model what is wrong with its answer."""
    said = "Your last answer was not accepted" + (f": {reason}" if reason else "; try another way.")
    return inquiry.inject(work, run, HookInjection(content=said))


def is_gated(work: Work, run: RunRecord) -> bool:
    """Whether a hook has a person asked."""
    return any(each.run_id == run.id and each.reason is InterruptReason.HOOK_GATE for each in work.pending_interrupts())


# -- parts ---------------------------------------------------------------------------------------------------------


def _of_result(work: Work, run: RunRecord, call: InvocationRecord) -> Verdict | None:
    def told(override: Any) -> Mapping[str, Any]:
        result = call.result if override is None else override
        more = {"arguments": call.arguments, "status": call.status.value, "result": result}
        return {**_described(call), **more}

    return inquiry.verdict(work, run, HookEvent.AGENT_TOOL_RESULT, call.id, told)


def _described(call: InvocationRecord) -> dict[str, Any]:
    return {"tool_invocation_id": call.id, "tool_name": call.name, "tool_type": call.type.value}


def _text(message: MessageRecord) -> str:
    return "".join(
        str(part.get("text") or "") for part in message.content if part.get("type") == ChatMessageContentType.TEXT
    )
