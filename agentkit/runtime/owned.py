"""The rows of an owner: what belongs to another one does not exist."""

from __future__ import annotations

from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import ChatRecord, InvocationRecord

__all__ = ["find_chat", "owned_chat", "owned_invocation"]


def find_chat(tx: Reading, chat_id: str, owner: str) -> ChatRecord | None:
    """The chat, where it is this owner's."""
    chat = tx.get(ChatRecord, chat_id)
    return chat if chat is not None and chat.owner == owner else None


def owned_chat(tx: Reading, chat_id: str, owner: str) -> ChatRecord:
    """The owner's chat. Raises Fault `not_found`."""
    chat = find_chat(tx, chat_id, owner)
    if chat is None:
        raise Fault("not_found", f"chat {chat_id!r} not found")
    return chat


def owned_invocation(tx: Reading, invocation_id: str, owner: str) -> tuple[ChatRecord, InvocationRecord]:
    """A tool call in a chat of the owner's, behind that chat. Raises Fault `not_found`."""
    invocation = tx.get(InvocationRecord, invocation_id)
    chat = find_chat(tx, invocation.chat_id, owner) if invocation else None
    if invocation is None or chat is None:
        raise Fault("not_found", f"tool invocation {invocation_id!r} not found")
    return chat, invocation
