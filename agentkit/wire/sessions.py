"""App sessions: a worker leased over several tasks (protocol.md 3)."""

from __future__ import annotations

from enum import StrEnum

from agentkit.wire._base import Open, Owned

__all__ = ["AppSession", "AppSessionStatus"]


class AppSessionStatus(StrEnum):
    """Whether a session can be called; it never comes back to `active`."""

    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class AppSession(Owned):
    """A session (`AppSessionDTO`). `task_id` is its current or last task; `idle_timeout` is in seconds."""

    worker_id: str = ""
    app_id: str = ""
    app_version_id: str = ""
    status: Open[AppSessionStatus] = ""
    expires_at: str = ""
    ended_at: str | None = None
    task_id: str | None = None
    call_count: int = 0
    last_call_at: str | None = None
    idle_timeout: int | None = None
