"""Tasks: one execution of an app's function each, and what a status of theirs means (protocol.md 2)."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field

from agentkit.wire._base import Open, Owned, Whole, Wire
from agentkit.wire.agents import Agent
from agentkit.wire.apps import App, AppVersion
from agentkit.wire.files import ContentRating

__all__ = [
    "CancelTaskRequest",
    "DeletedFiles",
    "Infra",
    "RunTaskRequest",
    "SetFeatured",
    "SetVisibility",
    "SkippedFile",
    "Task",
    "TaskAction",
    "TaskEvent",
    "TaskFile",
    "TaskLog",
    "TaskLogType",
    "TaskLogs",
    "TaskMetadata",
    "TaskStatus",
    "TaskTimingEvent",
    "TaskTimingGroup",
    "TaskTimings",
    "UsageEvent",
    "is_terminal_status",
    "parse_status",
]


class TaskStatus(IntEnum):
    """How far a task is (seeds/003, "task status values"); the numbers of older pages differ (protocol.md 2.4)."""

    UNKNOWN = 0
    RECEIVED = 1
    QUEUED = 2
    DISPATCHED = 3
    PREPARING = 4
    SERVING = 5
    SETTING_UP = 6
    RUNNING = 7
    CANCELLING = 8
    UPLOADING = 9
    COMPLETED = 10
    FAILED = 11
    CANCELLED = 12


class TaskLogType(IntEnum):
    """Which phase wrote a log."""

    BUILD = 0
    RUN = 1
    SERVE = 2
    SETUP = 3
    TASK = 4


class Infra(StrEnum):
    """Where a task runs; `remote` is newer."""

    PRIVATE = "private"
    CLOUD = "cloud"
    PRIVATE_FIRST = "private_first"
    REMOTE = "remote"


_BY_NUMBER: Final = {status.value: status for status in TaskStatus}
_BY_NAME: Final = {
    **{status.name.lower(): status for status in TaskStatus},
    "scheduled": TaskStatus.DISPATCHED,  # its name before it was renamed (protocol.md 10 row 2)
}
_TERMINAL: Final = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})
_REJECTED: Final = "rejected"
_FIRST_UNKNOWN: Final = 13  # newer servers: rejected, which is terminal; so is what may follow (protocol.md 11.2)


def parse_status(status: int | str | None) -> TaskStatus | None:
    """The status behind a number or a name; UNKNOWN where there is none such, None for None (seeds/003).

    >>> parse_status(7), parse_status("running"), parse_status("scheduled"), parse_status(99), parse_status(None)
    (<TaskStatus.RUNNING: 7>, <TaskStatus.RUNNING: 7>, <TaskStatus.DISPATCHED: 3>, <TaskStatus.UNKNOWN: 0>, None)
    """
    return None if status is None else _known(status) or TaskStatus.UNKNOWN


def is_terminal_status(status: int | str | None) -> bool:
    """Whether a task of this status is over: completed, failed, cancelled, or rejected and whatever comes after it.

    For chat messages see `is_message_ready`.

    >>> is_terminal_status(10), is_terminal_status("failed"), is_terminal_status(13), is_terminal_status("running")
    (True, True, True, False)
    """
    if isinstance(status, str) and status.lower() == _REJECTED:
        return True
    if isinstance(status, int) and status >= _FIRST_UNKNOWN:
        return True
    return parse_status(status) in _TERMINAL


def _known(status: object) -> TaskStatus | None:
    match status:
        case int():
            return _BY_NUMBER.get(status)
        case str():
            return _BY_NAME.get(status.lower())
        case _:
            return None


def _read_status(status: object) -> object:
    known = _known(status)
    return status if known is None else known


_AnyStatus: TypeAlias = Annotated[TaskStatus | int | str, Field(union_mode="left_to_right")]
OpenStatus: TypeAlias = Annotated[_AnyStatus, BeforeValidator(_read_status)]
"""A status: the member, whether it came as number or name; the number or name itself where there is no member."""


class TaskLog(Wire):
    """What a phase of the task printed; `content` is base64."""

    id: str = ""
    created_at: str = ""
    updated_at: str = ""
    task_id: str = ""
    log_type: Annotated[TaskLogType | int, Field(union_mode="left_to_right")] = TaskLogType.TASK
    content: str = ""


class TaskEvent(Wire):
    """One transition of the task."""

    id: str = ""
    created_at: str = ""
    event_time: str = ""
    task_id: str = ""
    status: OpenStatus = TaskStatus.UNKNOWN


class UsageEvent(Owned):
    """What the task used, for the bill."""

    usage_billing_record_id: str = ""
    reference_id: str = ""
    resource_id: str = ""
    tier: str = ""
    type: str = ""
    model: str = ""
    quantity: float = 0
    unit: str = ""


class Task(Owned):
    """A task (`TaskDTO`, protocol.md 2.3); slim answers leave most of it out.

    `output` grows while a streaming app runs; `error` is set when it failed. `logs` was a text, or a list of texts, on
    older servers. The idle `session_timeout` is in seconds.
    """

    status: OpenStatus = TaskStatus.UNKNOWN
    status_text: str | None = None
    input: Any = None
    output: Any = None
    error: str | None = None
    logs: list[TaskLog | str] | str = Field(default_factory=lambda: list[TaskLog | str]())
    events: list[TaskEvent] = Field(default_factory=list[TaskEvent])
    session_id: str | None = None
    session_timeout: int | None = None
    app_id: str = ""
    app: App | None = None
    app_version_id: str = ""
    app_version: AppVersion | None = None
    app_variant: str = ""
    function: str = ""
    infra: Open[Infra] | None = None
    workers: list[str] = Field(default_factory=list[str])
    engine_id: str | None = None
    engine: dict[str, Any] | None = None
    worker_id: str | None = None
    worker: dict[str, Any] | None = None
    setup: Any = None
    webhook: str | None = None
    run_at: str | None = None
    rating: Open[ContentRating] = ContentRating.CONTENT_UNRATED
    is_featured: bool = False
    chat_id: str | None = None
    agent_id: str | None = None
    agent_version_id: str | None = None
    agent: Agent | None = None
    flow_run_id: str | None = None
    sub_flow_run_id: str | None = None
    graph_id: str | None = None
    user_public_key: Any = None
    engine_public_key: Any = None
    usage_events: list[UsageEvent] = Field(default_factory=list[UsageEvent])


class TaskAction(Wire):
    """What the platform does when a task reaches the status `on`."""

    key: str = ""
    on: str = ""
    params: Any = None


class TaskMetadata(Wire):
    """What the platform is told beside a run."""

    action: TaskAction | None = None


class RunTaskRequest(Wire):
    """The body of `POST /run` and `POST /apps/run` (`ApiAppRunRequest`, protocol.md 2.1).

    `session` is `new` or an id; `session_timeout` (seconds, 1 to 3600) goes with `new` only.
    """

    app: str | None = None
    app_id: str | None = None
    version_id: str | None = None
    input: Any = None
    setup: Any = None
    infra: Open[Infra] | None = None
    variant: str | None = None
    workers: list[str] | None = None
    webhook: str | None = None
    function: str | None = None
    session: str | None = None
    session_timeout: int | None = None
    wait: bool | None = None
    stream: bool | None = None
    run_at: str | None = None
    metadata: TaskMetadata | None = None


class CancelTaskRequest(Wire):
    """The body of `POST /tasks/{id}/cancel`, all of it optional: `force` kills at once; `timeout` is in seconds."""

    force: bool | None = None
    timeout: float | None = None


class SetVisibility(Wire):
    """Who may see a task or an app: private, public, unlisted."""

    visibility: str = "private"


class SetFeatured(Wire):
    """Whether a task is shown among the featured ones."""

    is_featured: bool = True


class TaskFile(Whole):
    """A file that a task was given or made; `size` in bytes."""

    id: str = ""
    created_at: str = ""
    role: str = ""  # input, output
    uri: str = ""
    filename: str = ""
    content_type: str = ""
    size: int | None = None


class SkippedFile(Wire):
    """A file that was left where it is, and why."""

    id: str = ""
    reason: str = ""


class DeletedFiles(Whole):
    """Which files of a task were deleted."""

    deleted: list[str] = Field(default_factory=list[str])
    skipped: list[SkippedFile] = Field(default_factory=list[SkippedFile])


class TaskLogs(Whole):
    """The logs and transitions of a task."""

    task_id: str = ""
    status: OpenStatus = TaskStatus.UNKNOWN
    events: list[TaskEvent] = Field(default_factory=list[TaskEvent])
    logs: list[TaskLog | str] | str = Field(default_factory=lambda: list[TaskLog | str]())


class TaskTimingGroup(Wire):
    """How long a phase took."""

    label: str = ""
    start_at: str = ""
    end_at: str = ""
    duration: str = ""
    duration_ms: int = 0


class TaskTimingEvent(Wire):
    """How long a status lasted."""

    status: str = ""
    timestamp: str = ""
    duration: str = ""
    duration_ms: int = 0
    next_status: str = ""


class TaskTimings(Whole):
    """Where a task's time went."""

    task_id: str = ""
    status: OpenStatus = TaskStatus.UNKNOWN
    total_duration: str = ""
    total_duration_ms: int = 0
    groups: list[TaskTimingGroup] = Field(default_factory=list[TaskTimingGroup])
    events: list[TaskTimingEvent] = Field(default_factory=list[TaskTimingEvent])
