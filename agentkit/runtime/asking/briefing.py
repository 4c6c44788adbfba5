"""What a person needs to know to answer a question: the tool, where the call would go, and what was said last."""

from __future__ import annotations

import re
from typing import Final

from agentkit.runtime.asking import rules
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord, MessageRecord
from agentkit.wire import (
    AgentTool,
    AgentToolConfig,
    AppToolConfig,
    ChatMessageRole,
    HookToolConfig,
    HttpToolConfig,
    InterruptContext,
    InterruptReason,
    InterruptStatus,
    McpToolConfig,
)

__all__ = ["context"]

MOST_MESSAGES: Final = 4
LOOKED_AT: Final = 50
LONGEST_TEXT: Final = 2_000  # characters of one message
_USER: Final = re.compile(r"^(\w+://)[^/@]*@")
_SPOKEN: Final = (ChatMessageRole.USER, ChatMessageRole.ASSISTANT)


def context(tx: Reading, interrupt: InterruptRecord) -> InterruptContext:
    """The context of a question; of one about no call without what is said of a tool."""
    chat = tx.get(ChatRecord, interrupt.chat_id)
    if chat is None:
        return InterruptContext()
    call = tx.get(InvocationRecord, interrupt.resource_id)
    tool = next((each for each in chat.agent.tools or () if each.name == interrupt.tool_name), None)
    config = tool.config if tool else None
    return InterruptContext(
        agent_name=chat.name or chat.agent_ref or "",
        tool_type=call.type if call else "",
        display_name=(tool.display_name if tool else "") or interrupt.tool_name,
        description=tool.description if tool else "",
        input_schema=config.get("input_schema") if config is not None else None,
        target=_target(tool) if tool else "",
        messages=_said(tx, chat, call),
        always=rules.options(call) if call and _may_be_allowed_for_good(interrupt) else [],
    )


# -- parts ---------------------------------------------------------------------------------------------------------


def _may_be_allowed_for_good(interrupt: InterruptRecord) -> bool:
    is_open = interrupt.status is InterruptStatus.PENDING and interrupt.reason is InterruptReason.TOOL_APPROVAL
    return is_open and not interrupt.meta.get("unknown_outcome")


def _target(tool: AgentTool) -> str:
    """Where the call would go, as far as its definition says: a URL without its query, a reference, a server."""
    match tool.config:
        case HttpToolConfig() as http:
            return f"{http.method or 'POST'} {_place(http.url)}"
        case HookToolConfig() as hook:
            return f"POST {_place(hook.url)}"
        case AppToolConfig() as app:
            return (app.ref or app.id or "") + (f" ({app.function})" if app.function else "")
        case AgentToolConfig() as agent:
            return agent.ref or agent.id or ""
        case McpToolConfig() as mcp:
            return mcp.server or mcp.integration_id or ""
        case _:
            return ""


def _place(url: str) -> str:
    """The URL's template without user, query and fragment, which may hold what is nobody's business."""
    return _USER.sub(r"\1", re.split(r"[?#]", url)[0])


def _said(tx: Reading, chat: ChatRecord, call: InvocationRecord | None) -> list[dict[str, str]]:
    """The last texts up to the message that made the call, oldest first."""
    at = tx.get(MessageRecord, call.message_id) if call else None
    found = tx.find(MessageRecord, chat_id=chat.id, order_by="order", descending=True, limit=LOOKED_AT)
    texts = [
        {"role": str(each.role), "text": text}
        for each in found
        if each.role in _SPOKEN and each.order >= 0 and (at is None or each.order <= at.order) and (text := _text(each))
    ]
    return texts[:MOST_MESSAGES][::-1]


def _text(message: MessageRecord) -> str:
    text = "".join(str(part.get("text") or "") for part in message.content if part.get("type") == "text")
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"
