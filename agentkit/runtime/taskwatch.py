"""What a watcher of a task sees: a snapshot, every transition in order, what grows in between, and the end (2.6).

Each update carries the complete task, because one SDK generation does not put partial ones together.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio

from agentkit.protocol.lines import encode_json
from agentkit.runtime import dto
from agentkit.runtime.desk import LOGGED, OUTPUT
from agentkit.runtime.here import Here
from agentkit.runtime.ports import Bus, Live, Reading, Store
from agentkit.runtime.records import AppRecord, TaskRecord
from agentkit.runtime.sheets import Draft
from agentkit.runtime.states import TASK, is_open
from agentkit.wire import TaskStatus

__all__ = ["DELETED", "TaskWatch", "Update", "events", "lines"]

HEARTBEAT_SECONDS: Final = 10.0  # protocol.md 1.8
SNAPSHOT_SECONDS: Final = 20.0  # protocol.md 2.6 rule 9: at least so often a bare task, while it is not over
ELSEWHERE_SECONDS: Final = 1.0  # how often a task is looked at that another process runs
LINGER_SECONDS: Final = 0.05  # protocol.md 1.7 rule 7
LONGEST_LINE: Final = (512 << 10) - 1_024  # bytes; protocol.md 2.6 rule 7
CALLED: Final = (TaskStatus.RUNNING, TaskStatus.UPLOADING, TaskStatus.CANCELLING)  # there may be new output
DELETED: Final = "deleted"  # the live frame of a task that is gone

Drafts: TypeAlias = Callable[[str], Draft | None]


@dataclass(frozen=True, slots=True)
class Update:
    """The task as it is sent. `fields`: what changed where the status did not. No task: a heartbeat."""

    task: Mapping[str, Any] | None = None
    fields: tuple[str, ...] = ()


HEARTBEAT: Final = Update()


@dataclass(frozen=True, slots=True)
class _Look:
    """A task as it was read."""

    record: TaskRecord
    app: AppRecord | None
    logs: list[dict[str, Any]]


@dataclass(slots=True)
class _Sent:
    """What one watcher has been sent."""

    events: int = 0  # transitions
    draft: tuple[int, int] = (0, 0)  # attempt and number of the newest
    attempt: int = 0
    output: Any = None
    logs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    last: Mapping[str, Any] = field(default_factory=dict[str, Any])
    at: float = 0.0  # when anything
    bare_at: float = 0.0  # when a bare task


class TaskWatch:
    """Streams of tasks, and waiting for their end. `draft` knows the newest output of what runs here."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        here: Here,
        draft: Drafts,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        snapshot_seconds: float = SNAPSHOT_SECONDS,
    ) -> None:
        self._store = store
        self._bus = bus
        self._here = here
        self._draft = draft
        self._heartbeat_seconds = heartbeat_seconds
        self._snapshot_seconds = snapshot_seconds

    async def over(self, task_id: str) -> TaskRecord | None:
        """The task once it is over; None where it is gone."""
        async with self._bus.subscribe(task_id) as news:
            while (task := await self._store.read(lambda tx: tx.get(TaskRecord, task_id))) is not None:
                if not is_open(TASK, task.status):
                    return task
                while (lives := await news.next(self._nap(task))) and not any(each.name == DELETED for each in lives):
                    pass  # output and logs: nothing to read anew
        return None

    async def watch(self, task_id: str) -> AsyncGenerator[Update]:
        """The task's updates until it is over, or gone. Close it with `aclosing`."""
        sent = _Sent()
        async with self._bus.subscribe(task_id) as news:
            lives: list[Live] | None = []
            while True:
                updates, is_over, nap = await self._updates(task_id, sent, lives)
                for update in updates:
                    yield self._noted(sent, self._due(sent, update))
                if is_over:
                    break
                lives = await news.next(self._patience(sent, nap))
        await anyio.sleep(LINGER_SECONDS)

    async def _updates(self, task_id: str, sent: _Sent, lives: list[Live] | None) -> tuple[list[Update], bool, float]:
        """What there is to send now, whether that is the end, and how long to wait for news at most."""
        updates = [update for each in lives or () if (update := _live(sent, each)) is not None]
        if lives and not any(each.name in (LOGGED, DELETED) for each in lives):
            return updates, False, self._snapshot_seconds
        look = await self._store.read(lambda tx: _look(tx, task_id))
        if look is None:
            return [*updates, *_gone(sent)], True, 0.0
        is_ours = look.record.engine_id == self._here.engine_id
        updates += _stored(sent, look, is_ours=is_ours, draft=self._draft(task_id))
        is_over = not is_open(TASK, look.record.status)
        if not is_over and not updates:
            updates = self._quiet(sent, look)
        return updates, is_over, self._nap(look.record)

    def _quiet(self, sent: _Sent, look: _Look) -> list[Update]:
        """What is sent when nothing happens."""
        now = time.monotonic()
        if now - sent.bare_at >= self._snapshot_seconds - 0.01:
            return [Update(_rendered(look, output=sent.output))]
        return [HEARTBEAT] if now - sent.at >= self._heartbeat_seconds - 0.01 else []

    def _due(self, sent: _Sent, update: Update) -> Update:
        """The update as a bare one where nothing but partial ones came for too long."""
        is_due = bool(update.fields) and time.monotonic() - sent.bare_at >= self._snapshot_seconds
        return Update(update.task) if is_due else update

    def _noted(self, sent: _Sent, update: Update) -> Update:
        sent.at = time.monotonic()
        if update.task is not None:
            sent.last = update.task
            if not update.fields:
                sent.bare_at = sent.at
        return update

    def _patience(self, sent: _Sent, nap: float) -> float:
        due = min(sent.at + self._heartbeat_seconds, sent.bare_at + self._snapshot_seconds)
        return max(0.0, min(due - time.monotonic(), nap))

    def _nap(self, task: TaskRecord) -> float:
        """How long nothing can be missed: nobody tells here what another process does."""
        is_ours = task.engine_id in (None, self._here.engine_id)
        return self._snapshot_seconds if is_ours else ELSEWHERE_SECONDS


