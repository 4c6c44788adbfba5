"""Asking a model in tests: a request in few words, and the whole answer put together from its deltas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agentkit.protocol.deltas import Accumulator
from agentkit.runtime.ports import ModelCall, ModelMessage, ModelProvider, ModelRequest, ModelTool


@dataclass
class Said:
    """A whole answer."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    deltas: int = 0


async def said(provider: ModelProvider, request: ModelRequest) -> Said:
    """The provider's answer; the arguments of its calls decoded."""
    whole = Accumulator()
    count = 0
    async with aclosing(provider.stream(request)) as deltas:
        async for delta in deltas:
            count += 1
            whole.apply(delta.to_wire(), count)
    calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in whole.tool_calls]
    ids = [call["id"] for call in whole.tool_calls]
    return Said(whole.response, whole.reasoning, calls, ids, whole.usage or {}, count)


def ask(text: str, *tools: ModelTool, prompt: str = "", model: str = "extract", **more: Any) -> ModelRequest:
    """A request whose last message is the user's."""
    return ModelRequest(model, prompt, [ModelMessage("user", text)], tools, **more)


def tool(name: str, description: str = "", *, required: Sequence[str] | None = None, **properties: Any) -> ModelTool:
    """A tool with these properties, all of them required unless said otherwise."""
    names = list(properties) if required is None else list(required)
    return ModelTool(name, description, {"type": "object", "properties": properties, "required": names})


def after(request: ModelRequest, name: str, arguments: Mapping[str, Any], result: Any) -> ModelRequest:
    """The request that follows once a call of the tool has this result."""
    id = f"c{len(request.messages)}"
    text = result if isinstance(result, str) else json.dumps(result)
    more = [
        ModelMessage("assistant", calls=[ModelCall(id, name, arguments)]),
        ModelMessage("tool", text, call_id=id),
    ]
    return ModelRequest(
        request.model, request.system_prompt, [*request.messages, *more], request.tools, request.output_schema
    )


async def play(provider: ModelProvider, request: ModelRequest, results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The calls of a whole turn, each answered with the result under its name, until it finishes or speaks."""
    made: list[tuple[str, Any]] = []
    for _ in range(10):
        answer = await said(provider, request)
        if not answer.calls:
            return [*made, ("", answer.text)]
        [(name, arguments)] = answer.calls
        made.append((name, arguments))
        if name == "finish":
            return made
        request = after(request, name, arguments, results[name])
    raise AssertionError(f"no end after {made}")
