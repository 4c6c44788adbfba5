"""How a task goes from status to status, and what its end does. Transaction functions: no I/O, no waiting.

The end of a task is one transaction: its row, its session's clock, its webhook, the result of the tool call that began
it, and the word to its watchers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agentkit.runtime import taskcalls
from agentkit.runtime.ids import new_id
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Reading, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord, WebhookRecord
from agentkit.runtime.states import TASK, Refused, TaskEvent, after, is_open
from agentkit.wire import AppSessionStatus, TaskStatus

__all__ = [
    "OPEN",
    "WAITING",
    "again",
    "cancel",
    "end",
    "entry",
    "give_up",
    "move",
    "open_calls",
    "queue",
    "save",
    "session_wake",
    "task_wake",
    "through",
]

OPEN: Final = tuple(TASK)
WAITING: Final = (TaskStatus.RECEIVED, TaskStatus.QUEUED)  # no worker has taken the task yet

_ENTERING: Final = {  # what a worker goes through, by the event that takes the task there
    TaskStatus.PREPARING: TaskEvent.PREPARE,
    TaskStatus.SERVING: TaskEvent.SERVE,
    TaskStatus.SETTING_UP: TaskEvent.SET_UP,
    TaskStatus.RUNNING: TaskEvent.RUN,
    TaskStatus.UPLOADING: TaskEvent.UPLOAD,
}


def task_wake(task_id: str) -> str:
    """What the engine calls a task that may be due."""
    return f"task:{task_id}"


def session_wake(session_id: str) -> str:
    """What the engine calls a session that may have expired."""
    return f"session:{session_id}"


def entry(status: TaskStatus, at: str) -> dict[str, Any]:
    """What is kept of a transition."""
    return {"id": new_id(), "status": int(status), "event_time": at}


def save(tx: Writing, task: TaskRecord, **changes: Any) -> TaskRecord:
    """Saves the task and tells its watchers."""
    task = tx.update(task.but(**changes))
    tx.tell(task.id, task.version)
    return task


def move(tx: Writing, task: TaskRecord, event: TaskEvent, **changes: Any) -> TaskRecord:
    """One transition. Raises Refused where the table has none such."""
    status = after(TASK, task.status, event)
    return save(tx, task, status=status, events=[*task.events, entry(status, tx.now)], **changes)


def through(tx: Writing, task: TaskRecord, statuses: Sequence[TaskStatus]) -> TaskRecord:
    """The task after what a worker went through, saved once; what lies behind it already is passed over."""
    status, events = task.status, list(task.events)
    for wanted in statuses:
        try:
            status = after(TASK, status, _ENTERING[wanted])
        except Refused:
            continue
        events.append(entry(status, tx.now))
    return task if status is task.status else save(tx, task, status=status, events=events)


def queue(tx: Writing, task: TaskRecord, *, engine_id: str) -> TaskRecord:
    """Its time has come: it waits for a worker of this engine."""
    return move(tx, task, TaskEvent.QUEUE, engine_id=engine_id)


def again(tx: Writing, task: TaskRecord, *, engine_id: str | None) -> TaskRecord:
    """The task waits for a worker anew; nothing of what the last one made of it stays but the logs."""
    return move(tx, task, TaskEvent.AGAIN, engine_id=engine_id, worker_id=None, output=None, error=None)


def cancel(tx: Writing, task: TaskRecord, *, error: str | None = None) -> TaskRecord:
    """Somebody wants it cancelled: at once where no worker has it, else the worker is to be told. Over: unchanged."""
    if task.status in WAITING:
        return end(tx, task, TaskEvent.CANCEL, kind="cancelled", error=error)
    if task.status is TaskStatus.CANCELLING or not is_open(TASK, task.status):
        return task
    return move(tx, task, TaskEvent.CANCEL, is_cancel_wanted=True)


def give_up(tx: Writing, task_id: str) -> None:
    """The tool call that began the task is over: so is the task. Its wake-up tells the worker that has it."""
    task = tx.get(TaskRecord, task_id)
    if task is not None and is_open(TASK, task.status):
        cancel(tx, task, error="the tool call that began it is over")
        tx.wake(task_wake(task.id))


def end(
    tx: Writing, task: TaskRecord, event: TaskEvent, *, kind: str, output: Any = None, error: str | None = None
) -> TaskRecord:
    """The task is over, whatever it was doing: its session's idle time begins, and its webhook is to be delivered."""
    if event in (TaskEvent.CANCEL, TaskEvent.CANCELLED) and task.status not in (*WAITING, TaskStatus.CANCELLING):
        task = move(tx, task, TaskEvent.CANCEL, is_cancel_wanted=True)
    if task.status is TaskStatus.CANCELLING and event is TaskEvent.CANCEL:
        event = TaskEvent.CANCELLED
    elif task.status in WAITING and event is TaskEvent.CANCELLED:
        event = TaskEvent.CANCEL
    was_called = task.status not in WAITING
    if task.status is TaskStatus.CANCELLING and event is not TaskEvent.CANCELLED:  # it came to its end all the same
        kind, error = "cancelled", None
    kept = task.output if output is None else output
    task = move(tx, task, event, end_kind=kind, output=kept, error=error, finished_at=tx.now)
    if task.run_at:
        tx.clear_wake(task_wake(task.id))
    if task.session_id:
        _ended_call(tx, task, was_called=was_called)
    if task.webhook:
        hook = tx.insert(WebhookRecord(id=new_id(), owner=task.owner, task_id=task.id, url=task.webhook))
        tx.wake(hook.wake_key)
    taskcalls.settle(tx, task)
    return task


def open_calls(tx: Reading, session_id: str) -> list[TaskRecord]:
    """The session's calls that wait or run, in the order they were made."""
    return tx.find(TaskRecord, session_id=session_id, status=OPEN)


def _ended_call(tx: Writing, task: TaskRecord, *, was_called: bool) -> None:
    session = tx.get(SessionRecord, task.session_id or "")
    if session is None:
        return
    if session.status is not AppSessionStatus.ACTIVE:
        tx.update(session.but(call_count=session.call_count + was_called))
        return
    expires_at = later(tx.now, session.idle_timeout)
    tx.update(session.but(call_count=session.call_count + was_called, expires_at=expires_at))
    tx.wake(session_wake(session.id), at=expires_at)
