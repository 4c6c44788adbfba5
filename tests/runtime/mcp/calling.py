"""Tools of MCP servers called without a platform: servers, the executor, and a desk that keeps what it gets."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from agentkit.runtime.executors import Answered, Execution, Produced, ToolFile
from agentkit.runtime.executors.mcp import McpExecutor
from agentkit.runtime.mcp.servers import McpServers
from agentkit.runtime.ports import ModelRequest
from agentkit.wire import AgentTool, InterruptReason

OWNER = "local"
ODD = Path(__file__).with_name("oddserver.py")


def odd(*mode: str, cwd: Path, **more: Any) -> dict[str, Any]:
    """The server of `oddserver.py`, which keeps its notes in `cwd`."""
    return {"command": [sys.executable, "-E", "-S", str(ODD), *mode], "cwd": str(cwd), **more}


def lines(folder: Path, name: str) -> list[str]:
    """What the server noted."""
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


@dataclass
class Desk:
    """A desk without a chat: tells, files and questions are kept, and a person answers as `answer` says."""

    answer: Callable[[Mapping[str, Any]], Answered] | None = None
    reply: str = "blue"
    told: list[tuple[str, float | None, float | None]] = field(default_factory=list)
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[InterruptReason, Mapping[str, Any], Mapping[str, Any] | None]] = field(default_factory=list)
    sampled: list[ModelRequest] = field(default_factory=list)
    is_asking: anyio.Event = field(default_factory=anyio.Event)
    has_heard: anyio.Event = field(default_factory=anyio.Event)

    async def progress(
        self, call: Execution, message: str = "", *, progress: float | None = None, total: float | None = None
    ) -> None:
        self.told.append((message, progress, total))
        self.has_heard.set()
        await anyio.lowlevel.checkpoint()

    async def keep(self, owner: str, content: bytes, *, filename: str, content_type: str = "") -> ToolFile:
        self.kept[filename] = (content_type, content)
        return ToolFile(f"inf://files/{filename}", content_type, filename, len(content))

    async def read(self, owner: str, uri: str) -> tuple[bytes, str] | None:
        return None

    async def ask(
        self, call: Execution, reason: InterruptReason, meta: Mapping[str, Any], *, schema: Mapping[str, Any] | None
    ) -> Answered:
        self.asked.append((reason, meta, schema))
        self.is_asking.set()
        if self.answer is None:
            await anyio.sleep_forever()
        assert self.answer is not None
        return self.answer(meta)

    async def sample(self, call: Execution, request: ModelRequest) -> str:
        self.sampled.append(request)
        return self.reply

    async def change(self, call: Execution, change: Any) -> Any:
        raise AssertionError("MCP tools change no invocation")


@dataclass
class Calling:
    """The executor at work."""

    servers: McpServers
    executor: McpExecutor
    desk: Desk

    async def bound(self, tool: Mapping[str, Any]) -> Sequence[AgentTool]:
        return await self.executor.bind(AgentTool.parse(tool), owner=OWNER)

    async def call(
        self, name: str, *, server: str = "odd", desk: Desk | None = None, chat: str = "chat1", seconds: float = 15,
        **arguments: Any,
    ) -> Produced:  # fmt: skip
        """The result of one tool, bound first."""
        (tool,) = await self.bound(one(name, server=server))
        with anyio.fail_after(seconds):
            produced = await self.executor.execute(execution(tool, arguments, chat=chat), desk or self.desk)
        assert isinstance(produced, Produced)
        return produced


def one(name: str, *, server: str = "odd", **more: Any) -> dict[str, Any]:
    """One tool of a server."""
    return {"name": "t", "type": "mcp", "mcp": {"server": server, "tool_name": name}, **more}


def execution(tool: AgentTool, arguments: Mapping[str, Any], *, chat: str = "chat1") -> Execution:
    return Execution(
        invocation_id="call1",
        chat_id=chat,
        run_id="run1",
        owner=OWNER,
        tool=tool,
        arguments=arguments,
        context={},
        idempotency_key="key1",
    )


@asynccontextmanager
async def calling(
    servers: Mapping[str, Any], *, secrets: Mapping[str, str] | None = None, desk: Desk | None = None
) -> AsyncGenerator[Calling]:
    """While entered, tools of these servers can be called."""
    known = dict(secrets or {})

    async def secret(name: str) -> str | None:
        return known.get(name)

    there = McpServers(servers, secret=secret)
    executor = McpExecutor(there)
    async with executor.run():
        yield Calling(there, executor, desk or Desk())
