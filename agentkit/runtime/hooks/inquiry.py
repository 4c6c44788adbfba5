"""Hooks as they are asked: one row for each hook and moment, and what their answers come to. Transaction functions.

The hooks of a moment are asked one after the other, in the agent's order: what one overrides is what the next is told,
and the first that does not allow is the last that is asked. Hooks marked `async` are told, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentkit.runtime.asking import questions
from agentkit.runtime.hooks.definition import OVER, default_of
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import HookCallRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.runtime.states import RUN, is_open
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentHook,
    AgentRunState,
    ApprovalPolicy,
    HookDecision,
    HookEvent,
    HookHandlerType,
    HookInjection,
    HookPayload,
    HookResponse,
    InterruptReason,
)

__all__ = [
    "Verdict",
    "answer",
    "close",
    "forget",
    "has",
    "inject",
    "record",
    "stopped",
    "suspended",
    "tell_end",
    "verdict",
    "wake_key",
]

ENDING: Final = (HookEvent.AGENT_START, HookEvent.AGENT_TURN_START)  # what is denied here is the run itself


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the hooks of a moment came to. `override`: what the last of them put in its place; None: nothing."""

    decision: HookDecision = HookDecision.ALLOW
    reason: str = ""
    override: Any = None

    @property
    def is_denied(self) -> bool:
        """Whether it may not go on as it is."""
        return self.decision is HookDecision.DENY


def wake_key(call_id: str) -> str:
    """What wakes the one who asks a hook."""
    return f"hook:{call_id}"


def has(work: Work, *events: HookEvent) -> bool:
    """Whether the chat's agent has hooks on one of these events."""
    return any(hook.event in events for hook in work.chat.agent.hooks or ())


def verdict(
    work: Work, run: RunRecord, event: HookEvent, resource_id: str, data: Callable[[Any], Mapping[str, Any]]
) -> Verdict | None:
    """What the hooks of this moment say, once all have; asks the next one until then. None: one of them is asked.

    `resource_id`: what the moment is about; `data`: what hooks are told, given what an earlier one put in its place.
    """
    if not has(work, event):
        return Verdict()
    asked = work.tx.find(HookCallRecord, resource_id=resource_id)
    known = {each.position: each for each in asked if each.event is event}
    hooks = [(position, hook) for position, hook in enumerate(work.chat.agent.hooks or ()) if hook.event == event]
    for position, hook in hooks:
        if hook.async_ and position not in known:
            _ask(work, run, hook, position=position, resource_id=resource_id, data=data(None))
    override: Any = None
    for position, hook in hooks:
        row = known.get(position)
        if hook.async_:
            continue
        if row is None or row.hook != hook:
            _ask(work, run, hook, position=position, resource_id=resource_id, data=data(override))
            return None
        if row.decision is None:
            return None
        if row.decision is not HookDecision.ALLOW:
            return Verdict(row.decision, row.reason)
        override = override if row.override is None else row.override
    return Verdict(override=override)


def record(work: Work, row: HookCallRecord, response: HookResponse) -> None:
    """Saves what a hook answered, and the chat goes on. The answer of one that is only told changes nothing."""
    work.tx.clear_wake(wake_key(row.id))
    run = work.tx.get(RunRecord, row.run_id)
    if run is None or not is_open(RUN, run.state):
        work.tx.delete(row)
        return
    if row.is_told:
        work.save(row, decision=HookDecision.ALLOW)  # kept, so that it is told once
        return
    if response.inject is not None:
        run = inject(work, run, response.inject)
    if response.system and response.system not in run.system_added:
        work.save(run, system_added=[*run.system_added, response.system])
    decision = HookDecision(response.decision)
    if decision is HookDecision.SUSPEND:
        asked = _suspend(work, row, response)
        work.save(row, interrupt_id=asked.id, override=response.override)
        work.tell_chat()
    else:
        work.save(row, decision=decision, reason=response.reason, override=response.override)
    work.tx.wake(work.chat.id)


def answer(
    work: Work, interrupt: InterruptRecord, *, is_allowed: bool, reason: str, override: Mapping[str, Any] | None = None
) -> None:
    """A person's answer to what a hook suspended. Says nothing of the interrupt itself."""
    row = suspended(work.tx, interrupt)
    if row is not None:
        decision = HookDecision.ALLOW if is_allowed else HookDecision.DENY
        changed = row.override if override is None else dict(override)
        work.save(row, decision=decision, reason=reason, override=changed)


def suspended(tx: Writing, interrupt: InterruptRecord) -> HookCallRecord | None:
    """The hook whose gate this interrupt is; None where it is gone."""
    return tx.get(HookCallRecord, str(interrupt.meta.get("hook_call_id")))


