"""Secrets, integrations, API keys. No handler here takes an Idempotency-Key: what it keeps would hold the values."""

from __future__ import annotations

import html
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from agentkit.protocol import api
from agentkit.runtime.auth import IN_PROCESS
from agentkit.runtime.credentials.apikeys import catalogue
from agentkit.runtime.faults import Fault
from agentkit.runtime.handlers._routes import routes
from agentkit.runtime.routes import Asked

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",  # the address has a code in it
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@routes.on(api.LIST_SECRETS)
async def list_secrets(asked: Asked) -> Any:
    """A page of secrets, without their values."""
    return await asked.platform.vault.page(asked.owner, asked.body)


@routes.on(api.CREATE_SECRET)
async def create_secret(asked: Asked) -> Any:
    """Stored sealed."""
    return await asked.platform.vault.create(asked.owner, asked.body)


@routes.on(api.REVEAL_SECRET)
async def reveal_secret(asked: Asked) -> Any:
    """Refused."""
    raise Fault("feature_not_available", "a stored secret is used by tools and apps and shown to nobody; store it anew")


@routes.on(api.UPDATE_SECRET)
async def update_secret(asked: Asked) -> Any:
    """A new value, or description."""
    return await asked.platform.vault.update(asked.owner, asked["key"], asked.body)


@routes.on(api.DELETE_SECRET)
async def delete_secret(asked: Asked) -> None:
    """For good."""
    await asked.platform.vault.delete(asked.owner, asked["key"])


@routes.on(api.LIST_INTEGRATIONS)
async def list_integrations(asked: Asked) -> Any:
    """A page of connections."""
    return await asked.platform.integrations.page(asked.owner, asked.body)


@routes.on(api.AVAILABLE_INTEGRATIONS)
async def available_integrations(asked: Asked) -> Any:
    """The catalogue."""
    return await asked.platform.integrations.available(asked.owner)


@routes.on(api.CONNECT_INTEGRATION)
async def connect_integration(asked: Asked) -> Any:
    """At once, or where a person says yes."""
    base_url = "" if urlsplit(asked.base_url).hostname == IN_PROCESS else asked.base_url
    return await asked.platform.integrations.connect(asked.owner, asked.body, base_url=base_url)


@routes.on(api.CHECK_REQUIREMENTS)
async def check_requirements(asked: Asked) -> Any:
    """What is missing."""
    return await asked.platform.keychain.check(asked.owner, asked.body)


@routes.on(api.INTEGRATION_CALLBACK)
async def integration_callback(asked: Asked) -> Any:
    """The browser's way back: `state` is the permission. A browser gets a page, others JSON."""
    query = asked.request.query_params
    told = {name: query.get(name, "") for name in ("state", "code", "error")}
    if "text/html" not in asked.request.headers.get("accept", ""):
        return await asked.platform.integrations.complete(**told)
    try:
        done = await asked.platform.integrations.complete(**told)
    except Fault as error:
        return _page(f"Not connected: {error.detail}", status=400)
    return _page(f"{done['display_name']} is connected. You can close this page.")


@routes.on(api.GET_INTEGRATION)
async def get_integration(asked: Asked) -> Any:
    """One connection."""
    return await asked.platform.integrations.get(asked.owner, asked["provider"])


@routes.on(api.DELETE_INTEGRATION)
async def delete_integration(asked: Asked) -> None:
    """Its tokens are forgotten."""
    await asked.platform.integrations.disconnect(asked.owner, asked["provider"])


@routes.on(api.LIST_API_KEYS)
async def list_api_keys(asked: Asked) -> Any:
    """A page of keys, masked."""
    return await asked.platform.api_keys.page(asked.owner, asked.body)


@routes.on(api.CREATE_API_KEY)
async def create_api_key(asked: Asked) -> Any:
    """The only answer with the key."""
    return await asked.platform.api_keys.create(asked.owner, asked.body, granted=asked.scopes)


@routes.on(api.DELETE_API_KEY)
async def delete_api_key(asked: Asked) -> None:
    """It stops working at once."""
    await asked.platform.api_keys.delete(asked.owner, asked["key_id"])


@routes.on(api.SCOPES)
async def scopes(asked: Asked) -> Any:
    """What a key may be allowed here."""
    return catalogue(each.scope for each in api.ENDPOINTS.values())


def _page(text: str, *, status: int = 200) -> HTMLResponse:
    body = f"<!doctype html><html lang=en><meta charset=utf-8><title>agentkit</title><p>{html.escape(text)}</p></html>"
    return HTMLResponse(body, status, headers=PAGE_HEADERS)