# -- as it is sent -------------------------------------------------------------------------------------------------


async def lines(updates: AsyncGenerator[Update]) -> AsyncGenerator[dict[str, Any]]:
    """NDJSON items: bare tasks for transitions, `{data, fields}` for what grows in between (2.6 rule 3)."""
    async with aclosing(updates):
        async for update in updates:
            if update.task is None:
                yield {"type": "heartbeat"}
            elif update.fields:
                yield {"data": update.task, "fields": list(update.fields)}
            else:
                yield dict(update.task)


async def events(updates: AsyncGenerator[Update]) -> AsyncGenerator[dict[str, Any]]:
    """Items for server-sent events: `update` with a task each, `done` behind the last (10, #34)."""
    id = 0
    async with aclosing(updates):
        async for update in updates:
            if update.task is None:
                yield {"type": "heartbeat"}
            else:
                id += 1
                yield {"event": "update", "data": update.task, "id": id}
    yield {"event": "done", "data": {}, "id": id + 1}


# -- parts ---------------------------------------------------------------------------------------------------------


def _look(tx: Reading, task_id: str) -> _Look | None:
    record = tx.get(TaskRecord, task_id)
    if record is None:
        return None
    logs = dto.logs(tx, record.id, log_bytes=dto.LOGS_IN_STREAM)
    return _Look(record, tx.get(AppRecord, record.app_id), logs)


def _live(sent: _Sent, frame: Live) -> Update | None:
    """The update of a live output; None for a stale one, or one too large to be sent before the end."""
    if frame.name != OUTPUT or not sent.last or sent.last["status"] not in CALLED:
        return None
    draft: Draft = frame.data["draft"]
    place = (draft.attempt, draft.number)
    if draft.attempt != sent.attempt or place <= sent.draft:
        return None
    sent.draft, sent.output = place, draft.output
    task = _fitted({**sent.last, "output": sent.output})
    return Update(task, ("output",)) if task["output"] is sent.output else None


def _stored(sent: _Sent, look: _Look, *, is_ours: bool, draft: Draft | None) -> list[Update]:
    """The transitions since the last look, oldest first; without one, what grew."""
    record, is_first, first_unsent = look.record, not sent.last, sent.events
    output = _output(sent, record, is_ours=is_ours, draft=draft)
    grew = [name for name, is_so in (("output", output != sent.output), ("logs", look.logs != sent.logs)) if is_so]
    updates: list[Update] = []
    if not is_first:
        updates = [
            Update(_earlier(sent, look, index, output=output)) for index in range(first_unsent, len(record.events) - 1)
        ]
    if is_first or len(record.events) > first_unsent:
        updates.append(Update(_rendered(look, output=output)))
    elif grew:
        updates.append(Update(_rendered(look, output=output), tuple(grew)))
    sent.events, sent.attempt, sent.output, sent.logs = len(record.events), record.attempts, output, look.logs
    return updates


def _output(sent: _Sent, record: TaskRecord, *, is_ours: bool, draft: Draft | None) -> Any:
    """The output to show: of what runs here each one is told live, in its turn, so the store's may be ahead."""
    if not (is_ours and record.status in CALLED):
        return record.output
    is_newest_due = not sent.last or record.status is TaskStatus.CANCELLING  # who cancelled was answered what is stored
    if is_newest_due and draft is not None and draft.attempt == record.attempts:
        sent.draft = (draft.attempt, draft.number)
        return draft.output
    if not sent.last:
        return record.output
    return sent.output if record.attempts == sent.attempt else None


def _rendered(look: _Look, *, output: Any) -> dict[str, Any]:
    record = look.record.but(output=output)
    return _fitted(dto.task_parts(record, app=look.app, logs=look.logs))


def _earlier(sent: _Sent, look: _Look, index: int, *, output: Any) -> dict[str, Any]:
    """The task as it was after its transition `index`: with the output and the logs that were known then.

    That of a cancel is followed by nothing but the end, so there `output`, the newest, is shown.
    """
    entry = look.record.events[index]
    status = TaskStatus(entry["status"])
    known = output if status is TaskStatus.CANCELLING else sent.output
    record = look.record.but(
        status=status,
        events=look.record.events[: index + 1],
        updated_at=entry["event_time"],
        output=None if status in (TaskStatus.RECEIVED, TaskStatus.QUEUED) else known,
        error=None,
    )
    return _fitted(dto.task_parts(record, app=look.app, logs=sent.logs))


def _gone(sent: _Sent) -> list[Update]:
    """The last update of a deleted task: it was cancelled (no stream ends before a terminal one, 2.6 rule 5)."""
    if not sent.last or not is_open(TASK, TaskStatus(sent.last["status"])):
        return []
    status = TaskStatus.CANCELLED
    return [Update({**sent.last, "status": int(status), "status_text": status.name.lower()})]


def _fitted(task: dict[str, Any]) -> dict[str, Any]:
    """The task in a line that every reader takes: without its logs, then its input, then the output of what still runs.

    The output of a task that is over is sent whatever its size.
    """
    is_over = not is_open(TASK, TaskStatus(task["status"]))
    leaves: Sequence[Mapping[str, Any]] = ({"logs": []}, {"input": None, "setup": None}, {"output": None})
    for leave in leaves:
        if len(encode_json(task)) <= LONGEST_LINE or ("output" in leave and is_over):
            break
        task = {**task, **leave}
    return task