def inject(work: Work, run: RunRecord, given: HookInjection) -> RunRecord:
    """Puts messages before the model's next answer."""
    place = work.message(run.message_id).order if _is_unasked(work, run) else work.chat.next_order
    kept = list(run.injected)
    for each in _flat(given):
        key = each.dedup_key
        kept = [one for one in kept if key is None or one["dedup_key"] != key]
        until = None if each.ttl_turns is None else run.turns + each.ttl_turns
        kept.append({"content": each.content, "role": each.role, "dedup_key": key, "order": place, "until": until})
    return work.save(run, injected=kept)


def stopped(work: Work, run: RunRecord) -> str | None:
    """Why a hook wants the run to end, as a sentence; None where none does."""
    if not work.chat.agent.hooks:
        return None
    for row in work.tx.find(HookCallRecord, run_id=run.id):
        ends = row.decision is HookDecision.DENY and row.event in ENDING
        if ends or row.decision is HookDecision.STOP:
            return f"stopped by a hook on {row.event}" + (f": {row.reason}" if row.reason else "")
    return None


def close(work: Work, run: RunRecord) -> list[str]:
    """The run is over: nobody is asked for it any more. Returns the chats that were to answer for it."""
    chats: list[str] = []
    for row in work.tx.find(HookCallRecord, run_id=run.id):
        if row.is_told and row.decision is None:
            continue
        if row.decision is None:
            work.tx.clear_wake(wake_key(row.id))
            work.tx.cut(wake_key(row.id))
            chats += [row.execution_id] if row.execution_id else []
        work.tx.delete(row)
    return chats


def forget(work: Work) -> None:
    """The chat goes: what was to be told about it is not."""
    for row in work.tx.find(HookCallRecord, chat_id=work.chat.id):
        work.tx.clear_wake(wake_key(row.id))
        work.tx.cut(wake_key(row.id))
        work.tx.delete(row)


def tell_end(work: Work, run: RunRecord) -> None:
    """Tells the hooks on the end of runs."""
    if not has(work, *OVER):
        return
    ended = {AgentRunState.FAILED: HookEvent.AGENT_ERROR, AgentRunState.COMPLETED: HookEvent.AGENT_COMPLETE}
    events = [ended.get(run.state), None if work.queued() else HookEvent.AGENT_IDLE]
    data = {"state": run.state.value, "error": run.error, "output": run.output, "text": _text(work, run)}
    for position, hook in enumerate(work.chat.agent.hooks or ()):
        if hook.event in events:
            _ask(work, run, hook, position=position, resource_id=run.id, data=data)


# -- parts ---------------------------------------------------------------------------------------------------------


def _ask(
    work: Work, run: RunRecord, hook: AgentHook, *, position: int, resource_id: str, data: Mapping[str, Any]
) -> HookCallRecord:
    payload = HookPayload(
        event=hook.event,
        timestamp=work.tx.now,
        agent_id=work.chat.agent_id,
        chat_id=work.chat.id,
        run_id=run.id,
        turn_count=run.turns,
        data=dict(data),
    )
    row = work.tx.insert(
        HookCallRecord(
            id=new_id(),
            chat_id=work.chat.id,
            run_id=run.id,
            resource_id=resource_id,
            event=HookEvent(hook.event),
            position=position,
            hook=hook,
            payload=payload.to_wire(),
            is_told=bool(hook.async_) or hook.event in OVER,
        )
    )
    work.tx.wake(wake_key(row.id))
    return row


def _suspend(work: Work, row: HookCallRecord, response: HookResponse) -> InterruptRecord:
    """The question whether it may go on; about a call, where it is one's."""
    call = work.tx.get(InvocationRecord, row.resource_id)
    told: dict[str, Any] = {"hook_call_id": row.id, "event": row.event.value, "reason": response.reason}
    if call is not None:
        is_changed = row.event is HookEvent.AGENT_TOOL_CALL and response.override is not None
        arguments = response.override if is_changed else _told(row)
        told |= {"tool_invocation_id": call.id, "tool_name": call.name, "arguments": arguments}
    is_gate = row.hook.type == HookHandlerType.GATE
    if is_gate:
        told["default_resolution"] = default_of(row.hook).value
    return questions.pose(
        work,
        InterruptReason.HOOK_GATE,
        run_id=row.run_id,
        resource_id=call.id if call else row.id,
        meta=told,
        policy=ApprovalPolicy(timeout=row.hook.timeout if is_gate else None),
    )


def _told(row: HookCallRecord) -> Any:
    """The arguments that the hook was told of."""
    return row.payload["data"].get("arguments")


def _is_unasked(work: Work, run: RunRecord) -> bool:
    """Whether the run's message is one that the model has yet to write."""
    message = work.message(run.message_id)
    return not message.content and not work.invocations(message.id)


def _flat(given: HookInjection) -> Iterator[HookInjection]:
    if given.content:
        yield given
    for each in given.items:
        yield from _flat(each)


def _text(work: Work, run: RunRecord) -> str:
    parts = work.message(run.message_id).content
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
