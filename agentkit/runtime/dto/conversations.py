"""Chats, messages, runs, tool calls and interrupts as a client sees them (protocol.md 6.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentkit.runtime import lineage
from agentkit.runtime.dto._common import common
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import (
    ChatRecord,
    InterruptRecord,
    InvocationRecord,
    MessageRecord,
    RunRecord,
)
from agentkit.wire import (
    AgentData,
    AgentRun,
    Chat,
    ChatMessage,
    ChatStatus,
    Interrupt,
    InterruptReason,
    InterruptResourceType,
    InterruptStatus,
    ToolInvocation,
)

__all__ = ["chat", "interrupt", "invocation", "message", "messages", "run"]

RESULT_IN_STREAM = 16_384  # characters; protocol.md 1.7 rule 8: results are cut inside snapshots


def chat(tx: Reading, record: ChatRecord, *, with_messages: bool = False) -> dict[str, Any]:
    """The ChatDTO: always with `status`, `active_run`, `pending_interrupts` and `output` (protocol.md 7.2 rule 5).

    `pending_interrupts` has those of the sub-agents at work too; `children` comes with the messages.
    """
    active = tx.get(RunRecord, record.run_id) if record.run_id else None
    interrupts = _pending(tx, record.id)
    if record.status in (ChatStatus.BUSY, ChatStatus.AWAITING_INPUT):
        interrupts += [asked for each in lineage.below(tx, record.id) for asked in _pending(tx, each.chat.id)]
    body = Chat(
        **common(record),
        status=record.status,
        output=record.output,
        context=record.context,
        name=record.name,
        parent_id=record.parent_id,
        agent_id=record.agent_id,
        agent_version_id=record.agent_version_id,
        agent_data=AgentData.parse(
            {
                "plan_steps": record.plan_steps,
                "memory": record.memory,
                "always_allowed_tools": record.always_allowed_tools,
                "allow_rules": record.allow_rules,
            }
        ),
    ).to_wire()
    body["active_run"] = run(active) if active else None
    body["pending_interrupts"] = [interrupt(each) for each in interrupts]
    if record.parent_invocation_id is not None:
        body["parent_invocation_id"] = record.parent_invocation_id
    if with_messages:
        body["children"] = [chat(tx, each) for each in tx.find(ChatRecord, parent_id=record.id)]
        body["chat_messages"] = [message(tx, each) for each in messages(tx, record.id)]
    else:
        body.pop("chat_messages", None)
    return body


def messages(tx: Reading, chat_id: str) -> list[MessageRecord]:
    """The chat's messages in order; those that wait in the queue last."""
    found = tx.find(MessageRecord, chat_id=chat_id, order_by="order")
    return [each for each in found if each.order >= 0] + [each for each in found if each.order < 0]


def run(record: RunRecord) -> dict[str, Any]:
    """The AgentRunDTO."""
    return AgentRun(
        **common(record),
        chat_id=record.chat_id,
        user_message_id=record.user_message_id,
        state=record.state,
        error=record.error,
        output=record.output,
        finished_at=record.finished_at,
        interrupt_reason=record.interrupt_reason,
        tool_invocation_id=record.invocation_id,
        metadata={"usage": record.usage} if record.usage else None,
    ).to_wire()


def message(
    tx: Reading,
    record: MessageRecord,
    *,
    content: Sequence[Mapping[str, Any]] | None = None,
    cut_results: bool = False,
) -> dict[str, Any]:
    """The ChatMessageDTO with its invocations; `content` overrides the row's while the model is still writing."""
    invocations = tx.find(InvocationRecord, message_id=record.id, order_by="created_at")
    return ChatMessage.parse(
        {
            **common(record),
            "chat_id": record.chat_id,
            "agent_run_id": record.run_id,
            "order": record.order,
            "role": record.role,
            "status": record.status,
            "content": list(record.content if content is None else content),
            "tool_call_id": record.tool_call_id,
            "tool_invocations": [
                invocation(each, cut=cut_results) for each in sorted(invocations, key=lambda each: each.position)
            ],
        }
    ).to_wire()


def invocation(record: InvocationRecord, *, cut: bool = False) -> dict[str, Any]:
    """The ToolInvocationDTO; `cut` is its form in a stream: a long result is shortened, the journal left out."""
    result = record.result
    is_cut = cut and result is not None and len(result) > RESULT_IN_STREAM
    body = ToolInvocation.parse(
        {
            **common(record),
            "chat_message_id": record.message_id,
            "tool_invocation_id": record.call_id,
            "type": record.type,
            "display_name": record.name,
            "function": {"name": record.name, "arguments": record.arguments},
            "status": record.status,
            "result": result[:RESULT_IN_STREAM] if is_cut and result is not None else result,
            "data": record.data,
            "widget": record.widget,
            "execution_id": record.execution_id,
            "attachments": record.files or None,
            "attempt": record.attempt,
            "journal": None if cut else record.journal,
            "approved_by": record.approved_by,
        }
    ).to_wire()
    if is_cut:
        body["result_cut"] = True
    return body


def interrupt(record: InterruptRecord) -> dict[str, Any]:
    """The InterruptDTO, with our fields beside the platform's (`agentkit.wire.Interrupt`)."""
    return Interrupt.parse(
        {
            **common(record),
            "run_id": record.run_id,
            "chat_id": record.chat_id,
            "reason": record.reason,
            "source": "agent",
            "resource_id": record.resource_id,
            "resource_type": _resource_type(record),
            "status": record.status,
            "resolution": record.resolution,
            "resolved_at": record.resolved_at,
            "resolved_data": record.resolved_data,
            "expires_at": record.expires_at,
            "meta": record.meta,
            "arguments_hash": record.arguments_hash,
            "decision": record.decision,
            "resolved_by": record.resolved_by,
            "resolved_as": record.resolved_as,
            "note": record.note,
            "edited_from": record.edited_from,
            "answer_schema": record.answer_schema,
            "approvers": record.approvers,
            "remind_at": record.remind_at,
            "reminders": record.reminders,
            "escalate_at": record.escalate_at,
            "is_escalated": record.is_escalated,
            "chat_path": record.chat_path or [record.chat_id],
        }
    ).to_wire()


def _pending(tx: Reading, chat_id: str) -> list[InterruptRecord]:
    return tx.find(InterruptRecord, chat_id=chat_id, status=InterruptStatus.PENDING)


def _resource_type(record: InterruptRecord) -> InterruptResourceType:
    """A hook asks about a call, or about the run at the moment of its own."""
    is_hooks = record.reason is InterruptReason.HOOK_GATE and "tool_invocation_id" not in record.meta
    return InterruptResourceType.HOOK_EVENT if is_hooks else InterruptResourceType.TOOL_INVOCATION
