"""`plan_create`, `plan_update`, `plan_load`: the agent's list of steps, kept in `agent_data.plan_steps`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from agentkit.runtime.executors.internal import Category, Effect, InternalTool
from agentkit.runtime.records import ChatRecord
from agentkit.wire import PlanStepStatus

__all__ = ["CATEGORY"]

_STATUSES = [status.value for status in PlanStepStatus]
_FAILED = "failed"  # the platform's docs name it, its enum lacks it: kept as cancelled (protocol.md 10 row 42)


def _steps(chat: ChatRecord) -> str:
    return to_json({"steps": chat.plan_steps}).decode()


def _create(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    steps = [
        {
            "index": index,
            "title": step if isinstance(step, str) else step["title"],
            "description": "" if isinstance(step, str) else step.get("description") or "",
            "status": PlanStepStatus.PENDING.value,
        }
        for index, step in enumerate(arguments["steps"])
    ]
    return Effect(to_json({"steps": steps}).decode(), chat={"plan_steps": steps})


def _update(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    index = int(arguments["index"])  # 1.0 is an integer to JSON Schema
    if not 0 <= index < len(chat.plan_steps):
        return Effect(f"there is no step {index}; the plan has {len(chat.plan_steps)} steps, from 0", failed=True)
    status = PlanStepStatus.CANCELLED.value if arguments["status"] == _FAILED else arguments["status"]
    changed: dict[str, Any] = {**chat.plan_steps[index], "status": status}
    if arguments.get("notes"):
        changed["notes"] = arguments["notes"]
    steps = [changed if each["index"] == index else each for each in chat.plan_steps]
    return Effect(to_json({"steps": steps}).decode(), chat={"plan_steps": steps})


def _load(chat: ChatRecord, arguments: Mapping[str, Any]) -> Effect:
    return Effect(_steps(chat))


CATEGORY = Category(
    id="plan",
    description="Lets the agent keep a plan of steps and tick them off.",
    default_enabled=True,
    tools=(
        InternalTool(
            "plan_create",
            "Write the plan: the steps to take, in order. Replaces an earlier plan.",
            {
                "type": "object",
                "properties": {
                    "steps": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "anyOf": [
                                {"type": "string"},
                                {
                                    "type": "object",
                                    "properties": {"title": {"type": "string"}, "description": {"type": "string"}},
                                    "required": ["title"],
                                },
                            ]
                        },
                    }
                },
                "required": ["steps"],
            },
            _create,
        ),
        InternalTool(
            "plan_update",
            "Set the status of one step of the plan.",
            {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "status": {"type": "string", "enum": [*_STATUSES, _FAILED]},
                    "notes": {"type": "string"},
                },
                "required": ["index", "status"],
            },
            _update,
        ),
        InternalTool("plan_load", "Read the plan.", {"type": "object", "properties": {}, "required": []}, _load),
    ),
)
