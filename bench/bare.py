"""The same turns by hand: httpx, `json.loads`, and the least that gets a turn to its end.

No reconnecting, no checking, no callbacks, no types: what nobody should put into production is what a library is
measured against.
"""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from bench.server import TOOL, agent

__all__ = ["HEADERS", "turns", "turns_async"]

HEADERS: Final = {"X-API-Version": "2"}
STREAM: Final = {"Accept": "application/x-ndjson"}
RESULT: Final = {"result": '{"temp_c":18}'}


def turns(http: httpx.Client, kind: str, count: int) -> None:
    """Runs so many turns, one after the other."""
    for _ in range(count):
        chat_id = http.post("/agents/run", json=_message(kind)).json()["assistant_message"]["chat_id"]
        answered: set[str] = set()
        with http.stream("GET", f"/chats/{chat_id}/stream", headers=STREAM) as response:
            for line in response.iter_lines():
                item = json.loads(line)
                for id_ in _waiting(item, answered):
                    http.post(f"/tools/{id_}", json=RESULT).raise_for_status()
                if _is_over(item):
                    break


async def turns_async(http: httpx.AsyncClient, kind: str, count: int) -> None:
    """The same with httpx's async client."""
    for _ in range(count):
        chat_id = (await http.post("/agents/run", json=_message(kind))).json()["assistant_message"]["chat_id"]
        answered: set[str] = set()
        async with http.stream("GET", f"/chats/{chat_id}/stream", headers=STREAM) as response:
            async for line in response.aiter_lines():
                item = json.loads(line)
                for id_ in _waiting(item, answered):
                    (await http.post(f"/tools/{id_}", json=RESULT)).raise_for_status()
                if _is_over(item):
                    break


def _message(kind: str) -> dict[str, Any]:
    tools = [TOOL] if kind == "tool" else []
    return {"chat_id": None, "agent_config": {**agent(kind), "tools": tools}, "input": {"text": "Weather?"}}


def _waiting(item: dict[str, Any], answered: set[str]) -> list[str]:
    """The invocations that wait for us and have not been answered yet."""
    if item.get("event") != "chat_messages":
        return []
    calls = item["data"].get("tool_invocations") or []
    found = [each["id"] for each in calls if each["status"] == "awaiting_input" and each["id"] not in answered]
    answered.update(found)
    return found


def _is_over(item: dict[str, Any]) -> bool:
    return item.get("event") == "chats" and item["data"]["status"] == "idle"
