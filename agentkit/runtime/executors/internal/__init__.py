"""The tools the platform itself offers: one file per category (protocol.md 6.8).

Most of them only change the chat's own rows, so they run inside the transaction that settles their invocation: there
is no moment in which such a call has happened and is not known to have. Those that need more are carried out like
server-side tools, by `InternalExecutor`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agentkit.protocol.lines import is_object
from agentkit.runtime.executors import Execution, Produced, ToolDesk
from agentkit.runtime.faults import Fault
from agentkit.runtime.records import ChatRecord, InvocationRecord
from agentkit.runtime.skills import SkillSource
from agentkit.wire import AgentConfig, InterruptReason, ToolType

if TYPE_CHECKING:  # rows of a chat and internal tools name each other
    from agentkit.runtime.ports import Store
    from agentkit.runtime.work import Work

__all__ = [
    "SUB_AGENT",
    "TOP_LEVEL",
    "Answered",
    "Category",
    "Effect",
    "InternalTool",
    "Means",
    "answered",
    "by_name",
    "catalogue",
    "categories",
    "declined",
    "find",
    "names",
    "offered",
    "takes_values",
]

TOP_LEVEL: Final = "top_level"
SUB_AGENT: Final = "sub_agent"
CLOSED: Final = "the user closed the widget without an answer"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an internal tool did: the text for the model, and the chat's fields to change.

    `waits_for`: the call stays open, because a person has to answer first; `widget` is what the person sees, `asked`
    what else their question tells, and `answer_schema` what their answer has to fit.
    """

    result: str = ""
    failed: bool = False
    chat: Mapping[str, Any] = field(default_factory=dict[str, Any])
    widget: dict[str, Any] | None = None
    waits_for: InterruptReason | None = None
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answer_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person answered: the text for the model, and the same as JSON. `is_declined`: that they will not."""

    text: str
    data: Any = None
    is_declined: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """What internal tools need outside of a transaction. `page_chars`: how long their result may be."""

    store: Store
    skills: SkillSource
    page_chars: int


@dataclass(frozen=True, slots=True)
class InternalTool:
    """One tool of a category: `apply` runs in the transaction, `execute` outside of it and may be repeated.

    Exactly one of them is there. `execute` raises ToolFailure. `answer` takes what a person answers to a call (its
    arguments), where that is more than a widget's action; it raises Fault `validation_error`.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    apply: Callable[[ChatRecord, Mapping[str, Any]], Effect] | None = None
    execute: Callable[[Execution, ToolDesk, Means], Awaitable[Produced]] | None = None
    answer: Callable[[Mapping[str, Any], Any], Answered] | None = None
    declined: str = CLOSED  # what the model reads where the person will not answer


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
    from agentkit.runtime.executors.internal import ask, memory, meta, plan, results, skills, widget

    return (
        plan.CATEGORY, memory.CATEGORY, widget.CATEGORY, ask.CATEGORY, skills.CATEGORY, meta.CATEGORY, results.CATEGORY,
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


def answered(invocation: InvocationRecord, given: Any) -> Answered:
    """What a person answered to a call that waits for it. Raises Fault where it does not fit."""
    from agentkit.runtime.executors.internal import widget

    own = _own(invocation)
    if own is not None and own.answer is not None:
        return own.answer(invocation.arguments, given)
    if not is_object(given):
        raise Fault(
            "invalid_request",
            "this is a widget, not an approval: answer with `data`: {action, form_data}, or with POST /tools/{id}",
        )
    return Answered(*widget.answer(invocation.widget or {}, given))


def declined(invocation: InvocationRecord, reason: str = "") -> str:
    """What the model reads of a call that a person will not answer."""
    own = _own(invocation)
    said = own.declined if own is not None else CLOSED
    return f"{said}: {reason}" if reason else said


def takes_values(invocation: InvocationRecord) -> bool:
    """Whether the call is answered with a value, not with a widget's action only."""
    own = _own(invocation)
    return own is not None and own.answer is not None


def _own(invocation: InvocationRecord) -> InternalTool | None:
    return by_name(invocation.name) if invocation.type is ToolType.INTERNAL else None


def _is_offered(work: Work, category: Category) -> bool:
    scope = TOP_LEVEL if work.chat.parent_id is None else SUB_AGENT
    return scope in category.scope and is_on(work.chat.agent, category) and category.is_needed(work)
