"""Tools of type `hook`: a POST to somebody's webhook, which answers at once or calls back (protocol.md 6.5)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final
from urllib.parse import quote

from pydantic_core import from_json, to_json

from agentkit.errors import ToolDefinitionError
from agentkit.protocol.signing import SIGNATURE, signature
from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure, content
from agentkit.runtime.executors.credentials import Redaction, SecretSource
from agentkit.runtime.executors.http import READ_SECONDS, check_template, requirements, send, url_of, values_of
from agentkit.runtime.faults import Fault
from agentkit.runtime.ids import hashed, new_secret
from agentkit.runtime.invocations import wake_key
from agentkit.runtime.moments import later
from agentkit.runtime.outbound.egress import Guard
from agentkit.runtime.outbound.fetching import Answer, Fetcher, Outgoing, shown
from agentkit.runtime.outbound.templating import NoValue
from agentkit.runtime.records import InvocationRecord
from agentkit.runtime.states import INVOCATION, InvocationEvent, after
from agentkit.runtime.work import Work
from agentkit.tools.http import check_url
from agentkit.wire import AgentTool, HookToolConfig, ToolInvocationStatus, ToolType

__all__ = ["CALLBACK_SECONDS", "HookExecutor"]

CALLBACK_SECONDS: Final = 3_600.0  # how long a webhook may take to call back, where the tool has no timeout
MOST_TOKENS: Final = 16  # of one call, one for each attempt; the oldest go
ACKNOWLEDGED: Final = {"success": True}  # an answer of just this: the result comes later


class HookExecutor:
    """Calls webhooks. `public_url` is where they reach this server; without it they are told the path alone."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.HOOK,)

    def __init__(self, secrets: SecretSource, *, guard: Guard, public_url: str | None = None) -> None:
        self._secrets = secrets
        self._public_url = (public_url or "").rstrip("/")
        self._fetcher = Fetcher(guard)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """While entered, calls may be carried out."""
        try:
            yield
        finally:
            await self._fetcher.aclose()

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool as it is. Raises Fault for what is no URL, and for a secret that is not there."""
        config = _config(tool)
        try:
            check_url(config.url, what=f"tool {tool.name!r}")
        except ToolDefinitionError as problem:
            raise Fault("validation_error", str(problem), errors=[{"path": "url", "message": str(problem)}]) from None
        check_template(tool, config.url, where="url")
        name = _secret_name(config)
        await requirements(self._secrets, owner, secrets=[name] if name else [], what=tool.name)
        return [tool]

    def is_stale(self, tool: AgentTool) -> bool:
        """Never: it is bound as it is."""
        return False

    def is_idempotent(self, call: Execution) -> bool:
        """No: who is called may do anything."""
        return False

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced | Elsewhere:
        """Posts the call. The answer is the result, unless it says that the result comes later."""
        config = _config(call.tool)
        secret = await self._secret(config, call.owner)
        redaction = Redaction([secret] if secret else [])
        try:
            url = url_of(config.url, values_of(call))
        except NoValue as problem:
            raise ToolFailure(f"{call.tool.name}: {problem}", had_effect=False) from None
        token = new_secret()
        told = await desk.change(call, lambda work, invocation: _await_callback(work, invocation, call, token))
        body = to_json({**told, **self._described(call, token)})
        headers = {"Content-Type": "application/json", "Idempotency-Key": call.idempotency_key, **_proof(secret, body)}
        request = Outgoing("POST", url, headers, body, read_seconds=call.tool.timeout or READ_SECONDS, max_redirects=0)
        answer = await send(self._fetcher, request, redaction=redaction)
        if not answer.is_success:
            raise content.failure(answer, what=f"webhook {shown(url)}", redaction=redaction)
        if _is_acknowledged(answer):
            return Elsewhere(start=lambda work, invocation: _waiting(work, invocation, _seconds(call)))
        return await content.produced(answer, call=call, desk=desk, redaction=redaction)

    async def _secret(self, config: HookToolConfig, owner: str) -> str | None:
        name = _secret_name(config)
        secret = await self._secrets.secret(owner, name) if name else None
        if name and secret is None:
            raise ToolFailure(f"the secret {name!r} is not set; a person has to add it", had_effect=False)
        return secret

    def _described(self, call: Execution, token: str) -> dict[str, Any]:
        path = f"/tools/{quote(call.invocation_id, safe='')}?token={quote(token, safe='')}"
        return {
            "tool_invocation_id": call.invocation_id,
            "hook_name": call.tool.name,
            "chat_id": call.chat_id,
            "run_id": call.run_id,
            "callback_url": self._public_url + path,
            "callback_method": "POST",
            "arguments": dict(call.arguments),
        }


# -- parts ---------------------------------------------------------------------------------------------------------


def _config(tool: AgentTool) -> HookToolConfig:
    if tool.hook is None:
        raise Fault("validation_error", f"tool {tool.name!r}: type 'hook' needs a member 'hook'")
    return tool.hook


def _secret_name(config: HookToolConfig) -> str | None:
    return config.secret or config.secret_ref or None  # the older and the newest name (protocol.md 6.7)


def _seconds(call: Execution) -> float:
    return call.tool.timeout or CALLBACK_SECONDS


def _await_callback(work: Work, invocation: InvocationRecord, call: Execution, token: str) -> dict[str, Any]:
    """Opens the door for the callback before anybody knows of it: one may come before the POST is answered.

    Should this process die, the deadline recorded here ends the call.
    """
    opened = _waiting(work, invocation, 2 * _seconds(call))  # the POST may take its time, and the callback too
    tokens = [*(invocation.callback_token or "").split(), hashed(token)]  # an answer to an earlier attempt is one, too
    work.save(opened, callback_token=" ".join(tokens[-MOST_TOKENS:]))
    work.tell_message(invocation.message_id)
    chat = work.chat
    return {"agent_id": chat.agent_id, "agent_version_id": chat.agent_version_id, "timestamp": work.tx.now}


def _waiting(work: Work, invocation: InvocationRecord, seconds: float) -> InvocationRecord:
    """The invocation as one that somebody will answer, within so many seconds."""
    key, until, status = wake_key(invocation.id), later(work.tx.now, seconds), invocation.status
    work.tx.clear_wake(key)
    work.tx.wake(key, at=until)
    if status is not ToolInvocationStatus.AWAITING_INPUT:
        status = after(INVOCATION, status, InvocationEvent.HAND_OVER)
    waiting: InvocationRecord = invocation.but(status=status, callback_until=until)
    return waiting


def _proof(secret: str | None, body: bytes) -> dict[str, str]:
    """The two headers by which a webhook knows us (protocol.md 6.5 has both forms)."""
    return {"X-Hook-Secret": secret, SIGNATURE: signature(secret, body)} if secret else {}


def _is_acknowledged(answer: Answer) -> bool:
    if not answer.content:
        return answer.status == 202
    try:
        return bool(from_json(answer.content) == ACKNOWLEDGED)
    except ValueError:
        return False
