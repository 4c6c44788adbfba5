"""What to raise for the end of a task that somebody waited for."""

from __future__ import annotations

from typing import Any, Final

from agentkit.errors import (
    APIError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    TaskCanceledError,
    TaskFailedError,
    TaskLostError,
    TransportError,
    UsageError,
)
from agentkit.protocol.effects import Settle
from agentkit.wire import Task, is_terminal_status

__all__ = ["error_of"]

_REFUSALS: Final = (AuthenticationError, NotFoundError, PermissionDeniedError)


def error_of(end: Settle, *, task_id: str | None, task: Task | None) -> Exception | None:
    """What to raise for the end of a watch; None for a completed task, and for one that the caller left."""
    told: dict[str, Any] = {"outcome": end.outcome, "task_id": task_id, "task": task}
    match end.outcome:
        case "failed":
            return TaskFailedError(end.detail or "Task failed", **told)  # P7's words, protocol.md 1.3
        case "cancelled":
            is_said = task is not None and is_terminal_status(task.status)
            return TaskCanceledError("Task cancelled" if is_said else f"Task cancelled: {end.detail}", **told)
        case "lost" if isinstance(end.error, UsageError):
            return end.error  # the client was closed: nothing the platform said
        case "lost" if task is None and isinstance(end.error, _REFUSALS):
            return end.error  # it was never seen: there is none, or not for this key
        case "lost":
            why = f"lost sight of task {task_id!r}: {end.detail}; client.tasks.wait_for_completion(id) looks again"
            return TaskLostError(why, **told)
        case "refused":
            match end.error:
                case APIError() | TransportError() | ProtocolError() | UsageError():
                    return end.error
                case _:
                    return TaskFailedError(f"the task was not taken: {end.detail}", **told)
        case _:
            return None
