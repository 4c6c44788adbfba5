"""The same turns with agentkit: every event made and looked at, nothing switched off."""

from __future__ import annotations

from typing import Any

from agentkit import AsyncInference, Inference, string, tool
from bench.server import DELTAS, WORDS, agent

__all__ = ["turns", "turns_async"]

WEATHER = tool("get_weather").describe("The weather").param("city", string("City")).handler(lambda args: {"temp_c": 18})


def turns(client: Inference, kind: str, count: int) -> None:
    """Runs so many turns, one after the other."""
    for _ in range(count):
        with client.agent(_config(kind)).stream("Weather?") as turn:
            for _ in turn:
                pass
            assert len(turn.text()) == len(WORDS) * DELTAS[kind]


async def turns_async(client: AsyncInference, kind: str, count: int) -> None:
    """The same with the async client."""
    for _ in range(count):
        async with client.agent(_config(kind)).stream("Weather?") as turn:
            async for _ in turn:
                pass
            assert len(await turn.text()) == len(WORDS) * DELTAS[kind]


def _config(kind: str) -> dict[str, Any]:
    return {**agent(kind), "tools": [WEATHER] if kind == "tool" else []}
