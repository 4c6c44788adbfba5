"""Agents: run, store, list."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.follow import Followed, follow
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.handlers._streams import items
from agentkit.runtime.routes import Asked
from agentkit.wire import ChatMessageStatus


@routes.on(api.RUN_AGENT)
async def run_agent(asked: Asked) -> Any:
    """Answers before the model ran; with `stream` sends the run as it goes, unless it was queued."""
    chats, body = asked.platform.chats, asked.body
    before = await chats.cursor(asked.owner, body.chat_id) if body.stream and body.chat_id else 0
    reply = await chats.run(asked.owner, body, once=asked.once)
    if not body.stream or reply["user_message"]["status"] == ChatMessageStatus.QUEUED:
        return reply
    is_replay = asked.once is not None and asked.once.is_replay
    followed = Followed.of(reply, owner=asked.owner, after=None if is_replay else before)
    return items(asked, follow(asked.platform, followed))


@routes.on(api.CREATE_AGENT)
async def create_agent(asked: Asked) -> Any:
    """Stores an agent, or a version."""
    return await asked.platform.agents.create(asked.owner, asked.body)


@routes.on(api.LIST_AGENTS)
async def list_agents(asked: Asked) -> Any:
    """A page of agents."""
    return await asked.platform.agents.page(asked.owner, asked.body)


@routes.on(api.INTERNAL_TOOLS)
async def internal_tools(asked: Asked) -> Any:
    """What the platform itself offers."""
    return await asked.platform.agents.internal_tools()


@routes.on(api.GET_AGENT)
async def get_agent(asked: Asked) -> Any:
    """One agent."""
    return await asked.platform.agents.get(asked.owner, asked["agent_id"])


@routes.on(api.GET_AGENT_BY_NAME)
async def get_agent_by_name(asked: Asked) -> Any:
    """One agent by its name."""
    return await asked.platform.agents.by_name(asked.owner, asked["namespace"], asked["name"])


@routes.on(api.UPDATE_AGENT)
async def update_agent(asked: Asked) -> Any:
    """A new version."""
    return await asked.platform.agents.create(asked.owner, asked.body, agent_id=asked["agent_id"])


@routes.on(api.DELETE_AGENT)
async def delete_agent(asked: Asked) -> None:
    """Its chats stay."""
    await asked.platform.agents.delete(asked.owner, asked["agent_id"])


@routes.on(api.LIST_AGENT_VERSIONS)
async def list_agent_versions(asked: Asked) -> Any:
    """A page of versions."""
    return await asked.platform.agents.versions(asked.owner, asked["agent_id"], asked.body)


@routes.on(api.GET_AGENT_VERSION)
async def get_agent_version(asked: Asked) -> Any:
    """One version."""
    return await asked.platform.agents.version(asked.owner, asked["agent_id"], asked["version_id"])
