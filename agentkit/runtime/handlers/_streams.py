"""Frames and items as an answer that goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agentkit.runtime.hub import Frame
from agentkit.runtime.routes import Asked
from agentkit.runtime.streams import Stream, format_for, item

__all__ = ["cursor", "framed", "items"]


def items(asked: Asked, found: AsyncGenerator[dict[str, Any], None]) -> Stream:
    return Stream.of_items(found, format=format_for(asked.request.headers.get("accept", "")), streams=asked.streams)


async def framed(frames: AsyncGenerator[Frame]) -> AsyncGenerator[dict[str, Any], None]:
    async with aclosing(frames):
        async for frame in frames:
            yield item(frame)


def cursor(asked: Asked) -> int | None:
    """Where a reader goes on: `?after=`, or what an EventSource sends when it comes back. Raises Fault."""
    after = asked.number("after")
    last = asked.request.headers.get("last-event-id", "")
    if after is None and last.isascii() and last.isdecimal() and len(last) < 19:
        return int(last)  # any other id is none of ours: a snapshot
    return after
