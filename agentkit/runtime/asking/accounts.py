"""An account of a call for the person who is asked about it, made of rows alone.

No model writes it: one that explains its own call can be talked into explaining it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic_core import to_json

from agentkit.runtime.asking import briefing, interrupts, policies
from agentkit.runtime.asking.approvers import answering
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord
from agentkit.wire import AgentTool, ChatMessageRole, InterruptContext, InterruptReason, InterruptStatus, ToolType

__all__ = ["account"]

LONGEST_ARGUMENTS: Final = 8_000  # characters
LONGEST_WORDS: Final = 500
_KINDS: Final = {
    ToolType.APP: "runs an app",
    ToolType.AGENT: "asks another agent",
    ToolType.HOOK: "calls a webhook",
    ToolType.HTTP: "makes an HTTP request",
    ToolType.CALL: "makes an HTTP request",
    ToolType.MCP: "calls a tool of an MCP server",
    ToolType.CLIENT: "runs in the program that holds the chat",
    ToolType.INTERNAL: "is a tool of this server itself",
}


def account(tx: Reading, invocation: InvocationRecord) -> str:
    """What the call would do, why a person is asked, who may answer until when, and what was said last."""
    interrupt, chat = interrupts.of_invocation(tx, invocation.id), tx.get(ChatRecord, invocation.chat_id)
    tool = next((each for each in chat.agent.tools or () if each.name == invocation.name), None) if chat else None
    known = briefing.context(tx, interrupt) if interrupt is not None else InterruptContext()
    if interrupt is None:
        return "\n".join([*_what(invocation, known), f"Nobody is asked: it is {invocation.status}."])
    asked = (_what(invocation, known), _why(chat, tool, interrupt), _who(tx, interrupt), _words(known))
    return "\n".join(line for part in asked for line in part)


# -- parts ---------------------------------------------------------------------------------------------------------


def _what(invocation: InvocationRecord, known: InterruptContext) -> Iterator[str]:
    kind = _KINDS.get(invocation.type, str(invocation.type))
    yield f"{invocation.name} {kind}" + (f": {known.target}" if known.target else "") + "."
    if known.description:
        yield f"Its description: {_cut(known.description, LONGEST_WORDS)}"
    arguments = to_json(invocation.arguments, indent=2).decode()
    yield f"With these arguments: {_cut(arguments, LONGEST_ARGUMENTS)}"


def _why(chat: ChatRecord | None, tool: AgentTool | None, interrupt: InterruptRecord) -> Iterator[str]:
    if interrupts.is_unknown_outcome(interrupt):
        yield f"It may have run already: {interrupt.meta.get('why') or 'nobody knows what came of it'}."
        yield "Allow it to run it once more, deny it to leave it, or respond with what came of it."
        return
    if interrupt.reason is InterruptReason.HOOK_GATE:
        said = interrupt.meta.get("reason")
        yield "A hook of the agent wants a person to see it" + (f": {said}" if said else "") + "."
        return
    if interrupt.reason is not InterruptReason.TOOL_APPROVAL:
        yield "The tool asks for an answer."
        return
    policy = policies.policy_of(chat.agent, tool) if chat else None
    if policy is not None and policy.when is not None:
        yield f"It needs an approval because its arguments fit this condition: {to_json(policy.when).decode()}"
    else:
        yield "Every call of this tool needs an approval."
    if policy is not None and policy.judged:
        yield "The program that holds the chat may allow it by a rule of its own."


def _who(tx: Reading, interrupt: InterruptRecord) -> Iterator[str]:
    if interrupt.status is not InterruptStatus.PENDING:
        by = f" by {interrupt.resolved_by}" if interrupt.resolved_by else ""
        yield f"It was answered{by}: {interrupt.decision or interrupt.status}."
        return
    groups = answering(interrupt, now=tx.now)
    yield "Whoever may approve here may answer." if groups is None else f"Members of {', '.join(groups)} may answer."
    if interrupt.escalate_at is not None and not interrupt.is_escalated:
        yield f"From {interrupt.escalate_at} on {', '.join(interrupt.escalate_to or [])} may answer, too."
    if interrupt.expires_at is None:
        yield "It waits for ever."
    else:
        yield f"If nobody answers, it is denied at {interrupt.expires_at}."


def _words(known: InterruptContext) -> Iterator[str]:
    for each in reversed(known.messages):
        if each["role"] == ChatMessageRole.ASSISTANT:
            yield f"The agent's last words: {_cut(each['text'], LONGEST_WORDS)}"
            return


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"
