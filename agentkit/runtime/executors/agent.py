"""Tools of type `agent`: a call is a chat of its own with another agent, whose end is its result (protocol.md 6.11).

With `handoff` the other agent takes the chat over instead. Both happen in the transaction that lets go of the call, so
a call has one chat, however often it is carried out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from pydantic_core import to_json

from agentkit.runtime import agents, invocations, runs
from agentkit.runtime.agents import Resolved
from agentkit.runtime.budgets import Limits
from agentkit.runtime.executors import Elsewhere, Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Reading, Store
from agentkit.runtime.records import ChatRecord, InvocationRecord, MessageRecord, RunAgent, RunRecord
from agentkit.runtime.work import Work
from agentkit.wire import AgentConfig, AgentTool, AgentToolConfig, ToolType

__all__ = ["AgentExecutor", "Bind"]

_MESSAGE: Final = {"type": "string", "minLength": 1, "description": "What it should do, with all that it needs to know"}
_REASON: Final = {"type": "string", "description": "Why the other agent should go on from here"}
ASKS: Final[Mapping[str, Any]] = {"type": "object", "properties": {"message": _MESSAGE}, "required": ["message"]}
HANDS_OVER: Final[Mapping[str, Any]] = {"type": "object", "properties": {"reason": _REASON}, "required": []}
PLAIN: Final = ("message", "input", "text", "prompt", "query")
"""An only argument of one of these names is the message itself; everything else is sent as JSON."""


class Bind(Protocol):
    """Makes an agent's tools ready for a chat (`Binder.bind`)."""

    async def __call__(self, config: AgentConfig, *, owner: str) -> AgentConfig:
        """The agent as a chat has it. Raises Fault."""
        ...


class AgentExecutor:
    """Asks other agents, and hands chats over to them. `bind` makes their tools ready, as a message's own agent's."""

    kinds: ClassVar[tuple[ToolType, ...]] = (ToolType.AGENT,)

    def __init__(self, store: Store, *, bind: Bind, limits: Limits) -> None:
        self._store = store
        self._bind = bind
        self._limits = limits

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Nothing to open: the platform's loop moves the chats on."""
        yield

    async def bind(self, tool: AgentTool, *, owner: str) -> Sequence[AgentTool]:
        """The tool with the agent and version it means now.

        Raises Fault: 404 for an agent or version that is not there; whatever the tools of an agent that came along
        raise.
        """
        try:
            found = await self._store.read(lambda tx: agents.asked_agent(tx, tool, owner=owner))
            if found.agent_id is None:
                await self._bind(found.config, owner=owner)  # its tools are made ready anew for each call
        except Fault as fault:
            raise Fault(fault.code, f"tool {tool.name!r}: {fault.detail}", **fault.members) from None
        return [_bound(tool, found)]

    def is_stale(self, tool: AgentTool) -> bool:
        """A chat keeps the version it has until its next message."""
        return False

    def is_idempotent(self, call: Execution) -> bool:
        """Nothing happens before the transaction that links the new chat to the call."""
        return True

    async def execute(self, call: Execution, desk: ToolDesk) -> Produced | Elsewhere:
        """Begins the chat, or hands this one over. Raises ToolFailure where that would go round for ever."""
        try:
            found = await self._store.read(lambda tx: agents.asked_agent(tx, call.tool, owner=call.owner))
            context = agents.check_context(found.config, call.context)
            bound = await self._bind(found.config, owner=call.owner)
        except Fault as fault:
            raise ToolFailure(fault.detail, data={"code": fault.code}, had_effect=False) from None
        if call.tool.agent is not None and call.tool.agent.handoff:
            return Elsewhere(partial(_hand_over, found=found, bound=bound, context=context))
        message = message_of(call.arguments)
        depth = await self._store.read(lambda tx: self._depth(tx, call, found, message))
        begin = partial(self._begin, found=found, bound=bound, context=context, message=message, depth=depth)
        return Elsewhere(lambda work, invocation: begin(work, invocation, timeout_seconds=call.tool.timeout))

    # -- beginning -------------------------------------------------------------------------------------------------

    def _depth(self, tx: Reading, call: Execution, found: Resolved, message: str) -> int:
        """How deep the new chat is below the first one."""
        chats = list(_chats_above(tx, call.chat_id))
        if any(_asks_the_same(tx, chat, found, message) for chat in chats):
            raise ToolFailure(
                f"the agent {found.name!r} was asked this very question already, above here, and would go on asking; "
                "do the work yourself, or ask for a part of it"
            )
        if len(chats) > self._limits.depth:
            raise ToolFailure(
                f"sub-agents nest {self._limits.depth} deep at most, and you are one at that depth; "
                "do the work yourself, or answer with what you have"
            )
        return len(chats)

    def _begin(
        self,
        work: Work,
        invocation: InvocationRecord,
        *,
        found: Resolved,
        bound: AgentConfig,
        context: Mapping[str, str],
        message: str,
        depth: int,
        timeout_seconds: float | None,
    ) -> InvocationRecord:
        run = work.tx.get(RunRecord, invocation.run_id)
        if invocation.execution_id is not None or run is None:  # saved twice: the store said no, and had done it
            return invocation
        started = runs.start(
            work.tx,
            runs.Start(
                owner=work.chat.owner,
                text=message,
                agent=_with_model(bound, work, found),
                given=_with_model(found.config, work, found) if bound is not found.config else None,
                agent_ref=found.ref,
                agent_id=found.agent_id,
                agent_version_id=found.version_id,
                name=found.name,
                context=dict(context),
                asking=runs.Asking(
                    chat_id=work.chat.id,
                    invocation_id=invocation.id,
                    depth=depth,
                    budget_id=run.budget_id or run.id,
                    result_chars=self._limits.result_chars,
                    timeout_seconds=timeout_seconds,
                    waits=_at_work(work, run) >= self._limits.parallel_tools,
                ),
            ),
        )
        return work.save(invocation, execution_id=started["assistant_message"]["chat_id"])


