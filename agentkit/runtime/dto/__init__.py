"""What a client sees of a record: the platform's DTOs, rendered from rows."""

from agentkit.runtime.dto.agents import agent, agent_version
from agentkit.runtime.dto.conversations import chat, interrupt, invocation, message, messages, run
from agentkit.runtime.dto.files import file, file_uri

__all__ = [
    "agent",
    "agent_version",
    "chat",
    "file",
    "file_uri",
    "interrupt",
    "invocation",
    "message",
    "messages",
    "run",
]
