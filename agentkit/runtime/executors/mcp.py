"""Tools of MCP servers (protocol.md 6.7, `type: mcp`): bound from what the server lists, called over its connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio

from agentkit.runtime.credentials.needs import need
from agentkit.runtime.executors import Execution, Gone, Produced, ToolDesk, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.mcp.calls import Action, Lost, Refused, Unavailable
from agentkit.runtime.mcp.listing import ANY_OBJECT, Listing, McpToolInfo, free_name, usable_schema
from agentkit.runtime.mcp.server import McpServer
from agentkit.runtime.mcp.servers import McpServers
from agentkit.runtime.ports import ModelMessage, ModelRequest
from agentkit.tools.jsonable import is_object
from agentkit.wire import AgentTool, InterruptReason, McpToolConfig, ToolType

if TYPE_CHECKING:  # an extra
    from collections.abc import Generator

__all__ = ["McpExecutor"]

EVERY: Final = "*"  # the `tool_name` that stands for all tools of a server
SECONDS_BETWEEN_TELLS: Final = 0.1  # progress that comes faster is left out
UNKNOWN: Final = "unknown outcome: {}, so the call may have had its effect or not. Find out before you call it again."


class McpExecutor:
    """Carries out calls of MCP tools."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.MCP,)

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """While entered, servers can be called. Leaving ends them."""
        async with self._servers.run():
            yield

    # -- binding ---------------------------------------------------------------------------------------------------

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool with the server's schema, or every tool of the server.

        A server that cannot be reached refuses `*`; a single tool keeps the schema that it was given as a hint. Raises
        Fault.
        """
        config = _config(tool)
        server = self._server(tool)
        try:
            listing = await server.listing()
        except Unavailable as error:
            if config.tool_name == EVERY:
                raise _refusal(tool, error) from None
            hint = usable_schema(config.input_schema or ANY_OBJECT, what=f"tool {tool.name!r}")
            return [_bound(tool, _config(tool), McpToolInfo(config.tool_name, input_schema=hint), digest="")]
        if config.tool_name == EVERY:
            return _every(tool, config, listing)
        info = listing.get(config.tool_name)
        if info is None:
            raise Fault("invalid_request", f"tool {tool.name!r}: {_no_tool(server.name, config.tool_name, listing)}")
        return [_bound(tool, config, info, digest=listing.digest)]

    def is_stale(self, tool: AgentTool) -> bool:
        """Whether the server's tools have changed since this one was bound."""
        server = self._servers.get(_server_name(tool))
        return server is not None and server.is_stale(_generation(tool))

    def is_idempotent(self, call: Execution) -> bool:
        """Whether the server says so of the tool: it only reads, or a second call changes nothing more."""
        hints = _hints(call.tool)
        return hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True

    def _server(self, tool: AgentTool) -> McpServer:
        name = _server_name(tool)
        if (server := self._servers.get(name)) is None:
            there = f"there are {', '.join(self._servers)}" if self._servers else "none is configured"
            told = f"tool {tool.name!r}: this runtime has no MCP server {name!r}; {there} (Runtime(mcp=...))"
            raise Fault("not_configured", told)
        return server

    # -- calling ---------------------------------------------------------------------------------------------------

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced:
        """What the server answers. Raises ToolFailure."""
        from agentkit.runtime.mcp.results import produced  # the SDK is an extra

        try:
            server = self._server(call.tool)
        except Fault as fault:
            raise ToolFailure(fault.detail, had_effect=False) from None
        may_repeat = self.is_idempotent(call) if call.tool.idempotent is None else call.tool.idempotent
        with _Talking.about(call, desk) as talk:
            try:
                result = await server.call(_config(call.tool).tool_name, call.arguments, talk, may_repeat=may_repeat)
            except Unavailable as error:
                after, passes = error.retry_after_seconds, not error.is_lasting
                told = str(error)
                raise ToolFailure(told, is_transient=passes, had_effect=False, retry_after_seconds=after) from None
            except Lost as error:
                text = str(error) if error.had_effect is False else UNKNOWN.format(error)
                raise ToolFailure(text, is_transient=True, had_effect=error.had_effect) from None
            except Refused as error:
                raise ToolFailure(f"{error}", is_transient=error.is_transient, had_effect=error.had_effect) from None
        return await produced(result, call, desk)


