"""The tools the platform itself offers: one file per category (protocol.md 6.8).

Most of them only change the chat's own rows, so they run inside the transaction that settles their invocation: there
is no moment in which such a call has happened and is not known to have. Those that need more are carried out like
server-side tools, by `InternalExecutor`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agentkit.runtime.executors import Execution, Produced, ToolDesk
from agentkit.runtime.records import ChatRecord
from agentkit.runtime.skills import SkillSource
from agentkit.wire import AgentConfig, InterruptReason

if TYPE_CHECKING:  # rows of a chat and internal tools name each other
    from agentkit.runtime.ports import Store
    from agentkit.runtime.work import Work

__all__ = [
    "SUB_AGENT",
    "TOP_LEVEL",
    "Category",
    "Effect",
    "InternalTool",
    "Means",
    "by_name",
    "catalogue",
    "categories",
    "find",
    "names",
    "offered",
]

TOP_LEVEL: Final = "top_level"
SUB_AGENT: Final = "sub_agent"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an internal tool did: the text for the model, and the chat's fields to change.

    `waits_for`: the call stays open, because a person has to answer first; `widget` is what the person sees.
    """

    result: str = ""
    failed: bool = False
    chat: Mapping[str, Any] = field(default_factory=dict[str, Any])
    widget: dict[str, Any] | None = None
    waits_for: InterruptReason | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What internal tools need outside of a transaction. `page_chars`: how long their result may be."""

    store: Store
    skills: SkillSource
    page_chars: int


@dataclass(frozen=True, slots=True)
class InternalTool:
    """One tool of a category: `apply` runs in the transaction, `execute` outside of it and may be repeated.

    Exactly one of them is there. `execute` raises ToolFailure.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    apply: Callable[[ChatRecord, Mapping[str, Any]], Effect] | None = None
    execute: Callable[[Execution, ToolDesk, Means], Awaitable[Produced]] | None = None


def _always(work: Work) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Category:
    """A switch of `internal_tools`, and the tools behind it. `is_needed`: whether a chat has any use for them."""

    id: str  # the flag's name
    description: str
    tools: tuple[InternalTool, ...]
    default_enabled: bool
    scope: tuple[str, ...] = (TOP_LEVEL, SUB_AGENT)
    is_needed: Callable[[Work], bool] = _always


def categories() -> tuple[Category, ...]:
    """Every category this runtime has, except `finish`, which ends a run and so belongs to the loop."""
    from agentkit.runtime.executors.internal import memory, meta, plan, results, skills, widget

    return (
        plan.CATEGORY, memory.CATEGORY, widget.CATEGORY, skills.CATEGORY, meta.CATEGORY, results.CATEGORY,
    )  # fmt: skip


def catalogue() -> tuple[Category, ...]:
    """Every category there is (GET /agents/internal-tools)."""
    from agentkit.runtime.executors.internal import finish

    return (*categories(), finish.CATEGORY)


def is_on(agent: AgentConfig, category: Category) -> bool:
    """Whether the agent has the category: a flag that is not set takes its default (protocol.md 10 row 41)."""
    flags = agent.internal_tools.to_wire() if agent.internal_tools else {}
    wanted = flags.get(category.id)
    return category.default_enabled if wanted is None else bool(wanted)


def names(agent: AgentConfig) -> set[str]:
    """The names that the agent's own tools cannot have, because these tools may be offered beside them."""
    from agentkit.runtime.executors.internal import finish

    return {tool.name for each in categories() if is_on(agent, each) for tool in each.tools} | {finish.NAME}


def offered(work: Work) -> Iterator[InternalTool]:
    """The internal tools that the chat's agent has just now."""
    for category in categories():
        if _is_offered(work, category):
            yield from category.tools


def find(work: Work, name: str) -> InternalTool | None:
    """The internal tool of this name, if the chat's agent has it just now."""
    for category in categories():
        for tool in category.tools:
            if tool.name == name:
                return tool if _is_offered(work, category) else None
    return None


def by_name(name: str) -> InternalTool | None:
    """The internal tool of this name, whoever has it."""
    return next((tool for each in categories() for tool in each.tools if tool.name == name), None)


def _is_offered(work: Work, category: Category) -> bool:
    scope = TOP_LEVEL if work.chat.parent_id is None else SUB_AGENT
    return scope in category.scope and is_on(work.chat.agent, category) and category.is_needed(work)
