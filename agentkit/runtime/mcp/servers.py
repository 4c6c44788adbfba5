"""The MCP servers of a platform, by name.

async with McpServers({"time": "mcp-server-time"}).run() as servers:
    listing = await servers["time"].listing()
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Self

import anyio

from agentkit.errors import MissingExtraError
from agentkit.runtime.mcp.config import McpServerConfig, McpServerSpec, read_servers
from agentkit.runtime.mcp.server import McpServer, SecretOf

__all__ = ["McpServers"]


class McpServers(Mapping[str, McpServer]):
    """Every configured server. None is started before it is needed.

    `secret` says what placeholders stand for, whenever a server is connected to; `environ` is what children may get a
    little of, os.environ unless given. Raises ConfigError for what could never work, MissingExtraError where there are
    servers and the SDK is not installed.
    """

    def __init__(
        self,
        servers: Mapping[str, McpServerSpec | McpServerConfig] | None = None,
        *,
        secret: SecretOf | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        configs = read_servers(servers or {})
        if configs and find_spec("mcp") is None:
            raise MissingExtraError("using MCP servers", extra="mcp")
        given = os.environ if environ is None else environ
        self._servers = {
            name: McpServer(config, secret=secret or _no_secret, environ=given) for name, config in configs.items()
        }

    def __getitem__(self, name: str) -> McpServer:
        return self._servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def __repr__(self) -> str:
        return f"McpServers({', '.join(self._servers)})"

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[Self]:
        """While entered, servers can be connected to. Leaving closes all connections and ends all children."""
        raised: Exception | None = None
        async with anyio.create_task_group() as group:
            for server in self._servers.values():
                server.begin(group)
            try:
                yield self
            except Exception as error:  # kept, for the task group would put it into an ExceptionGroup
                raised = error
            finally:
                for server in self._servers.values():
                    server.end()
        if raised is not None:
            raise raised


async def _no_secret(name: str) -> None:
    """There are none."""
