"""The requests of a turn, as calls: what both drivers send."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from agentkit.client.config import ClientConfig
from agentkit.protocol import api, flows
from agentkit.protocol.effects import (
    Allow,
    FetchChat,
    OpenStream,
    PostDecision,
    PostResult,
    PostRun,
    PostUnknown,
)
from agentkit.protocol.endpoint import Call
from agentkit.wire import (
    Decide,
    FileRef,
    Interrupt,
    RejectTool,
    ResolveInterrupt,
    RunAgentRequest,
    SubmitToolResult,
    ToolInvocation,
    UnknownOutcome,
)

__all__ = ["allow", "fetch_chat", "post_decision", "post_result", "post_run", "post_unknown", "stream_path"]

KEY = "idempotency_key"  # of a turn's body: taken out before it travels


def post_run(effect: PostRun, config: ClientConfig) -> Call[Any]:
    """POST /agents/run; with a key, and so repeatable, where the platform honours one."""
    body = dict(effect.body)
    key = str(body.pop(KEY))
    call = api.RUN_AGENT.call(RunAgentRequest.parse(body)).raw
    return call.keyed(key) if config.honours_keys else call


def post_result(effect: PostResult, *, failed: bool, files: Sequence[FileRef] = ()) -> Call[None]:
    """POST /tools/{id}; the key names the invocation and the result, so a repeated answer is one answer."""
    more = {"failed": True} if failed else {"attachments": [each.to_wire() for each in files]} if files else {}
    body = SubmitToolResult.parse({"result": effect.result, **more})
    digest = hashlib.sha256(effect.result.encode("utf-8", "surrogatepass")).hexdigest()
    return api.SUBMIT_TOOL_RESULT.call(body, invocation_id=effect.id).keyed(f"{effect.id}-{digest[:32]}")


def post_decision(effect: PostDecision) -> Call[Any]:
    """POST /tools/{id}/invoke or /reject."""
    proof = {"arguments_hash": effect.arguments_hash, "by": effect.by}
    if effect.approve:
        body = {"note": effect.note or None, "arguments": effect.args, "always": effect.always, **proof}
        told = {name: value for name, value in body.items() if value is not None}
        return api.INVOKE_TOOL.call(Decide.parse(told), invocation_id=effect.id)
    told = {name: value for name, value in proof.items() if value is not None}
    return api.REJECT_TOOL.call(RejectTool.parse({"reason": effect.note, **told}), invocation_id=effect.id)


def post_unknown(effect: PostUnknown) -> Call[ToolInvocation]:
    """POST /tools/{id}/unknown; said twice it is one question."""
    body = UnknownOutcome(attempt=effect.attempt, note=effect.note)
    return api.UNKNOWN_OUTCOME.call(body, invocation_id=effect.id).keyed(f"unknown-{effect.id}-{effect.attempt}")


def allow(effect: Allow) -> Call[Interrupt]:
    """POST /interrupts/{id}/resolve: by its id, so that no other question about the same call is answered."""
    body = {"decision": "allow", "note": effect.note, "arguments_hash": effect.arguments_hash or None}
    told = ResolveInterrupt.parse({name: value for name, value in body.items() if value is not None})
    return api.RESOLVE_INTERRUPT.call(told, interrupt_id=effect.id).keyed(f"rule-{effect.id}")


def fetch_chat(effect: FetchChat) -> flows.Flow[tuple[dict[str, Any], list[Any] | None, list[dict[str, Any]]]]:
    """GET /chats/{id} and its kin: the chat, its messages where they came apart, and what is in the chats below."""
    if effect.with_children:
        return (yield from flows.chat_with_children(effect.chat_id))
    chat, messages = yield from flows.chat_with_messages(effect.chat_id)
    return chat, messages, []


def stream_path(effect: OpenStream) -> tuple[str, dict[str, str]]:
    """Path and query of GET /chats/{id}/stream, from the cursor where there is one."""
    query = {} if effect.after is None else {"after": effect.after}
    call = api.STREAM_CHAT.call(chat_id=effect.chat_id, query=query)
    return call.path, dict(call.query)
