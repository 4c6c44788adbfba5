"""`search_tools`, `list_tools`, `execute_tool`: an agent with many tools is told of them when it looks for one.

What `execute_tool` names is called in its place: the invocation is that of the tool, with its kind, its schema and its
approval, and only the model's own history calls it `execute_tool`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import from_json, to_json

from agentkit.protocol.lines import is_object
from agentkit.runtime.executors.internal import Category, Effect, InternalTool, is_on, names
from agentkit.runtime.executors.internal.ranking import Document, rank
from agentkit.runtime.records import ChatRecord
from agentkit.wire import AgentConfig, AgentTool, ToolType

__all__ = ["CATEGORY", "EXECUTE", "as_called", "hides_tools", "inner"]

EXECUTE: Final = "execute_tool"
FOUND: Final = 5  # tools that a search gives unless told otherwise
MOST_FOUND: Final = 20
NAME_WEIGHT, DESCRIPTION_WEIGHT, PARAMETER_WEIGHT = 3.0, 1.0, 0.5


def hides_tools(agent: AgentConfig) -> bool:
    """Whether the agent's own tools are found and called through these."""
    return is_on(agent, CATEGORY)


def inner(agent: AgentConfig, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of the call that is meant; None where it means itself, or nothing that is there."""
    if name != EXECUTE or not hides_tools(agent):
        return None
    wanted, given = arguments.get("name"), arguments.get("arguments")
    if not any(tool.name == wanted for tool in agent.tools or ()):
        return None
    if isinstance(given, str):  # some models write the object as text once more
        try:
            given = from_json(given, allow_inf_nan=False)
        except ValueError:
            return None
    if given is None:
        return str(wanted), {}
    return (str(wanted), dict(given)) if is_object(given) else None


def as_called(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The call of a tool as the model made it."""
    return EXECUTE, {"name": name, "arguments": dict(arguments)}


# -- the tools -----------------------------------------------------------------------------------------------------


def _search(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    tools, query = list(chat.agent.tools or ()), str(arguments["query"])
    limit = min(int(arguments.get("limit") or FOUND), MOST_FOUND)
    found = [tools[place] for place in rank(query, [_document(each) for each in tools])]
    if not found:
        return Effect(f"no tool fits {query!r}; list_tools shows all {len(tools)}")
    told = [{**_told(each), "parameters": _schema(each)} for each in found[:limit]]
    return Effect(to_json({"tools": told, "found": len(found)}).decode())


def _list(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    tools, category = list(chat.agent.tools or ()), arguments.get("category")
    known = list(dict.fromkeys(map(_category, tools)))
    if category and category not in known:
        return Effect(f"there is no category {category!r}; categories: {', '.join(known) or 'none'}", failed=True)
    told = [_told(each) for each in tools if not category or _category(each) == category]
    return Effect(to_json({"tools": told, "categories": known}).decode())


def _execute(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    """Only what names none of the agent's tools comes here: see `inner`."""
    name = str(arguments["name"])
    if name in names(chat.agent):
        return Effect(f"{name!r} is no tool to execute; call it itself", failed=True)
    known = [each.name for each in chat.agent.tools or ()]
    close = get_close_matches(name, known)
    hint = f"did you mean {', '.join(close)}?" if close else "look for one with search_tools"
    return Effect(f"there is no tool {name!r}; {hint}", failed=True)


# -- parts ---------------------------------------------------------------------------------------------------------


def _told(tool: AgentTool) -> dict[str, str]:
    return {"name": tool.name, "description": tool.description or "", "category": _category(tool)}


def _category(tool: AgentTool) -> str:
    """The kind of a tool; of an MCP server's, the server."""
    if tool.type == ToolType.MCP and tool.mcp is not None:
        return str(tool.mcp.server or tool.mcp.integration_id or tool.type)
    return str(tool.type)


def _schema(tool: AgentTool) -> Any:
    config = tool.config
    schema = config.get("input_schema") if config is not None else None
    return schema or {"type": "object", "properties": {}}


def _document(tool: AgentTool) -> Document:
    parameters = " ".join(_parameters(_schema(tool)))
    texts = ((tool.name, NAME_WEIGHT), (tool.description or "", DESCRIPTION_WEIGHT), (parameters, PARAMETER_WEIGHT))
    document: dict[str, float] = {}
    for text, weight in texts:
        document[text] = document.get(text, 0.0) + weight
    return document


def _parameters(schema: Any) -> Iterator[str]:
    """Names and descriptions of the parameters."""
    properties = schema.get("properties") if is_object(schema) else None
    for name, parameter in properties.items() if is_object(properties) else ():
        yield name
        if is_object(parameter) and isinstance(described := parameter.get("description"), str):
            yield described


CATEGORY = Category(
    id="meta",
    description="Lets the agent look for its tools and call them by name, instead of being told of all at once.",
    default_enabled=False,
    tools=(
        InternalTool(
            "search_tools",
            "Find tools by what they do, best first, with their parameters. Call one with execute_tool.",
            {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "minLength": 1, "description": "A few words on what is to be done"},
                    "limit": {"type": "integer", "minimum": 1, "description": f"How many, {MOST_FOUND} at most"},
                },
                "required": ["query"],
            },
            _search,
        ),
        InternalTool(
            "list_tools",
            "List all tools by name, or those of one category.",
            {"type": "object", "properties": {"category": {"type": "string"}}, "required": []},
            _list,
        ),
        InternalTool(
            EXECUTE,
            "Call a tool that search_tools or list_tools named.",
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "description": "The tool"},
                    "arguments": {"type": "object", "description": "Its arguments, as its parameters say"},
                },
                "required": ["name"],
            },
            _execute,
        ),
    ),
)
