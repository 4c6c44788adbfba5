"""A platform with a scripted model, and short ways to talk to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.open import open_platform
from agentkit.runtime.platform import Platform
from agentkit.testing import Scripted
from agentkit.wire import RunAgentRequest, SubmitToolResult

OWNER = "local"
ADA, ANN, EVE, ME = (Approver(name) for name in ("ada", "ann", "eve", "me"))
PLATFORM = (
    *("limits", "executors", "secrets", "agents", "apps", "mcp", "allow_hosts", "fleet"),
    *("approval_webhooks", "approval_webhook_secret", "public_url"),
)
"""What `playing` gives to the platform; the rest is the agent's."""


def client_tool(name: str = "look", *, approval: bool = False, **more: Any) -> dict[str, Any]:
    """A client tool that takes a text `q`."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    return {"name": name, "type": "client", "require_approval": approval, "client": {"input_schema": schema}, **more}


REPORT = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "pages": {"type": "integer", "minimum": 1}},
    "required": ["title", "pages"],
}


@dataclass
class Play:
    """One chat with the platform."""

    platform: Platform
    model: Scripted
    config: dict[str, Any]
    chat_id: str | None = None

    async def say(self, text: str = "go", **more: Any) -> dict[str, Any]:
        """Sends a message; the answer of POST /agents/run."""
        body = {"chat_id": self.chat_id, "agent_config": self.config, "input": {"text": text}, **more}
        reply = await self.platform.chats.run(OWNER, RunAgentRequest.parse(body))
        self.chat_id = reply["assistant_message"]["chat_id"]
        return reply

    async def chat(self) -> dict[str, Any]:
        """The chat as it is."""
        assert self.chat_id is not None
        return await self.platform.chats.get(OWNER, self.chat_id)

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The chat as soon as it is as wanted; watches its stream, so nothing is polled."""
        assert self.chat_id is not None
        with anyio.fail_after(10):
            async with aclosing(await self.platform.chats.watch(OWNER, self.chat_id)) as frames:
                async for _ in frames:
                    if wanted(chat := await self.chat()):
                        return chat
        raise AssertionError("unreachable")

    async def idle(self) -> dict[str, Any]:
        """The chat once its run is over."""
        return await self.until(lambda chat: chat["status"] == "idle")

    async def waits_for(self, status: str) -> dict[str, Any]:
        """The first tool invocation that has this status."""
        chat = await self.until(lambda chat: any(each["status"] == status for each in invocations(chat)))
        return next(each for each in invocations(chat) if each["status"] == status)

    async def answer(self, invocation_id: str, result: str = "found", **more: Any) -> dict[str, Any]:
        """POST /tools/{id}."""
        body = SubmitToolResult.parse({"result": result, **more})
        return await self.platform.chats.submit_result(OWNER, invocation_id, body)


def invocations(chat: dict[str, Any]) -> list[dict[str, Any]]:
    """All tool invocations of a chat, in order."""
    return [each for message in chat["chat_messages"] for each in message["tool_invocations"]]


def texts(chat: dict[str, Any], role: str = "assistant") -> list[str]:
    """The texts of a role's messages, in order."""
    return [
        "".join(part["text"] or "" for part in message["content"] if part["type"] == "text")
        for message in chat["chat_messages"]
        if message["role"] == role
    ]


@asynccontextmanager
async def playing(*steps: Any, db: str | Path = ":memory:", **config: Any) -> AsyncGenerator[Play]:
    """A platform whose model says these steps, or `scripts` by the name of the model.

    `PLATFORM` names what goes to the platform, the rest is the agent's.
    """
    model = Scripted(config.pop("scripts", None) or steps)
    options = {name: config.pop(name) for name in PLATFORM if name in config}
    async with open_platform(
        db=db, providers={"scripted": model}, environ={}, synchronous="OFF", **options
    ) as platform:
        yield Play(platform, model, {"core_app": {"ref": "scripted/model"}, **config})
