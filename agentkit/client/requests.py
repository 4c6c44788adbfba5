"""The requests of a turn, as calls: what both drivers send."""

from __future__ import annotations

import hashlib
from typing import Any

from agentkit.client.config import ClientConfig
from agentkit.protocol import api
from agentkit.protocol.effects import OpenStream, PostDecision, PostResult, PostRun
from agentkit.protocol.endpoint import Call
from agentkit.wire import Decide, RejectTool, RunAgentRequest, SubmitToolResult

__all__ = ["post_decision", "post_result", "post_run", "stream_path"]

KEY = "idempotency_key"  # of a turn's body: taken out before it travels


def post_run(effect: PostRun, config: ClientConfig) -> Call[Any]:
    """POST /agents/run; with a key, and so repeatable, where the platform honours one."""
    body = dict(effect.body)
    key = str(body.pop(KEY))
    call = api.RUN_AGENT.call(RunAgentRequest.parse(body)).raw
    return call.keyed(key) if config.honours_keys else call


def post_result(effect: PostResult, *, failed: bool) -> Call[None]:
    """POST /tools/{id}; the key names the invocation and the result, so a repeated answer is one answer."""
    body = SubmitToolResult.parse({"result": effect.result} | ({"failed": True} if failed else {}))
    digest = hashlib.sha256(effect.result.encode("utf-8", "surrogatepass")).hexdigest()
    return api.SUBMIT_TOOL_RESULT.call(body, invocation_id=effect.id).keyed(f"{effect.id}-{digest[:32]}")


def post_decision(effect: PostDecision) -> Call[Any]:
    """POST /tools/{id}/invoke or /reject."""
    if effect.approve:
        body = {"note": effect.note or None, "arguments": effect.args}
        told = {name: value for name, value in body.items() if value is not None}
        return api.INVOKE_TOOL.call(Decide.parse(told), invocation_id=effect.id)
    return api.REJECT_TOOL.call(RejectTool(reason=effect.note), invocation_id=effect.id)


def stream_path(effect: OpenStream) -> tuple[str, dict[str, str]]:
    """Path and query of GET /chats/{id}/stream, from the cursor where there is one."""
    query = {} if effect.after is None else {"after": effect.after}
    call = api.STREAM_CHAT.call(chat_id=effect.chat_id, query=query)
    return call.path, dict(call.query)
