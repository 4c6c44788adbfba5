"""Apps and their versions."""

from __future__ import annotations

from typing import Any

from agentkit.protocol import api
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked
from agentkit.wire import CursorListRequest


@routes.on(api.CREATE_APP)
async def create_app(asked: Asked) -> Any:
    """Stores an app, or a version of one."""
    return await asked.platform.apps.create(asked.owner, asked.body)


@routes.on(api.LIST_APPS_GET)
async def list_apps_get(asked: Asked) -> Any:
    """A page of apps, by query (protocol.md 10, #28)."""
    return await asked.platform.apps.page(asked.owner, _paged(asked))


@routes.on(api.LIST_APPS)
async def list_apps(asked: Asked) -> Any:
    """A page of apps."""
    return await asked.platform.apps.page(asked.owner, asked.body)


@routes.on(api.GET_APP)
async def get_app(asked: Asked) -> Any:
    """One app."""
    return await asked.platform.apps.get(asked.owner, asked["app_id"])


@routes.on(api.GET_APP_BY_NAME)
async def get_app_by_name(asked: Asked) -> Any:
    """One app by its name."""
    return await asked.platform.apps.get(asked.owner, f"{asked['namespace']}/{asked['name']}")


@routes.on(api.UPDATE_APP)
async def update_app(asked: Asked) -> Any:
    """What is said of it, and another version."""
    return await asked.platform.apps.update(asked.owner, asked["app_id"], asked.body)


@routes.on(api.DELETE_APP)
async def delete_app(asked: Asked) -> None:
    """Its tasks stay."""
    await asked.platform.apps.delete(asked.owner, asked["app_id"])


@routes.on(api.SET_APP_VISIBILITY)
async def set_app_visibility(asked: Asked) -> Any:
    """Who may see and run it."""
    return await asked.platform.apps.set_visibility(asked.owner, asked["app_id"], str(asked.body.visibility))


@routes.on(api.LIST_APP_VERSIONS_GET)
async def list_app_versions_get(asked: Asked) -> Any:
    """A page of versions, by query."""
    return await asked.platform.apps.versions(asked.owner, asked["app_id"], _paged(asked))


@routes.on(api.LIST_APP_VERSIONS)
async def list_app_versions(asked: Asked) -> Any:
    """A page of versions."""
    return await asked.platform.apps.versions(asked.owner, asked["app_id"], asked.body)


@routes.on(api.GET_APP_VERSION)
async def get_app_version(asked: Asked) -> Any:
    """One version (protocol.md 10, #27)."""
    return await asked.platform.apps.version(asked.owner, asked["app_id"], asked["version_id"])


@routes.on(api.SET_CURRENT_VERSION)
async def set_current_version(asked: Asked) -> Any:
    """The version that runs from now on."""
    return await asked.platform.apps.set_current(asked.owner, asked["app_id"], asked["version_id"])


@routes.on(api.SET_CURRENT_VERSION_POST)
async def set_current_version_post(asked: Asked) -> Any:
    """The older way to say so (protocol.md 10, #26)."""
    return await asked.platform.apps.set_current(asked.owner, asked["app_id"], asked.body.version_id)


def _paged(asked: Asked) -> CursorListRequest:
    return CursorListRequest(limit=asked.number("limit"), cursor=asked.request.query_params.get("cursor"))
