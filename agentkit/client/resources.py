"""`client.agents`: conversations with agents, and the stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from agentkit.client.agent import Agent, AsyncAgent
from agentkit.client.conversation import Conversation
from agentkit.client.definition import Definition
from agentkit.client.journal import Journal, Kept, journal_of
from agentkit.client.listing import list_request
from agentkit.client.transport import AsyncTransport, Transport
from agentkit.protocol import api
from agentkit.protocol.endpoint import Call
from agentkit.wire import Agent as AgentRecord
from agentkit.wire import AgentConfig, CreateAgentRequest, Page

__all__ = ["Agents", "AsyncAgents"]

T = TypeVar("T")


def conversation(
    transport: Transport | AsyncTransport,
    agent: Any,
    *,
    context: Mapping[str, str] | None,
    tools: Sequence[Any],
    output_type: Any,
    tool_timeout_seconds: float | None,
    journal: Journal,
    chat_id: str | None = None,
) -> Conversation[Any]:
    """The conversation of an agent's definition."""
    return Conversation(
        transport.config,
        Definition.of(agent, tools=tools, output_type=output_type),
        context=dict(context) if context else None,
        tool_timeout_seconds=tool_timeout_seconds,
        journal=journal,
        chat_id=chat_id,
    )


def stored(config: Any, *, name: str, namespace: str | None, agent_id: str | None) -> CreateAgentRequest:
    """The request that stores an agent; handlers stay here."""
    definition = Definition.of(config)
    body = {"name": name, "version": AgentConfig.parse(definition.config or {})}
    more = {"namespace": namespace, "id": agent_id}
    return CreateAgentRequest.parse(body | {key: value for key, value in more.items() if value is not None})


class Agents:
    """`client.agents`: conversations with agents, and the stored ones."""

    def __init__(self, transport: Transport, journal: Journal | None = None) -> None:
        self._transport = transport
        self._journal = journal_of(journal)

    @overload
    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: type[T],
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[T]: ...

    @overload
    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: None = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[Any]: ...

    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[Any]:
        """A conversation with a stored agent (`namespace/name@version`) or an ad-hoc one (a config).

        `tools`: more client tools with their handlers. `context`: variables of the chat, fixed when it begins.
        `output_type`: what `run` returns; its schema goes to the agent, whose finish tool is switched on. `journal`:
        where calls of client tools are noted, if not where this client notes them (see `Journal`).
        """
        return Agent(
            self._transport,
            conversation(
                self._transport,
                agent,
                context=context,
                tools=tools,
                output_type=output_type,
                tool_timeout_seconds=tool_timeout_seconds,
                journal=self._journal if journal is None else journal_of(journal),
            ),
        )

    def resume(
        self,
        chat_id: str,
        agent: Any = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> Agent[Any]:
        """The conversation of a chat that exists, in any process: `resume(id, tools=[...]).resume().result()`.

        Without `agent`, later messages go to the agent that the chat has.
        """
        return Agent(
            self._transport,
            conversation(
                self._transport,
                agent,
                context=None,
                tools=tools,
                output_type=output_type,
                tool_timeout_seconds=tool_timeout_seconds,
                journal=self._journal if journal is None else journal_of(journal),
                chat_id=chat_id,
            ),
        )

    def store(
        self, config: Any, *, name: str, namespace: str | None = None, agent_id: str | None = None
    ) -> AgentRecord:
        """Stores an agent, or with `agent_id` a new version of it (POST /agents)."""
        return self._transport.send(
            api.CREATE_AGENT.call(stored(config, name=name, namespace=namespace, agent_id=agent_id))
        )

    def get(self, agent_id: str) -> AgentRecord:
        """A stored agent, by id or by `namespace/name`."""
        return self._transport.send(_get(agent_id))

    def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[AgentRecord]:
        """The stored agents, newest first."""
        return self._transport.send(api.LIST_AGENTS.call(list_request(cursor, limit)))

    def delete(self, agent_id: str) -> None:
        """Deletes a stored agent; its chats stay."""
        self._transport.send(api.DELETE_AGENT.call(agent_id=agent_id))


class AsyncAgents:
    """The async twin of `Agents`; `create` and `resume` wait for nothing and are not awaited."""

    def __init__(self, transport: AsyncTransport, journal: Journal | None = None) -> None:
        self._transport = transport
        self._journal = journal_of(journal)

    @overload
    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: type[T],
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[T]: ...

    @overload
    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: None = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[Any]: ...

    def create(
        self,
        agent: Any,
        *,
        context: Mapping[str, str] | None = None,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[Any]:
        """See `Agents.create`."""
        return AsyncAgent(
            self._transport,
            conversation(
                self._transport,
                agent,
                context=context,
                tools=tools,
                output_type=output_type,
                tool_timeout_seconds=tool_timeout_seconds,
                journal=self._journal if journal is None else journal_of(journal),
            ),
        )

    def resume(
        self,
        chat_id: str,
        agent: Any = None,
        *,
        tools: Sequence[Any] = (),
        output_type: Any = None,
        tool_timeout_seconds: float | None = None,
        journal: Kept | None = None,
    ) -> AsyncAgent[Any]:
        """See `Agents.resume`."""
        return AsyncAgent(
            self._transport,
            conversation(
                self._transport,
                agent,
                context=None,
                tools=tools,
                output_type=output_type,
                tool_timeout_seconds=tool_timeout_seconds,
                journal=self._journal if journal is None else journal_of(journal),
                chat_id=chat_id,
            ),
        )

    async def store(
        self, config: Any, *, name: str, namespace: str | None = None, agent_id: str | None = None
    ) -> AgentRecord:
        """See `Agents.store`."""
        return await self._transport.send(
            api.CREATE_AGENT.call(stored(config, name=name, namespace=namespace, agent_id=agent_id))
        )

    async def get(self, agent_id: str) -> AgentRecord:
        """See `Agents.get`."""
        return await self._transport.send(_get(agent_id))

    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[AgentRecord]:
        """See `Agents.list`."""
        return await self._transport.send(api.LIST_AGENTS.call(list_request(cursor, limit)))

    async def delete(self, agent_id: str) -> None:
        """See `Agents.delete`."""
        await self._transport.send(api.DELETE_AGENT.call(agent_id=agent_id))


def _get(agent_id: str) -> Call[AgentRecord]:
    namespace, slash, name = agent_id.partition("/")
    if slash:
        return api.GET_AGENT_BY_NAME.call(namespace=namespace, name=name)
    return api.GET_AGENT.call(agent_id=agent_id)
