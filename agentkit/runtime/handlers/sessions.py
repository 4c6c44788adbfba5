"""App sessions."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked


@routes.on(api.LIST_SESSIONS)
async def list_sessions(asked: Asked) -> Any:
    """The active ones."""
    return await asked.platform.sessions.active(asked.owner)


@routes.on(api.GET_SESSION)
async def get_session(asked: Asked) -> Any:
    """Whatever its status."""
    return await asked.platform.sessions.get(asked.owner, asked["session_id"])


@routes.on(api.KEEP_SESSION)
async def keep_session(asked: Asked) -> Any:
    """Its idle time begins anew."""
    return await asked.platform.sessions.keep(asked.owner, asked["session_id"])


@routes.on(api.END_SESSION)
async def end_session(asked: Asked) -> None:
    """What runs is finished."""
    await asked.platform.sessions.end(asked.owner, asked["session_id"])
