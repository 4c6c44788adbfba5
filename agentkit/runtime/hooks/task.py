"""Hooks of type `task`: an agent decides. It reads the payload in a chat of its own; its output is the answer.

The agent's own hooks are left out there, so hooks do not call each other without end. Its model calls count for the
run that asks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final, Protocol

from pydantic_core import to_json

from agentkit.runtime import agents, runs
from agentkit.runtime.agents import Resolved
from agentkit.runtime.budgets import Limits
from agentkit.runtime.faults import Fault
from agentkit.runtime.hooks import HookCall, HookFailure
from agentkit.runtime.hooks.definition import agent_ref
from agentkit.runtime.hooks.webhook import understood
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Bus, Reading, Store, Writing
from agentkit.runtime.records import ChatRecord, HookCallRecord, MessageRecord, RunRecord
from agentkit.runtime.states import RUN, is_open
from agentkit.runtime.work import Work
from agentkit.wire import (
    AgentConfig,
    AgentHook,
    AgentRunState,
    HookDecision,
    HookHandlerType,
    HookResponse,
    InternalToolsConfig,
)

__all__ = ["DECISION", "TaskHandler"]

LOOK_SECONDS: Final = 5.0  # the end of a run that another process moves is seen after this long
DECISION: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "enum": [each.value for each in HookDecision],
            "description": "allow: it goes on; deny: this does not happen; stop: the run ends; suspend: ask a person",
        },
        "reason": {"type": "string", "description": "Why, for whoever reads it"},
        "override": {"description": "The call's arguments, or the text of its result, in place of what they are"},
        "inject": {
            "type": "object",
            "properties": {"content": {"type": "string"}, "ttl_turns": {"type": "integer", "minimum": 1}},
            "description": "A message for the agent that is watched",
        },
        "system": {"type": "string", "description": "What to add to the system prompt of the agent that is watched"},
    },
    "required": ["decision"],
}
"""The JSON Schema of the output of an agent that decides."""


class Bind(Protocol):
    """Makes an agent's tools ready for a chat (`Binder.bind`)."""

    async def __call__(self, config: AgentConfig, *, owner: str) -> AgentConfig:
        """The agent as a chat has it. Raises Fault."""
        ...


class TaskHandler:
    """Has agents decide."""

    type: ClassVar[HookHandlerType] = HookHandlerType.TASK

    def __init__(self, store: Store, bus: Bus, *, bind: Bind, limits: Limits) -> None:
        self._store = store
        self._bus = bus
        self._bind = bind
        self._limits = limits

    async def require(self, hook: AgentHook, *, owner: str) -> None:
        """Raises Fault where there is no such agent."""
        await self._store.read(lambda tx: agents.resolve(tx, agent_ref(hook), owner=owner))

    async def ask(self, call: HookCall) -> HookResponse:
        """The agent's decision. A hook that is only told is through as soon as the agent has begun."""
        chat_id = call.execution_id or await self._begin(call)
        if call.is_told:
            return HookResponse()
        run = await self._end_of(chat_id)
        if run is None or run.state is not AgentRunState.COMPLETED:
            raise HookFailure(f"the agent did not decide: {run.error if run else 'its chat was deleted'}")
        return understood(to_json(run.output) if run.output is not None else await self._text(run))

    async def aclose(self) -> None:
        """Nothing is open."""

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _begin(self, call: HookCall) -> str:
        """Begins the chat, once for the hook's row."""
        try:
            found = await self._store.read(lambda tx: agents.resolve(tx, agent_ref(call.hook), owner=call.owner))
            agent = await self._bind(_deciding(found.config), owner=call.owner)
        except Fault as fault:
            raise HookFailure(f"the agent cannot decide: {fault}") from None
        bound = replace(found, config=agent)
        return await self._store.write(lambda tx: _start(tx, call, bound, limits=self._limits))

    async def _end_of(self, chat_id: str) -> RunRecord | None:
        """The chat's run once it is over; None where the chat is gone."""
        async with self._bus.subscribe(chat_id) as news:
            while True:
                run = await self._store.read(lambda tx: _run(tx, chat_id))
                if run is None or not is_open(RUN, run.state):
                    return run
                await news.next(LOOK_SECONDS)

    async def _text(self, run: RunRecord) -> str:
        message = await self._store.read(lambda tx: tx.get(MessageRecord, run.message_id))
        parts = message.content if message else ()
        return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")


def _deciding(config: AgentConfig) -> AgentConfig:
    """The agent as one that hands in a decision."""
    tools = (config.internal_tools or InternalToolsConfig()).model_copy(update={"finish": True})
    return config.model_copy(update={"hooks": None, "output_schema": DECISION, "internal_tools": tools})


def _start(tx: Writing, call: HookCall, agent: Resolved, *, limits: Limits) -> str:
    row, work = tx.get(HookCallRecord, call.id), Work.of(tx, call.chat_id)
    run = tx.get(RunRecord, call.run_id)
    if row is None or work is None or run is None:
        raise HookFailure("nobody waits for its answer any more")
    if row.execution_id is not None:
        return row.execution_id
    if work.chat.depth >= limits.depth:
        raise HookFailure(f"agents are {limits.depth} deep in each other, which is the limit")
    chat = tx.insert(
        ChatRecord(
            id=new_id(),
            owner=call.owner,
            agent=agent.config,
            agent_ref=agent.ref,
            agent_id=agent.agent_id,
            agent_version_id=agent.version_id,
            name=f"{agent.name}: {call.hook.event}",
            context=work.chat.context,
            parent_id=work.chat.id,
            depth=work.chat.depth + 1,
        )
    )
    runs.start(tx, runs.Start(owner=call.owner, text=to_json(call.payload).decode(), chat_id=chat.id))
    begun = _run(tx, chat.id)
    if begun is not None:
        tx.update(begun.but(budget_id=run.budget_id or run.id))
    work.save(row, execution_id=chat.id)
    return chat.id


def _run(tx: Reading, chat_id: str) -> RunRecord | None:
    chat = tx.get(ChatRecord, chat_id)
    return tx.get(RunRecord, chat.run_id) if chat and chat.run_id else None
