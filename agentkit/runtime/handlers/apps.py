"""Apps and their versions."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked


async def _later(asked: Asked) -> Any:
    raise Fault("not_configured", "not built yet")


for _each in (
    api.CREATE_APP, api.LIST_APPS_GET, api.LIST_APPS, api.GET_APP, api.GET_APP_BY_NAME, api.UPDATE_APP, api.DELETE_APP,
    api.SET_APP_VISIBILITY, api.LIST_APP_VERSIONS_GET, api.LIST_APP_VERSIONS, api.GET_APP_VERSION,
    api.SET_CURRENT_VERSION, api.SET_CURRENT_VERSION_POST,
):  # fmt: skip
    routes.on(_each)(_later)
