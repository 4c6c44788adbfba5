"""The service itself."""

from __future__ import annotations

from typing import Any

from agentkit import __version__
from agentkit.protocol import api
from agentkit.protocol.openapi import openapi
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked


@routes.on(api.OPENAPI)
async def openapi_json(asked: Asked) -> Any:
    """The route catalogue."""
    return openapi(api.ENDPOINTS)


@routes.on(api.HEALTH)
async def health(asked: Asked) -> Any:
    """Whether it answers."""
    return {"status": "ok", "version": __version__}
