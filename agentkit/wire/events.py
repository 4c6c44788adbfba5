"""Stream events: one line of NDJSON or one frame of SSE (protocol.md 2.6, 6.4)."""

from __future__ import annotations

from typing import Any

from agentkit.wire._base import Wire

__all__ = ["StreamEvent"]


class StreamEvent(Wire):
    """What a stream carries: `event` names what `data` is; a heartbeat has only its `type`.

    `fields` lists the members of `data` that changed. `id` is the cursor in the chat's log, where the server keeps one.
    """

    event: str | None = None
    data: Any = None
    fields: list[str] | None = None
    id: int | None = None
    type: str | None = None