def message_of(arguments: Mapping[str, Any]) -> str:
    """The first message of the new chat: the only text there is, or the arguments as JSON."""
    match list(arguments.items()):
        case [(name, str(text))] if name in PLAIN and text:
            return text
        case _:
            return to_json(arguments).decode()


# -- parts ---------------------------------------------------------------------------------------------------------


def _bound(tool: AgentTool, found: Resolved) -> AgentTool:
    config = tool.agent or AgentToolConfig()
    schema = config.input_schema or (HANDS_OVER if config.handoff else ASKS)
    pinned = config.model_copy(
        update={"id": found.agent_id, "version_id": found.version_id, "input_schema": dict(schema)}
    )
    described = tool.description or found.config.description or _description(config, found)
    return tool.model_copy(update={"agent": pinned, "description": described})


def _description(config: AgentToolConfig, found: Resolved) -> str:
    if config.handoff:
        return f"Hands the conversation over to the agent {found.name}, which answers from then on."
    return f"Asks the agent {found.name}, which works on its own and answers when it is done."


def _with_model(config: AgentConfig, work: Work, found: Resolved) -> AgentConfig:
    """An agent that came along without a model uses that of the agent it came with."""
    if config.core_app is not None or found.agent_id is not None:
        return config
    return config.model_copy(update={"core_app": work.chat.agent.core_app})


def _chats_above(tx: Reading, chat_id: str) -> Iterator[ChatRecord]:
    """The chat, the one that asked it, and so on to the first."""
    chat = tx.get(ChatRecord, chat_id)
    while chat is not None:
        yield chat
        chat = tx.get(ChatRecord, chat.parent_id) if chat.parent_id else None


def _asks_the_same(tx: Reading, chat: ChatRecord, found: Resolved, message: str) -> bool:
    """Whether the chat works on this question already; only a stored agent can come to ask itself."""
    is_same = found.version_id is not None and chat.agent_version_id == found.version_id
    run = tx.get(RunRecord, chat.run_id) if is_same and chat.run_id else None
    asked = tx.get(MessageRecord, run.user_message_id) if run else None
    return asked is not None and [part.get("text") for part in asked.content] == [message]


def _at_work(work: Work, run: RunRecord) -> int:
    """How many sub-agents that this run asked have begun and are not done.

    One that is over has made room for the next in line already, though its large answer may not be handed in yet.
    """
    asked = [each.execution_id for each in work.open_invocations(run) if each.type is ToolType.AGENT]
    chats = (Work.of(work.tx, each) for each in asked if each)
    return sum(chat is not None and chat.open_run is not None for chat in chats)


def _hand_over(
    work: Work, invocation: InvocationRecord, *, found: Resolved, bound: AgentConfig, context: Mapping[str, str]
) -> InvocationRecord:
    """The chat is the other agent's from the next answer on; what this answer asked for besides is done before."""
    if work.chat.handed_to is not None:
        return invocations.conclude(work, invocation, "the chat is handed over to another agent already", failed=True)
    target = RunAgent(
        agent=bound,
        given=found.config if bound is not found.config else None,
        agent_ref=found.ref,
        agent_id=found.agent_id,
        agent_version_id=found.version_id,
    )
    work.save_chat(handed_to=target, context=dict(context))
    return invocations.conclude(work, invocation, f"handed over to {found.name}")
