"""A model without a memory: what it says depends on the conversation alone, so a restarted server just goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import anyio

from agentkit.runtime.ports import ModelRequest
from agentkit.testing import Call, call
from agentkit.wire import LLMDelta

__all__ = ["AGENT", "ANSWER", "OPENING", "QUESTION", "Desk", "agent", "asking"]

QUESTION: Final = "Will it be dry in Paris tonight? If so, book a table outside."
OPENING: Final = "Let me look at the weather first."
ANSWER: Final = "It stays dry at 18 degrees, and a table outside is booked for eight o'clock."

_WEATHER: Final = call("get_weather", {"city": "Paris"})
_TABLE: Final = call("book_table", {"time": "20:00"})
_SCRIPTS: Final[Mapping[str, Sequence[Sequence[str | Call]]]] = {
    "together": [[OPENING, _WEATHER, _TABLE], [ANSWER]],
    "in_turn": [[OPENING, _WEATHER], [_TABLE], [ANSWER]],
    "asking": [[OPENING, *(call("ask", {"message": each}) for each in ("Will it be dry?", "A table?"))], [ANSWER]],
    "between": [[call("ask", {"message": "Do look."})], ["It was looked after."]],
    "asked": [["It is so."]],
}
_PIECE: Final = 12  # characters per delta


def agent(script: str) -> dict[str, Any]:
    """The config of an agent that calls its two tools "together", or "in_turn"."""
    return {"core_app": {"ref": f"desk/{script}"}}


def asking() -> dict[str, Any]:
    """The config of an agent that asks another one two things at a time, which asks a third one each."""
    below: dict[str, Any] = agent("asked")
    for script in ("between", "asking"):
        below = {**agent(script), "tools": [{"name": "ask", "type": "agent", "agent": {"config": below}}]}
    return below


AGENT: Final = agent("together")


class Desk:
    """Looks at the weather, books a table, answers; `pause_seconds` lie between two deltas."""

    name = "desk"

    def __init__(self, *, pause_seconds: float = 0.0) -> None:
        self._pause_seconds = pause_seconds

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta, None]:
        """What comes next in this conversation."""
        step = _answers_since_the_question([message.role for message in request.messages])
        for delta in _deltas(_SCRIPTS[request.model][step], name=f"call_{step}"):
            await anyio.sleep(self._pause_seconds)
            yield LLMDelta.parse(delta)


def _answers_since_the_question(roles: list[str]) -> int:
    last = max(place for place, role in enumerate(roles) if role == "user")
    return roles[last:].count("assistant")


def _deltas(parts: Sequence[str | Call], *, name: str) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        if isinstance(part, str):
            deltas += [{"response": part[start : start + _PIECE]} for start in range(0, len(part), _PIECE)]
        else:
            head = {"index": index, "id": f"{name}_{index}", "type": "function"}
            deltas.append({"tool_calls": [{**head, "function": {"name": part.name, "arguments": ""}}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part.text}}]})
    return [*deltas, {"usage": {"stop_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}]
