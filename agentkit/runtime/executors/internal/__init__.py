"""The tools the platform itself offers: one file per category (protocol.md 6.8).

An internal tool only changes the chat's own rows, so it runs inside the transaction that settles its invocation:
there is no moment in which it has happened and is not known to have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit.runtime.records import ChatRecord
from agentkit.wire import AgentConfig

__all__ = ["Category", "Effect", "InternalTool", "categories", "enabled", "find"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an internal tool did: the text for the model, and the chat's fields to change."""

    result: str
    failed: bool = False
    chat: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class InternalTool:
    """One tool of a category."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    apply: Callable[[ChatRecord, Mapping[str, Any]], Effect]


@dataclass(frozen=True, slots=True)
class Category:
    """A switch of `internal_tools`, and the tools behind it."""

    id: str  # the flag's name
    description: str
    tools: tuple[InternalTool, ...]
    default_enabled: bool
    scope: tuple[str, ...] = ("top_level", "sub_agent")


def categories() -> tuple[Category, ...]:
    """Every category this runtime has, except `finish`, which ends a run and so belongs to the loop."""
    from agentkit.runtime.executors.internal import memory, plan

    return (plan.CATEGORY, memory.CATEGORY)


def enabled(agent: AgentConfig) -> Iterator[InternalTool]:
    """The internal tools an agent has: a flag that is not set takes the category's default (protocol.md 10 row 41)."""
    flags = agent.internal_tools.to_wire() if agent.internal_tools else {}
    for category in categories():
        wanted = flags.get(category.id)
        if category.default_enabled if wanted is None else wanted:
            yield from category.tools


def find(agent: AgentConfig, name: str) -> InternalTool | None:
    """The agent's internal tool of this name."""
    return next((tool for tool in enabled(agent) if tool.name == name), None)
