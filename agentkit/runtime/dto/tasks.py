"""Tasks, their logs and timings, and sessions as a client sees them (protocol.md 2.3, 2.5, 3.3)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentkit.runtime.dto._common import common
from agentkit.runtime.ports import Reading
from agentkit.runtime.records import AppRecord, SessionRecord, TaskLogRecord, TaskRecord
from agentkit.wire import (
    AppSession,
    Task,
    TaskLog,
    TaskLogs,
    TaskStatus,
    TaskTimings,
)

__all__ = ["ALL_LOGS", "LOGS_IN_STREAM", "logs", "session", "task", "task_logs", "task_parts", "timings", "webhook"]

ALL_LOGS: Final = 1 << 62
LOGS_IN_STREAM: Final = 192 << 10  # bytes of text; protocol.md 2.6 rule 7: a line stays below 512 KiB, logs go first

_PHASES: Final[Sequence[tuple[str, TaskStatus, TaskStatus]]] = (  # label, from the first of these to the first of those
    ("waiting", TaskStatus.RECEIVED, TaskStatus.DISPATCHED),
    ("starting", TaskStatus.DISPATCHED, TaskStatus.RUNNING),
    ("running", TaskStatus.RUNNING, TaskStatus.UPLOADING),
    ("uploading", TaskStatus.UPLOADING, TaskStatus.COMPLETED),
)


def task(tx: Reading, record: TaskRecord, *, log_bytes: int = ALL_LOGS) -> dict[str, Any]:
    """The TaskDTO, whole; of its logs at most the last `log_bytes`."""
    app = tx.get(AppRecord, record.app_id)
    return task_parts(record, app=app, logs=logs(tx, record.id, log_bytes=log_bytes) if log_bytes else [])


def task_parts(record: TaskRecord, *, app: AppRecord | None, logs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The TaskDTO of what was read already."""
    return Task.parse(
        {
            **common(record),
            "visibility": record.visibility,
            "status": record.status,
            "status_text": record.status.name.lower(),
            "input": record.input,
            "output": record.output,
            "error": record.error,
            "logs": logs,
            "events": [{**each, "created_at": each["event_time"], "task_id": record.id} for each in record.events],
            "session_id": record.session_id,
            "session_timeout": record.session_timeout,
            "app_id": record.app_id,
            "app": {**common(app), "namespace": app.namespace, "name": app.name} if app else None,
            "app_version_id": record.app_version_id,
            "function": record.function or "",
            "infra": record.infra,
            "workers": record.workers,
            "engine_id": record.engine_id,
            "worker_id": record.worker_id,
            "setup": record.setup,
            "webhook": record.webhook,
            "run_at": record.run_at,
            "is_featured": record.is_featured,
            "chat_id": record.chat_id,
            "agent_id": record.agent_id,
        }
    ).to_wire()


def logs(tx: Reading, task_id: str, *, log_bytes: int = ALL_LOGS) -> list[dict[str, Any]]:
    """The newest `log_bytes` of what the task printed, one TaskLogDTO per phase, oldest first."""
    phases: list[_Phase] = []
    left = log_bytes
    for record in _newest_first(tx, task_id):
        data = record.text.encode("utf-8", "replace")
        left -= len(data)
        if left < 0:
            _, _, whole_lines = data[-left:].partition(b"\n")
            data = b"[what was printed earlier is left out here]\n" + whole_lines
        if phases and phases[-1].record.log_type is record.log_type:
            phases[-1] = _Phase(record, phases[-1].updated_at, data + phases[-1].data)
        else:
            phases.append(_Phase(record, record.updated_at, data))
        if left < 0:
            break
    return [each.to_wire() for each in reversed(phases)]


def task_logs(tx: Reading, record: TaskRecord) -> dict[str, Any]:
    """GET /tasks/{id}/logs."""
    events = task_parts(record, app=None, logs=[])["events"]
    return TaskLogs.parse(
        {"task_id": record.id, "status": record.status, "events": events, "logs": logs(tx, record.id)}
    ).to_wire()


def timings(record: TaskRecord, *, now: str) -> dict[str, Any]:
    """GET /tasks/{id}/timings: how long each status and each phase lasted; what is not over lasts until now."""
    entries = [(TaskStatus(each["status"]), str(each["event_time"])) for each in record.events]
    end = record.finished_at or now
    spans = list(zip(entries, [*entries[1:], (None, end)], strict=True))
    return TaskTimings.parse(
        {
            "task_id": record.id,
            "status": record.status,
            **_lasting("total_duration", record.created_at, end),
            "groups": _groups(entries, end),
            "events": [
                {
                    "status": status.name.lower(),
                    "timestamp": at,
                    **_lasting("duration", at, until),
                    "next_status": "" if following is None else following.name.lower(),
                }
                for (status, at), (following, until) in spans
            ],
        }
    ).to_wire()


def webhook(record: TaskRecord) -> dict[str, Any]:
    """The body of a webhook: seven members, `error` a text in any case (protocol.md 2.7; 10, #51)."""
    return {
        "id": record.id,
        "status": int(record.status),
        "output": record.output,
        "error": record.error or "",
        "session_id": record.session_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def session(record: SessionRecord) -> dict[str, Any]:
    """The AppSessionDTO."""
    return AppSession.parse(
        {
            **common(record),
            "worker_id": record.worker_id or "",
            "app_id": record.app_id,
            "app_version_id": record.app_version_id,
            "status": record.status,
            "expires_at": record.expires_at,
            "ended_at": record.ended_at,
            "task_id": record.task_id,
            "call_count": record.call_count,
            "last_call_at": record.last_call_at,
            "idle_timeout": record.idle_timeout,
        }
    ).to_wire()


# -- parts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Phase:
    """What one phase printed; named by its first piece, so that the name stays while it grows."""

    record: TaskLogRecord
    updated_at: str
    data: bytes

    def to_wire(self) -> dict[str, Any]:
        return TaskLog(
            id=self.record.id,
            created_at=self.record.created_at,
            updated_at=self.updated_at,
            task_id=self.record.task_id,
            log_type=self.record.log_type,
            content=b64encode(self.data).decode(),
        ).to_wire()


def _newest_first(tx: Reading, task_id: str) -> list[TaskLogRecord]:
    return tx.find(TaskLogRecord, task_id=task_id, descending=True)


def _groups(entries: Sequence[tuple[TaskStatus, str]], end: str) -> list[dict[str, Any]]:
    """The phases the task went through, the last time it did."""
    found: list[dict[str, Any]] = []
    for label, first, following in _PHASES:
        starts = [at for status, at in entries if status is first]
        if not starts:
            continue
        ends = [at for status, at in entries if at >= starts[-1] and _is_beyond(status, following)]
        until = ends[0] if ends else end
        found.append(
            {"label": label, "start_at": starts[-1], "end_at": until, **_lasting("duration", starts[-1], until)}
        )
    return found


def _is_beyond(status: TaskStatus, following: TaskStatus) -> bool:
    return status >= following or status is TaskStatus.CANCELLING


def _lasting(name: str, start: str, end: str) -> dict[str, Any]:
    seconds = max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    return {name: f"{seconds:.3f}s", f"{name}_ms": round(seconds * 1000)}
