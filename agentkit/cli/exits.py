"""Exit codes: what a script learns of a command without reading a word of it.

| code | means |
|---|---|
| 0 | done |
| 1 | the task failed or was cancelled by somebody else, a test failed, or another error |
| 2 | the command line makes no sense |
| 3 | there is no such app, version, task or session |
| 4 | the key is missing, wrong, or may not do this |
| 5 | nobody answers there; it may be worth trying again |
| 130 | Ctrl-C (143: told to end by SIGTERM) |
"""

from __future__ import annotations

from typing import Final

from agentkit.cli.visible import visible
from agentkit.errors import (
    AgentKitError,
    AppInputError,
    AuthenticationError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    ReferenceSyntaxError,
    RequirementsNotMetError,
    SessionEndedError,
    SessionExpiredError,
    SessionNotFoundError,
    TaskLostError,
    TransportError,
    UsageError,
)

__all__ = [
    "DENIED",
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "MISUSED",
    "NOT_FOUND",
    "UNREACHABLE",
    "Mistake",
    "code_of",
    "text_of",
]

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
NOT_FOUND: Final = 3
DENIED: Final = 4
UNREACHABLE: Final = 5
INTERRUPTED: Final = 130  # as shells say Ctrl-C


class Mistake(UsageError):
    """What was typed cannot be meant."""


def code_of(error: AgentKitError) -> int:
    """The exit code that tells of this error."""
    match error:
        case Mistake() | ReferenceSyntaxError():
            return MISUSED
        case NotFoundError() | SessionNotFoundError() | SessionEndedError() | SessionExpiredError():
            return NOT_FOUND
        case AuthenticationError() | PermissionDeniedError():
            return DENIED
        case TransportError() | TaskLostError():
            return UNREACHABLE
        case _:
            return FAILED


def text_of(error: AgentKitError) -> str:
    """The error in words; each wrong member of an input, and each missing secret, on a line of its own."""
    match error:
        case InvalidInputError() | AppInputError():
            lines = [
                (f"  {each.get('path') or 'input'}: {each.get('message')}", each.get("message"))
                for each in error.errors
            ]
        case RequirementsNotMetError():
            lines = [(f"  {each.type} {each.key}: {each.message}", each.message) for each in error.errors]
        case _:
            lines = []
    told = str(error)
    text = "\n".join([told, *(line for line, message in lines if str(message) not in told)])
    return visible(text, keep="\n\t")  # it may quote what a model or an app wrote
