"""An executor, called without a platform around it: real servers, and what it asks of the desk kept in lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime.executors import Execution, Produced, ToolExecutor, ToolFile
from agentkit.runtime.executors.credentials import Credential
from agentkit.wire import AgentTool

OWNER = "local"


@dataclass
class Pocket:
    """Secrets and integrations by name (port SecretSource)."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    integrations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def secret(self, owner: str, name: str) -> str | None:
        self.asked.append(f"{owner}:{name}")
        return self.secrets.get(name)

    async def credential(self, owner: str, *, provider: str, integration_id: str | None) -> Credential | None:
        headers = self.integrations.get(integration_id or provider)
        return None if headers is None else Credential(headers)


@dataclass
class Shelf:
    """The files that an executor kept (of the port ToolDesk what HTTP tools need)."""

    kept: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def keep(self, owner: str, content: bytes, *, filename: str, content_type: str = "") -> ToolFile:
        self.kept.append((filename, content_type, content))
        return ToolFile(f"inf://files/{len(self.kept)}", content_type, filename, len(content))


def call_of(tool: Mapping[str, Any], arguments: Mapping[str, Any], **context: str) -> Execution:
    return Execution(
        invocation_id="inv1",
        chat_id="chat1",
        run_id="run1",
        owner=OWNER,
        tool=AgentTool.parse(dict(tool)),
        arguments=arguments,
        context=context,
        idempotency_key="inv1-0123456789abcdef",
    )


@dataclass
class Caller:
    """An executor that may be called."""

    executor: ToolExecutor
    shelf: Shelf = field(default_factory=Shelf)

    async def bind(self, tool: Mapping[str, Any]) -> AgentTool:
        [bound] = await self.executor.bind(AgentTool.parse(dict(tool)), owner=OWNER)
        return bound

    async def call(
        self, tool: Mapping[str, Any], arguments: Mapping[str, Any] | None = None, **context: str
    ) -> Produced:
        await self.bind(tool)
        found = await self.executor.execute(call_of(tool, arguments or {}, **context), self.shelf)  # type: ignore[arg-type]
        assert isinstance(found, Produced)
        return found


@asynccontextmanager
async def calling(make: Callable[[], ToolExecutor]) -> AsyncGenerator[Caller]:
    """An executor while it is entered."""
    executor = make()
    async with executor.run():
        yield Caller(executor)
