"""What each row of `protocol.api` does: one short function per row, over the platform's services."""

from agentkit.runtime.handlers import (
    agents,
    approvals,
    apps,
    chats,
    credentials,
    files,
    inbox,
    service,
    sessions,
    tasks,
)
from agentkit.runtime.handlers._routes import routes

__all__ = [
    "agents",
    "approvals",
    "apps",
    "chats",
    "credentials",
    "files",
    "inbox",
    "routes",
    "service",
    "sessions",
    "tasks",
]
