"""The tools of one agent, in whatever form they were written."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from pydantic import BaseModel

from agentkit.errors import ToolDefinitionError
from agentkit.tools._builder import ToolBuilder, ToolSpec
from agentkit.tools.approval import Judge
from agentkit.tools.client import ClientTool, ClientToolBuilder, tool

__all__ = ["Toolbox"]


@dataclass(frozen=True)
class Toolbox:
    """What travels, and what stays: the specs in order, and the client tools with a handler by name.

    `inside`: the handlers of the agents that come along, by the name of the agent tool and their own. `judges` are the
    rules that say whether a person is asked about a call, of tools of any kind: by the agent tool that the tool is
    below of (None: the agent's own) and its name.
    """

    specs: tuple[ToolSpec, ...] = ()
    handlers: Mapping[str, ClientTool[..., Any]] = field(default_factory=dict[str, ClientTool[..., Any]])
    inside: Mapping[str, Mapping[str, ClientTool[..., Any]]] = field(
        default_factory=dict[str, Mapping[str, ClientTool[..., Any]]]
    )
    judges: Mapping[tuple[str | None, str], Judge] = field(default_factory=dict[tuple[str | None, str], Judge])

    @classmethod
    def of(cls, tools: Iterable[Any]) -> Self:
        """Sorts tools, builders, functions, built dicts and `{"schema": ..., "handler": ...}`.

        Raises ToolDefinitionError for what is none of these and for two tools of one name.
        """
        entries = list(tools)
        sorted_out = [_sorted_out(entry) for entry in entries]
        specs = tuple(spec for spec, _ in sorted_out)
        names = [spec["name"] for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise ToolDefinitionError(f"tool {name!r} is in the list twice; give one of them another name")
        builders = [entry for entry in entries if isinstance(entry, ToolBuilder)]
        inside = {builder.name: found for builder in builders if (found := builder.handlers_inside())}
        clients = [client for _, client in sorted_out if client is not None]
        judges = _judges([*(client.builder for client in clients), *builders])
        box = cls(specs, {client.name: client for client in clients}, inside, judges)
        for builder in builders:
            if (other := builder.taken_over()) is not None:
                box = box.with_handlers(other, what=f"tool {builder.name!r}: the agent that takes over and this one")
        return box

    def with_handlers(self, other: Toolbox, *, what: str) -> Self:
        """The same tools, with the handlers of another agent too. Raises ToolDefinitionError where they disagree."""
        handlers = _merged(self.handlers, other.handlers, what=what)
        inside = {**self.inside}
        for agent, found in other.inside.items():
            inside[agent] = _merged(inside.get(agent, {}), found, what=f"{what}, below {agent!r},")
        judges = {**self.judges}
        for key, judge in other.judges.items():
            _check_same_judge(judges.setdefault(key, judge), judge, name=key[1], what=what)
        return replace(self, handlers=handlers, inside=inside, judges=judges)

    def everywhere(self) -> dict[tuple[str | None, str], ClientTool[..., Any]]:
        """All handlers, by the agent tool that they are below of (None: the agent's own) and their name."""
        found: dict[tuple[str | None, str], ClientTool[..., Any]] = {
            (None, name): client for name, client in self.handlers.items()
        }
        for agent, handlers in self.inside.items():
            found |= {(agent, name): client for name, client in handlers.items()}
        return found

    def flat(self, *, what: str) -> dict[str, ClientTool[..., Any]]:
        """All handlers by name alone. Raises ToolDefinitionError where two of one name are different tools."""
        found = self.handlers
        for handlers in self.inside.values():
            found = _merged(found, handlers, what=what)
        return dict(found)

    def flat_judges(self, *, what: str) -> dict[str, Judge]:
        """All judges by the name of the tool alone. Raises ToolDefinitionError where two of one name differ."""
        found: dict[str, Judge] = {}
        for (_, name), judge in self.judges.items():
            _check_same_judge(found.setdefault(name, judge), judge, name=name, what=what)
        return found


def _judges(builders: Iterable[ToolBuilder]) -> dict[tuple[str | None, str], Judge]:
    found: dict[tuple[str | None, str], Judge] = {}
    for builder in builders:
        if (judge := builder.judge) is not None:
            found[None, builder.name] = judge
        found |= {(builder.name, name): each for name, each in builder.judges_inside().items()}
    return found


def _check_same_judge(some: Judge, other: Judge, *, name: str, what: str) -> None:
    if some.function != other.function:
        raise ToolDefinitionError(f"{what} ask people about {name!r} by different rules; give one tool another name")


def _merged(
    some: Mapping[str, ClientTool[..., Any]], more: Mapping[str, ClientTool[..., Any]], *, what: str
) -> dict[str, ClientTool[..., Any]]:
    for name, client in more.items():
        if some.get(name, client).function != client.function:
            raise ToolDefinitionError(
                f"{what} have two client tools {name!r} with different handlers; give one another name"
            )
    return {**some, **more}


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
    builder = replace(
        builder,
        approval_timeout=spec.get("approval_timeout"),
        approval_policy=spec.get("approval") or {},
        timeout_seconds=spec.get("timeout"),
        is_idempotent=spec.get("idempotent"),
        retries=spec.get("retries"),
    )
    config: Mapping[str, Any] = spec.get(ClientToolBuilder.KIND) or {}
    schema = config.get("input_schema")
    return (builder.params(schema) if schema else builder).handler(handler)
