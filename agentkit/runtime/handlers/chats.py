"""Chats, and the results of tool calls."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.handlers._streams import cursor, framed, items
from agentkit.runtime.routes import Asked
from agentkit.runtime.streams import Stream
from agentkit.wire import CursorListRequest


@routes.on(api.LIST_CHATS)
async def list_chats(asked: Asked) -> Any:
    """A page of chats."""
    return await asked.platform.chats.page(asked.owner, asked.body)


@routes.on(api.GET_CHAT)
async def get_chat(asked: Asked) -> Any:
    """With its messages."""
    return await asked.platform.chats.get(asked.owner, asked["chat_id"])


@routes.on(api.DELETE_CHAT)
async def delete_chat(asked: Asked) -> None:
    """Stopped first."""
    await asked.platform.chats.delete(asked.owner, asked["chat_id"])


@routes.on(api.CHAT_STATUS)
async def chat_status(asked: Asked) -> Any:
    """As pollers need it."""
    return await asked.platform.chats.status(asked.owner, asked["chat_id"])


@routes.on(api.CHAT_MESSAGES)
async def chat_messages(asked: Asked) -> Any:
    """A page, newest first."""
    wanted = CursorListRequest(limit=asked.number("limit"), cursor=asked.request.query_params.get("cursor"))
    return await asked.platform.chats.messages(asked.owner, asked["chat_id"], wanted)


@routes.on(api.STREAM_CHAT)
async def stream_chat(asked: Asked) -> Stream:
    """Without end, from the cursor on: `?after=`, or what an EventSource sends when it comes back."""
    frames = await asked.platform.chats.watch(asked.owner, asked["chat_id"], after=cursor(asked))
    return items(asked, framed(frames))


@routes.on(api.STOP_CHAT)
async def stop_chat(asked: Asked) -> None:
    """Nothing to do when idle."""
    await asked.platform.chats.stop(asked.owner, asked["chat_id"])


@routes.on(api.SUBMIT_TOOL_RESULT)
async def submit_tool_result(asked: Asked) -> Any:
    """A client's answer to its tool, or a webhook's callback."""
    token = asked.request.query_params.get("token")
    if token is not None:
        return await asked.platform.chats.call_back(asked["invocation_id"], asked.body, token=token)
    return await asked.platform.chats.submit_result(
        asked.owner, asked["invocation_id"], asked.body, by=asked.approver.name, once=asked.once
    )


@routes.on(api.UNKNOWN_OUTCOME)
async def unknown_outcome(asked: Asked) -> Any:
    """A client that began a call and cannot tell what came of it."""
    return await asked.platform.chats.report_unknown(asked.owner, asked["invocation_id"], asked.body, once=asked.once)