class _Talking:
    """What a server may ask for while it carries out one call; over with the call."""

    def __init__(self, call: Execution, desk: ToolDesk) -> None:
        self.chat_id = call.chat_id
        self.idempotency_key = call.idempotency_key
        self._call = call
        self._desk = desk
        self._told_at = float("-inf")
        self._questions: set[anyio.CancelScope] = set()

    @classmethod
    @contextmanager
    def about(cls, call: Execution, desk: ToolDesk) -> Generator[_Talking]:
        """While entered, the server may speak; afterwards nobody need answer."""
        talk = cls(call, desk)
        try:
            yield talk
        finally:
            for scope in talk._questions:
                scope.cancel()

    async def tell(self, message: str, progress: float | None = None, total: float | None = None) -> None:
        """Progress, or a line of the server's log."""
        is_last = progress is not None and progress == total
        now = anyio.current_time()
        if is_last or now - self._told_at >= SECONDS_BETWEEN_TELLS:
            self._told_at = now
            await self._desk.progress(self._call, message, progress=progress, total=total)

    async def ask(
        self, message: str, *, schema: Mapping[str, Any] | None, url: str | None
    ) -> tuple[Action, Mapping[str, Any] | None]:
        """What a person says, who is asked in the chat and in the inbox."""
        meta = {"message": message, "server": _server_name(self._call.tool), **({"url": url} if url else {})}
        with anyio.CancelScope() as scope:
            self._questions.add(scope)
            try:
                answered = await self._desk.ask(self._call, InterruptReason.CONFIRMATION, meta, schema=schema)
            except Gone:
                return "cancel", None
            finally:
                self._questions.discard(scope)
            if not answered.is_allowed:
                return "decline", None
            return "accept", answered.data if is_object(answered.data) else {}
        return "cancel", None

    async def sample(self, system_prompt: str, messages: Sequence[ModelMessage], settings: Mapping[str, Any]) -> str:
        """What the chat's own model answers, on the budget of its run. Raises ToolFailure, Gone."""
        return await self._desk.sample(self._call, ModelRequest("", system_prompt, messages, settings=settings))


# -- parts ---------------------------------------------------------------------------------------------------------


def _refusal(tool: AgentTool, error: Unavailable) -> Fault:
    """Why a server's tools cannot be bound; only what may pass by itself is a 503, which clients try again."""
    told = f"tool {tool.name!r}: {error}"
    if error.secret is not None:
        return Fault("requirements_not_met", told, errors=[need("secret", error.secret, told, type="add_secret")])
    return Fault("not_configured" if error.is_lasting else "unavailable", told)


def _config(tool: AgentTool) -> McpToolConfig:
    if tool.mcp is None or not tool.mcp.tool_name:
        raise Fault("invalid_request", f"tool {tool.name!r}: `mcp` names a `server` and a `tool_name`, or `*` for all")
    return tool.mcp


def _server_name(tool: AgentTool) -> str:
    return (tool.mcp.server or tool.mcp.integration_id or "") if tool.mcp else ""


def _generation(tool: AgentTool) -> str:
    return str(tool.mcp.get("generation", "")) if tool.mcp else ""


def _hints(tool: AgentTool) -> Mapping[str, Any]:
    hints = tool.mcp.get("annotations") if tool.mcp else None
    return hints if is_object(hints) else {}


def _no_tool(server: str, name: str, listing: Listing) -> str:
    return f"the MCP server {server!r} has no tool {name!r}; it has {listing.names}"


def _every(tool: AgentTool, config: McpToolConfig, listing: Listing) -> list[AgentTool]:
    """One tool for each of the server's, or for each of `only`. Raises Fault."""
    wanted = config.only
    for name in wanted or ():
        if listing.get(name) is None:
            raise Fault("invalid_request", f"tool {tool.name!r}: {_no_tool(_server_name(tool), name, listing)}")
    prefix = str(config.get("prefix", ""))
    bound: list[AgentTool] = []
    for info in listing.tools:
        if wanted is None or info.name in wanted:
            name = free_name(f"{prefix}{info.name}", [each.name for each in bound])
            each = tool.model_copy(update={"name": name, "display_name": info.title, "description": ""})
            bound.append(_bound(each, config, info, digest=listing.digest))
    return bound


def _bound(tool: AgentTool, config: McpToolConfig, info: McpToolInfo, *, digest: str) -> AgentTool:
    schema = usable_schema(info.input_schema, what=f"tool {info.name!r} of the MCP server {_server_name(tool)!r}")
    mcp = McpToolConfig.parse(
        {
            **config.to_wire(),
            "tool_name": info.name,
            "only": None,
            "input_schema": schema,
            "annotations": dict(info.annotations),
            "generation": digest,
        }
    )
    return tool.model_copy(
        update={
            "mcp": mcp,
            "description": tool.description or info.description,
            "require_approval": tool.require_approval or _needs_approval(config.approval, info.annotations),
        }
    )


def _needs_approval(policy: str | None, hints: Mapping[str, Any]) -> bool:
    match policy:
        case "always":
            return True
        case "never":
            return False
        case _:
            return hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True
