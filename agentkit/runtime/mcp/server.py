"""One configured MCP server: connected when first needed, taken up again when lost, left alone while it is down."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from agentkit.runtime.faults import Fault
from agentkit.runtime.mcp.breaker import Breaker
from agentkit.runtime.mcp.calls import Lost, Refused, Talk, Unavailable
from agentkit.runtime.mcp.config import McpServerConfig
from agentkit.runtime.mcp.lines import ServerLog
from agentkit.runtime.mcp.listing import Listing

if TYPE_CHECKING:  # an extra
    import mcp_types

    from agentkit.runtime.mcp.connection import Connection

__all__ = ["McpServer", "SecretOf"]

logger = logging.getLogger("agentkit.mcp")

FRESH_SECONDS: Final = 60.0  # how long a list is taken for true where the server does not tell of changes

T = TypeVar("T")

SecretOf: TypeAlias = Callable[[str], Awaitable[str | None]]
"""The value of a secret; None where there is none."""


class McpServer:
    """A server by its name. Its connections live in the task group given to `begin`."""

    def __init__(self, config: McpServerConfig, *, secret: SecretOf, environ: Mapping[str, str]) -> None:
        self.name = config.name
        self._config = config
        self._secret = secret
        self._environ = environ
        self._breaker = Breaker()
        self._group: TaskGroup | None = None
        self._current: Connection | None = None
        self._listing: Listing | None = None
        self._listed_at = 0.0
        self._has_changed = False
        self._list_lock: anyio.Lock | None = None

    def begin(self, group: TaskGroup) -> None:
        """From here on it can be connected to."""
        self._group, self._list_lock = group, anyio.Lock()

    def end(self) -> None:
        """Closes the connection, if there is one; there will be no other."""
        self._group = None
        if self._current is not None:
            self._current.close()

    # -- what it is asked ------------------------------------------------------------------------------------------

    async def listing(self) -> Listing:
        """The tools, asked for anew where they may have changed. Raises Unavailable."""
        assert self._list_lock is not None, "the servers are not running"
        async with self._list_lock:
            connection = await self._connected()
            if self._listing is None or self._has_changed or not self._is_fresh(connection):
                self._has_changed = False
                try:
                    tools = await self._again(lambda each: each.list_tools(), may_repeat=True)
                except (Lost, Refused) as error:
                    self._has_changed = True
                    raise Unavailable(str(error)) from None
                self._listing, self._listed_at = Listing.of(tools), anyio.current_time()
            return self._listing

    async def call(
        self, name: str, arguments: Mapping[str, Any], talk: Talk, *, may_repeat: bool
    ) -> mcp_types.CallToolResult:
        """The result of a tool; asked for once more, after reconnecting, where a lost call may be repeated.

        Raises Unavailable, Lost, Refused.
        """
        return await self._again(lambda each: each.call_tool(name, arguments, talk), may_repeat=may_repeat)

    def is_stale(self, digest: str) -> bool:
        """Whether tools bound with this digest would be bound differently now, as far as is known without asking."""
        return self._has_changed or (self._listing is not None and self._listing.digest != digest)

    # -- its connection --------------------------------------------------------------------------------------------

    async def _again(self, ask: Callable[[Connection], Awaitable[T]], *, may_repeat: bool) -> T:
        connection = await self._connected()
        try:
            return await ask(connection)
        except Lost as lost:
            self._retire(connection)
            if lost.had_effect is not False and not may_repeat:
                raise
            logger.info("MCP server %s: connecting anew: %s", self.name, lost)
        connection = await self._connected()
        try:
            return await ask(connection)
        except Lost:
            self._retire(connection)
            raise

    async def _connected(self) -> Connection:
        """The connection, made where there is none. Raises Unavailable."""
        connection = self._current
        if connection is None or connection.is_over:
            if (left := self._breaker.left(anyio.current_time())) > 0:
                told = f"{self._breaker.reason}, {self._breaker.failures} times in a row"
                raise Unavailable(f"{told}; it is tried again in {left:.0f} s", retry_after_seconds=left)
            connection = self._current = await self._open()
        await connection.ready.wait()
        if connection.failure is not None:
            raise connection.failure
        return connection

    async def _open(self) -> Connection:
        secrets = await self._secrets()
        module = await anyio.to_thread.run_sync(import_module, "agentkit.runtime.mcp.connection")
        if self._group is None:
            raise Unavailable(f"the MCP server {self.name!r} is closed: the runtime stops")
        if self._current is not None and not self._current.is_over:
            return self._current  # somebody else was faster
        log = ServerLog(self.name, hidden=tuple(secrets.values()), clock=anyio.current_time)
        connection: Connection = module.Connection(
            self._config.filled(secrets),
            environ=self._environ,
            log=log,
            on_started=self._started,
            on_tools_changed=self._changed,
        )
        self._group.start_soon(connection.own)
        return connection

    async def _secrets(self) -> dict[str, str]:
        """What stands for the placeholders. Raises Unavailable where something is missing."""
        found: dict[str, str] = {}
        for name in sorted(self._config.secret_names()):
            try:
                value = await self._secret(name)
            except Fault as fault:
                raise Unavailable(f"the MCP server {self.name!r} needs a secret: {fault.detail}") from None
            if not value:
                told = f"the MCP server {self.name!r} needs the secret {name!r}, and there is none"
                raise Unavailable(f"{told}; set it with Runtime(secrets=...) or agentkit serve --secrets", secret=name)
            found[name] = value
        return found

    def _started(self, failure: Unavailable | None) -> None:
        if failure is None:
            self._breaker.succeeded()
            self._has_changed = self._listing is not None  # a server that came anew may have other tools
        else:
            self._breaker.failed(anyio.current_time(), str(failure))

    def _retire(self, connection: Connection) -> None:
        if self._current is connection:
            self._current = None
        connection.retire()

    def _changed(self) -> None:
        if not self._has_changed:
            logger.info("MCP server %s: its tools have changed", self.name)
        self._has_changed = True

    def _is_fresh(self, connection: Connection) -> bool:
        return connection.tells_changes or anyio.current_time() - self._listed_at < FRESH_SECONDS
