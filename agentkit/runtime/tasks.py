"""Tasks: run, read, watched, cancelled, deleted (protocol.md 2). What runs them is the fleet; see `desk`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import anyio

from agentkit.runtime import dto, moves, orders, pages, tasklogs
from agentkit.runtime.credentials.needs import Holdings
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import Files, file_id_in
from agentkit.runtime.here import Here
from agentkit.runtime.idempotency import Once
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import Bus, Fleet, Live, Reading, Store, Writing
from agentkit.runtime.records import StoredFile, TaskRecord, WebhookRecord
from agentkit.runtime.service import Service
from agentkit.runtime.states import TASK, TaskEvent, is_open
from agentkit.runtime.taskfiles import uris_in
from agentkit.runtime.taskwatch import DELETED, TaskWatch, Update
from agentkit.wire import (
    CancelTaskRequest,
    CursorListRequest,
    Filter,
    RunTaskRequest,
    TaskFile,
    TaskStatus,
    Visibility,
)

__all__ = ["Tasks"]

VISIBILITIES: Final = (Visibility.PRIVATE, Visibility.PUBLIC, Visibility.UNLISTED)
ROLES: Final = ("input", "output")


class Tasks(Service):
    """Everything about tasks. Others' are seen where they are public or unlisted, and changed by nobody else."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        here: Here,
        fleet: Fleet,
        watch: TaskWatch,
        files: Files,
        holdings: Callable[[Reading, str], Holdings],
    ) -> None:
        super().__init__(store)
        self._bus = bus
        self._here = here
        self._fleet = fleet
        self._watch = watch
        self._files = files
        self._holdings = holdings

    # -- running ---------------------------------------------------------------------------------------------------

    async def run(self, owner: str, request: RunTaskRequest, *, once: Once | None = None) -> dict[str, Any]:
        """POST /run and POST /apps/run without waiting: the task, received or queued."""
        if once:  # before the checks: what they look at may have changed since
            answered: dict[str, Any] | None = await self._store.read(once.recall)
            if answered is not None:
                return answered
        run_at = orders.check(request, now=datetime.now(UTC))
        order = await self._store.read(
            lambda tx: orders.resolve(tx, request, owner=owner, run_at=run_at, have=self._holdings(tx, owner))
        )
        order = replace(order, idempotency_key=once.id) if once else order
        session_id = self._lease(order) if order.is_new_session else None
        try:
            task = await self._place(order, session_id=session_id, once=once)
        except BaseException:
            if session_id:
                self._fleet.release(session_id)
            raise
        if session_id and task["session_id"] != session_id:  # an earlier answer to the same request
            self._fleet.release(session_id)
        return task

    async def _place(self, order: orders.Order, *, session_id: str | None, once: Once | None) -> dict[str, Any]:
        placed: list[TaskRecord] = []

        def change(tx: Writing) -> dict[str, Any]:
            here = self._here.engine_id
            placed[:] = [orders.place(tx, order, task_id=new_id(), engine_id=here, new_session_id=session_id)]
            return dto.task(tx, placed[0], log_bytes=0)

        answer: dict[str, Any] = {}
        with anyio.CancelScope(shield=True):  # what is accepted is also submitted
            answer = await self._write(change, once=once)
        for task in placed:
            if task.id == answer["id"] and task.status is TaskStatus.QUEUED:
                self._fleet.submit(orders.ticket(task))
        return answer

    def _lease(self, order: orders.Order) -> str:
        session_id = new_id()
        if not self._fleet.lease(session_id, workers=order.workers):
            named = f" among {', '.join(order.workers)}" if order.workers else ""
            raise Fault("WORKER_LEASED", f"every worker{named} is leased to another session; end one, or try later")
        return session_id

    async def finished(self, owner: str, task_id: str) -> dict[str, Any]:
        """The task once it is completed. Raises Fault: `task_failed`, `task_cancelled` with the member `task` (2.1)."""
        await self._watch.over(task_id)
        task = await self.get(owner, task_id)
        match task["status"]:
            case TaskStatus.COMPLETED:
                return task
            case TaskStatus.CANCELLED:
                raise Fault("task_cancelled", task["error"] or "the task was cancelled", task=task)
            case _:
                raise Fault("task_failed", task["error"] or "the task failed", task=task)

    async def advance(self, task_id: str) -> None:
        """The task may be due: puts it into the queue; cancelled by its tool call: tells the worker."""

        def change(tx: Writing) -> TaskRecord | None:
            task = tx.get(TaskRecord, task_id)
            if task is not None and task.status is TaskStatus.RECEIVED:
                if task.run_at and tx.now < task.run_at:
                    tx.wake(moves.task_wake(task.id), at=task.run_at)
                    return None
                task = moves.queue(tx, task, engine_id=self._here.engine_id)
            tx.clear_wake(moves.task_wake(task_id))
            return task

        task = await self._write(change)
        if task is not None and task.status is TaskStatus.QUEUED and task.engine_id == self._here.engine_id:
            self._fleet.submit(orders.ticket(task))
        elif task is not None and task.status in (TaskStatus.CANCELLING, TaskStatus.CANCELLED):
            await self._stop(task, timeout_seconds=None, force=False)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def get(self, owner: str, task_id: str) -> dict[str, Any]:
        """GET /tasks/{id}."""
        return await self._store.read(lambda tx: dto.task(tx, _shown(_seen(tx, task_id, owner), owner)))

    async def status(self, owner: str, task_id: str) -> dict[str, Any]:
        """GET /tasks/{id}/status, for pollers."""
        task = await self._store.read(lambda tx: _seen(tx, task_id, owner))
        return {"id": task.id, "status": int(task.status), "updated_at": task.updated_at}

    async def watch(self, owner: str, task_id: str) -> AsyncGenerator[Update]:
        """GET /tasks/{id}/stream. Raises Fault before the first update where there is no such task."""
        task = await self._store.read(lambda tx: _seen(tx, task_id, owner))
        updates = self._watch.watch(task.id)
        return updates if task.owner == owner else _shown_to_others(updates)

    async def page(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """POST /tasks/list: without the logs."""
        return await self._store.read(
            lambda tx: pages.page(tx, TaskRecord, request, lambda each: dto.task(tx, each, log_bytes=0), owner=owner)
        )

    async def featured(self, owner: str, request: CursorListRequest) -> dict[str, Any]:
        """GET /tasks/featured: one's own, and public ones."""
        wanted = request.model_copy(update={"filters": [Filter(field="is_featured", value=True)]})

        def render(tx: Reading) -> Callable[[TaskRecord], dict[str, Any]]:
            return lambda each: dto.task(tx, _shown(each, owner), log_bytes=0)

        return await self._store.read(
            lambda tx: pages.page(
                tx,
                TaskRecord,
                wanted,
                render(tx),
                only=lambda each: each.owner == owner or each.visibility == Visibility.PUBLIC,
            )
        )

    async def logs(self, owner: str, task_id: str) -> dict[str, Any]:
        """GET /tasks/{id}/logs."""
        return await self._store.read(lambda tx: dto.task_logs(tx, _seen(tx, task_id, owner)))

    async def timings(self, owner: str, task_id: str) -> dict[str, Any]:
        """GET /tasks/{id}/timings."""
        return await self._store.read(lambda tx: dto.timings(_seen(tx, task_id, owner), now=tx.now))

    async def files(self, owner: str, task_id: str, *, role: str | None = None) -> list[dict[str, Any]]:
        """GET /tasks/{id}/files: what of it is on the platform, and the caller's."""

        def look(tx: Reading) -> list[dict[str, Any]]:
            task = _seen(tx, task_id, owner)
            found = [(kind, id, tx.get(StoredFile, id)) for kind, id in _files(task, _roles(role))]
            return [_file(kind, file) for kind, _, file in found if file is not None and file.owner == task.owner]

        return await self._store.read(look)

    # -- changing --------------------------------------------------------------------------------------------------

    async def cancel(self, owner: str, task_id: str, body: CancelTaskRequest) -> dict[str, Any]:
        """POST /tasks/{id}/cancel: at once where no worker has it; nothing changes where it is over (2.5)."""
        if body.timeout is not None and not 0 <= body.timeout < float("inf"):
            raise Fault("invalid_request", f"timeout is a number of seconds from 0 on, not {body.timeout!r}")
        task = await self._write(lambda tx: moves.cancel(tx, _owned(tx, task_id, owner)))
        if task.end_kind in ("", "cancelled"):
            await self._stop(task, timeout_seconds=body.timeout, force=bool(body.force))
        found = await self.get(owner, task.id)
        return {**found, "cancelled": found["status"] == TaskStatus.CANCELLED}

    async def _stop(self, task: TaskRecord, *, timeout_seconds: float | None, force: bool) -> None:
        """Tells the fleet. A task that this engine's fleet does not have any more has stopped."""
        is_here = self._fleet.cancel(task.id, timeout_seconds=timeout_seconds, force=force)
        if is_here or task.engine_id != self._here.engine_id or task.status is not TaskStatus.CANCELLING:
            return

        def change(tx: Writing) -> None:
            now = tx.get(TaskRecord, task.id)
            if now is not None and now.status is TaskStatus.CANCELLING:
                moves.end(tx, now, TaskEvent.CANCELLED, kind="cancelled")

        await self._write(change)

    async def delete(self, owner: str, task_id: str, *, files: bool = False) -> None:
        """DELETE /tasks/{id}: cancelled first, with `files` also what it made."""

        def change(tx: Writing) -> TaskRecord:
            task = _owned(tx, task_id, owner)
            if is_open(TASK, task.status):
                task = moves.end(tx, task, TaskEvent.CANCEL, kind="cancelled")
            for hook in tx.find(WebhookRecord, task_id=task.id):
                tx.clear_wake(hook.wake_key)
                tx.delete(hook)
            tasklogs.drop(tx, task.id)
            tx.clear_wake(moves.task_wake(task.id))
            tx.delete(task)
            return task

        task = await self._write(change)
        self._fleet.cancel(task.id)
        self._bus.live(task.id, Live(DELETED, {}))
        if files:
            await self._delete_files(owner, task.output_files)

    async def delete_files(self, owner: str, task_id: str, *, role: str | None = None) -> dict[str, Any]:
        """DELETE /tasks/{id}/files: of a task that is over, the caller's own."""

        task = await self._store.read(lambda tx: _owned(tx, task_id, owner))
        wanted = dict.fromkeys(id for _, id in _files(task, _roles(role)))
        if is_open(TASK, task.status):
            return {"deleted": [], "skipped": [{"id": each, "reason": "the task is not over"} for each in wanted]}
        return await self._delete_files(owner, list(wanted))

    async def set_visibility(self, owner: str, task_id: str, visibility: str) -> dict[str, Any]:
        """POST /tasks/{id}/visibility."""
        if visibility not in VISIBILITIES:
            raise Fault("invalid_request", f"visibility is one of {', '.join(VISIBILITIES)}, not {visibility!r}")
        return await self._change(owner, task_id, visibility=str(visibility))

    async def set_featured(self, owner: str, task_id: str, is_featured: bool) -> dict[str, Any]:
        """POST /tasks/{id}/featured."""
        return await self._change(owner, task_id, is_featured=is_featured)

    async def _change(self, owner: str, task_id: str, **changes: Any) -> dict[str, Any]:
        return await self._write(lambda tx: dto.task(tx, moves.save(tx, _owned(tx, task_id, owner), **changes)))

    async def _delete_files(self, owner: str, ids: Sequence[str]) -> dict[str, Any]:
        deleted: list[str] = []
        skipped: list[dict[str, str]] = []
        for id in ids:
            try:
                await self._files.delete(owner, id)
                deleted.append(id)
            except Fault as fault:
                skipped.append({"id": id, "reason": fault.detail})
        return {"deleted": deleted, "skipped": skipped}


def _seen(tx: Reading, task_id: str, owner: str) -> TaskRecord:
    """The task, where the owner may see it."""
    task = tx.get(TaskRecord, task_id)
    if task is None or not (task.owner == owner or task.visibility in (Visibility.PUBLIC, Visibility.UNLISTED)):
        raise Fault("not_found", f"task {task_id!r} not found")
    return task


def _shown(task: TaskRecord, owner: str) -> TaskRecord:
    """The task as the owner may see it: a webhook's URL is a secret between its owner and the receiver."""
    return task if task.owner == owner else task.but(webhook=None)


async def _shown_to_others(updates: AsyncGenerator[Update]) -> AsyncGenerator[Update]:
    async with aclosing(updates):
        async for each in updates:
            yield each if each.task is None else Update({**each.task, "webhook": None}, each.fields)


def _owned(tx: Reading, task_id: str, owner: str) -> TaskRecord:
    """The owner's own task."""
    task = _seen(tx, task_id, owner)
    if task.owner != owner:
        raise Fault("forbidden", f"task {task_id!r} belongs to somebody else; you may only look at it")
    return task


def _roles(role: str | None) -> tuple[str, ...]:
    if role and role not in ROLES:
        raise Fault("invalid_request", f"role is {' or '.join(ROLES)}, not {role!r}")
    return (role,) if role else ROLES


def _files(task: TaskRecord, roles: Sequence[str]) -> list[tuple[str, str]]:
    """Role and id of the task's files, each once per role."""
    ids = {"input": [file_id_in(uri) for uri in uris_in(task.input)], "output": task.output_files}
    return [(role, id) for role in roles for id in dict.fromkeys(ids[role])]


def _file(role: str, record: StoredFile) -> dict[str, Any]:
    return TaskFile(
        id=record.id,
        created_at=record.created_at,
        role=role,
        uri=dto.file_uri(record),
        filename=record.filename,
        content_type=record.content_type,
        size=record.size,
    ).to_wire()
