"""A server to be killed: `python -m tests.console.server DATABASE PORT STEPS`; it says a line when it listens.

STEPS is a JSON list of what the scripted model says: a text, a call `{"name": ..., "arguments": {...}}`, or a list of
both. `CONSOLE_KEY` is its API key, if it has one, `CONSOLE_ALLOWS` a host that tools may reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from typing import Any

import uvicorn

from agentkit.runtime.open import open_platform
from agentkit.runtime.server import create_app
from agentkit.testing import Scripted, call


def said(step: Any) -> Any:
    """A step as the scripted model takes it."""
    if isinstance(step, list):
        return [said(each) for each in step]
    return call(step["name"], step["arguments"]) if isinstance(step, dict) else step


async def serve(db: str, port: int, steps: list[Any]) -> None:
    """Serves until it is killed."""
    keys = [key] if (key := os.environ.get("CONSOLE_KEY")) else []
    allows = [host] if (host := os.environ.get("CONSOLE_ALLOWS")) else []
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    providers = {"scripted": Scripted([said(step) for step in steps])}
    async with open_platform(db=db, providers=providers, environ={}, keys=keys, allow_hosts=allows) as platform:
        server = uvicorn.Server(uvicorn.Config(create_app(platform), http="h11", lifespan="off", log_config=None))
        print("listens", flush=True)
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
