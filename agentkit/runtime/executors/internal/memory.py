"""`memory_set`, `memory_get`, `memory_getall`: what the agent wants to keep, in `agent_data.memory`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from agentkit.runtime.executors.internal import Category, Effect, InternalTool
from agentkit.runtime.records import ChatRecord

__all__ = ["CATEGORY"]


def _set(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    memory = {**chat.memory, arguments["key"]: arguments["value"]}
    return Effect(f"kept {arguments['key']!r}", chat={"memory": memory})


def _get(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    key = arguments["key"]
    if key not in chat.memory:
        known = ", ".join(map(repr, chat.memory)) or "none"
        return Effect(f"nothing is kept under {key!r}; known keys: {known}", failed=True)
    value = chat.memory[key]
    return Effect(value if isinstance(value, str) else to_json(value).decode())


def _getall(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    return Effect(to_json(chat.memory).decode())


_KEY = {"type": "string", "minLength": 1, "description": "The name it is kept under"}

CATEGORY = Category(
    id="memory",
    description="Lets the agent keep values for later in this chat.",
    default_enabled=True,
    tools=(
        InternalTool(
            "memory_set",
            "Keep a value under a key; replaces an earlier value.",
            {
                "type": "object",
                "properties": {"key": _KEY, "value": {"description": "Any JSON value"}},
                "required": ["key", "value"],
            },
            _set,
        ),
        InternalTool(
            "memory_get",
            "Read the value kept under a key.",
            {"type": "object", "properties": {"key": _KEY}, "required": ["key"]},
            _get,
        ),
        InternalTool(
            "memory_getall",
            "Read everything that is kept.",
            {"type": "object", "properties": {}, "required": []},
            _getall,
        ),
    ),
)
