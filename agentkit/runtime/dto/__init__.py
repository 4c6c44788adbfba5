"""What a client sees of a record: the platform's DTOs, rendered from rows."""

from agentkit.runtime.dto.agents import agent, agent_version
from agentkit.runtime.dto.apps import app, app_version
from agentkit.runtime.dto.conversations import chat, interrupt, invocation, message, messages, run
from agentkit.runtime.dto.credentials import api_key, integration, masked, secret
from agentkit.runtime.dto.files import file, file_uri
from agentkit.runtime.dto.tasks import (
    LOGS_IN_STREAM,
    logs,
    session,
    task,
    task_logs,
    task_parts,
    timings,
    webhook,
)

__all__ = [
    "LOGS_IN_STREAM",
    "agent",
    "agent_version",
    "api_key",
    "app",
    "app_version",
    "chat",
    "file",
    "file_uri",
    "integration",
    "interrupt",
    "invocation",
    "logs",
    "masked",
    "message",
    "messages",
    "run",
    "secret",
    "session",
    "task",
    "task_logs",
    "task_parts",
    "timings",
    "webhook",
]
