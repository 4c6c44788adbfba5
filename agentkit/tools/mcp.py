"""Tools of a connected MCP server (`type: mcp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder

__all__ = ["McpToolBuilder", "mcp_tool"]


@dataclass(frozen=True, kw_only=True, repr=False)
class McpToolBuilder(ToolBuilder):
    """Calls one tool of an MCP server; its input schema is the server's own, and declared parameters are a hint."""

    KIND: ClassVar[str] = "mcp"

    origin: tuple[str, str]
    """`("integration_id", ...)` or `("server", ...)`: both are in use (protocol.md 10, row 46)."""
    tool_name: str

    def config(self) -> dict[str, Any]:
        """Where the tool lives, its name there, and the hint where there is one."""
        key, value = self.origin
        return {key: value, "tool_name": self.tool_name, **self._hint()}


def mcp_tool(
    name: str, integration_id: str | None = None, tool_name: str | None = None, *, server: str | None = None
) -> McpToolBuilder:
    """The tool `tool_name` of a connected integration, or of the server with that name; the name itself if left out.

    >>> mcp_tool("web_search", "int-abc123", "search").build()["mcp"]
    {'integration_id': 'int-abc123', 'tool_name': 'search'}
    >>> mcp_tool("web_search", server="brave", tool_name="search").build()["mcp"]
    {'server': 'brave', 'tool_name': 'search'}
    """
    given = [(key, value) for key, value in (("integration_id", integration_id), ("server", server)) if value]
    if len(given) != 1:
        raise ToolDefinitionError(
            f"tool {name!r}: {'integration_id and server are both given' if given else 'it has no server'}; "
            f"write mcp_tool({name!r}, 'int-abc123', 'search') or "
            f"mcp_tool({name!r}, server='brave', tool_name='search')"
        )
    return McpToolBuilder(name=name, origin=given[0], tool_name=tool_name or name)
