"""The tools of one agent, in whatever form they were written."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

from pydantic import BaseModel

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder, ToolSpec
from agentkit.tools.client import ClientTool, ClientToolBuilder, tool

__all__ = ["Toolbox"]


@dataclass(frozen=True)
class Toolbox:
    """What travels, and what stays: the specs in order, and the client tools with a handler by name."""

    specs: tuple[ToolSpec, ...] = ()
    handlers: Mapping[str, ClientTool[..., Any]] = field(default_factory=dict[str, ClientTool[..., Any]])

    @classmethod
    def of(cls, tools: Iterable[Any]) -> Self:
        """Sorts tools, builders, functions, built dicts and `{"schema": ..., "handler": ...}`.

        Raises ToolDefinitionError for what is none of these and for two tools of one name.
        """
        sorted_out = [_sorted_out(entry) for entry in tools]
        specs = tuple(spec for spec, _ in sorted_out)
        names = [spec["name"] for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise ToolDefinitionError(f"tool {name!r} is in the list twice; give one of them another name")
        return cls(specs, {client.name: client for _, client in sorted_out if client is not None})


def _sorted_out(entry: Any) -> tuple[ToolSpec, ClientTool[..., Any] | None]:
    match entry:
        case ClientTool():
            client = cast("ClientTool[..., Any]", entry)
            return client.spec, client
        case ToolBuilder():
            return entry.build(), None
        case {"schema": Mapping(), "handler": _}:
            client = _client_tool(entry["schema"], entry["handler"])
            return client.spec, client
        case BaseModel():
            return entry.model_dump(mode="json", by_alias=True, exclude_unset=True), None
        case {"name": str(), "type": str()}:
            return dict(cast("Mapping[str, Any]", entry)), None
        case _ if inspect.isroutine(entry):
            client = tool(entry)
            return client.spec, client
        case _:
            raise ToolDefinitionError(
                f"{entry!r} is no tool; write tool('name')..., app_tool(...)... or a typed function"
            )


def _client_tool(spec: Mapping[str, Any], handler: Any) -> ClientTool[..., Any]:
    """The tool behind the SDK's pair of schema and handler."""
    builder = tool(
        str(spec.get("name", "")),
        description=spec.get("description") or "",
        require_approval=bool(spec.get("require_approval")),
        display_name=spec.get("display_name"),
    )
    config: Mapping[str, Any] = spec.get(ClientToolBuilder.KIND) or {}
    schema = config.get("input_schema")
    return (builder.params(schema) if schema else builder).handler(handler)
