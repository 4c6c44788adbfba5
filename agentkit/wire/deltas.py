"""Deltas: what a model wrote since the last one (protocol.md 6.10). How they are merged: `agentkit.protocol.deltas`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agentkit.wire._base import Wire

__all__ = ["Delta", "FunctionDelta", "LLMDelta", "ToolCallDelta"]


class FunctionDelta(Wire):
    """More of a call's function: `arguments` is a piece of JSON text."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Wire):
    """More of the call at this `index`."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None


class LLMDelta(Wire):
    """More of an answer; `usage` comes with the last one."""

    response: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] = Field(default_factory=list[ToolCallDelta])
    usage: dict[str, Any] | None = None


class Delta(Wire):
    """The data of a `delta` event. `seq` rises per message; `resource_id` is the assistant message."""

    delta: LLMDelta = Field(default_factory=LLMDelta)
    seq: int = 0
    resource_id: str = ""
