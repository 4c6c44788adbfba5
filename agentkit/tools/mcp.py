"""Tools of a connected MCP server (`type: mcp`): one, or all that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder, suggested_name

__all__ = ["McpServerBuilder", "McpToolBuilder", "mcp_server", "mcp_tool"]


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


McpApproval: TypeAlias = Literal["always", "never"]
"""Whether a person is asked: each time, or only for tools that were built with `.require_approval()`."""


@dataclass(frozen=True, kw_only=True, repr=False)
class McpServerBuilder(ToolBuilder):
    """Stands for the tools of a server; the runtime puts them in its place when a message comes (agentkit's own).

    What is said of it, such as `.timeout(30)` or `.require_approval()`, holds for each of them.
    """

    KIND: ClassVar[str] = "mcp"

    server: str
    only: tuple[str, ...] | None = None
    policy: McpApproval | None = None
    prefix: str = ""

    @property
    def judge(self) -> None:
        """None: the server knows its tools' names. Raises ToolDefinitionError where a function should judge them."""
        if self.judged_by is not None:
            raise ToolDefinitionError(
                f"{self._what}: a function cannot judge tools whose names the server knows; write "
                ".require_approval(when={...}) with a JSON Schema, or mcp_tool() for the one tool"
            )

    def config(self) -> dict[str, Any]:
        """Which server, which of its tools, and how they are called here."""
        if self.inputs:
            raise ToolDefinitionError(f"{self._what}: the server knows the parameters; use mcp_tool() for a hint")
        rules = {"only": list(self.only) if self.only is not None else None, "approval": self.policy}
        told = {key: value for key, value in rules.items() if value is not None}
        return {"server": self.server, "tool_name": "*", "prefix": self.prefix, **told}


def mcp_server(
    name: str, *, only: Sequence[str] | None = None, approval: McpApproval | None = None, prefix: str | None = None
) -> McpServerBuilder:
    """All tools of the MCP server with that name, or those of `only`.

    Whether a person is asked is the server's word (tools that it calls destructive), unless `approval` decides it.
    `prefix` goes before the tools' names, the server's name unless given; "" leaves them as they are.

    >>> mcp_server("time", only=["get_current_time"]).build()["mcp"]
    {'server': 'time', 'tool_name': '*', 'prefix': 'time_', 'only': ['get_current_time']}
    """
    if approval not in (None, "always", "never"):
        raise ToolDefinitionError(f"mcp_server({name!r}, approval={approval!r}): write 'always' or 'never'")
    if isinstance(only, str):
        raise ToolDefinitionError(f"mcp_server({name!r}, only={only!r}): write a list, only=[{only!r}]")
    if not name:
        raise ToolDefinitionError("mcp_server(''): write the server's name, as in Runtime(mcp={'time': ...})")
    own = suggested_name(name)
    return McpServerBuilder(
        name=own,
        server=name,
        only=None if only is None else tuple(only),
        policy=approval,
        prefix=f"{own}_" if prefix is None else prefix,
    )
