"""A browser's part of signing in, without a browser: its headers and its cookie."""

from __future__ import annotations

from typing import Any

import httpx

from tests.runtime.serving import BARE, KEY

ORIGIN = "http://agentkit.local"
CONSOLE = {"X-Agentkit-Console": "1", **BARE}
PAGE = {**CONSOLE, "Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
NAME = "agentkit_console"


async def sign_in(client: httpx.AsyncClient, key: str = KEY, **headers: str) -> httpx.Response:
    """The answer; httpx keeps the cookie as a browser does."""
    return await client.post("/console/session", json={"api_key": key}, headers={**PAGE, **headers})


async def status(client: httpx.AsyncClient, headers: dict[str, str], **more: Any) -> int:
    """Of a request that needs a key."""
    return (await client.post("/chats/list", json={}, headers=headers, **more)).status_code
