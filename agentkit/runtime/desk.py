"""The platform's side of the fleet: gives tasks out, keeps what comes of them (port Desk).

Output and logs are saved at most every 100 ms per task, and in any case in the transaction of its end. What is told
about a task that is over, or that another engine has, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
from pydantic_core import to_json

from agentkit.errors import AppError, StoreError
from agentkit.protocol.lines import is_array, is_object
from agentkit.runtime import lineage, moves, orders, sessions, taskcalls, tasklogs
from agentkit.runtime.faults import Fault
from agentkit.runtime.files import file_id_in
from agentkit.runtime.here import Here
from agentkit.runtime.ports import Bus, End, Job, Live, LocalFile, Reading, Source, Store, TaskPart, Ticket, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord
from agentkit.runtime.service import Service
from agentkit.runtime.sheets import Draft, Sheet, Unsaved
from agentkit.runtime.states import TASK, TaskEvent, is_open
from agentkit.runtime.store.blobs import TooLarge
from agentkit.runtime.taskfiles import TaskFiles
from agentkit.runtime.tooldesk import PROGRESS
from agentkit.runtime.workshop import Workshop
from agentkit.wire import AppSessionStatus, TaskLogType, TaskStatus

__all__ = ["LOGGED", "MAX_ATTEMPTS", "OUTPUT", "TaskDesk", "end_of"]

logger = logging.getLogger("agentkit.desk")

SAVE_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0
MAX_ATTEMPTS: Final = 3  # of an idempotent task whose worker died half-way
LONGEST_ERROR: Final = 32_768  # characters
OUTPUT, LOGGED = "output", "logs"  # the live frames of a task
"""`output`: `{draft}`; `logs`: nothing in it, the log in the store grew."""
_BEFORE: Final = (TaskStatus.DISPATCHED, TaskStatus.PREPARING, TaskStatus.SERVING, TaskStatus.SETTING_UP)


class TaskDesk(Service):
    """What workers ask for and tell. `run` saves, in the background, what comes of them."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        here: Here,
        workshop: Workshop,
        files: TaskFiles,
        submit: Callable[[Ticket], None],
    ) -> None:
        super().__init__(store)
        self._bus = bus
        self._here = here
        self._workshop = workshop
        self._files = files
        self._submit = submit
        self._sheets: dict[str, Sheet] = {}
        self._dirty: dict[str, None] = {}
        self._news = anyio.Event()

    # -- giving out ------------------------------------------------------------------------------------------------

    async def claim(self, task_id: str, *, worker_id: str) -> Job | None:
        """Takes the task for this worker: it is dispatched now. None: it is over, cancelled, or somebody else's."""
        task = await self._write(lambda tx: self._claim(tx, task_id, worker_id))
        if task is None:
            return None
        if (sheet := self._sheets.get(task_id)) is None or sheet.attempt != task.attempts:
            self._sheets[task_id] = Sheet(task_id, attempt=task.attempts, is_for_call=task.invocation_id is not None)
        return _job(task)

    async def source(self, task_id: str, version_id: str) -> Source:
        """Makes the app version ready; the task is shown as preparing where that takes work. Raises AppError."""

        async def preparing() -> None:
            await self.moved(task_id, TaskStatus.PREPARING)

        def log(text: str) -> None:
            self.logged(task_id, TaskLogType.BUILD, text)

        task = await self._store.read(lambda tx: self._ours(tx, task_id))
        if task is None:
            raise AppError(f"task {task_id} is over")
        return await self._workshop.source(version_id, owner=task.owner, log=log, preparing=preparing)

    async def moved(self, task_id: str, *statuses: TaskStatus) -> bool:
        """The task went through these statuses. False: it is to be cancelled, or over already; go no further."""

        def change(tx: Writing) -> bool:
            task = self._ours(tx, task_id)
            if task is None or task.status is TaskStatus.CANCELLING or task.status in moves.WAITING:
                return False
            moves.through(tx, task, statuses)
            return True

        return await self._write(change)

    async def fetch(self, task_id: str, folder: Path, *, part: TaskPart = "input") -> Mapping[str, LocalFile]:
        """The platform's own files that this part of the task names, by URI, put into `folder`. Raises AppError."""
        task = await self._store.read(lambda tx: self._ours(tx, task_id))
        if task is None:
            raise AppError(f"task {task_id} is over")
        value = task.input if part == "input" else task.setup
        return await self._files.fetch(task.owner, value, folder, part=part)

    async def keep(self, task_id: str, file: LocalFile) -> dict[str, Any]:
        """Stores a file that the app made; returns what stands for it in the output (`{"uri": ...}`)."""
        task = await self._store.read(lambda tx: self._ours(tx, task_id))
        if task is None:
            raise AppError(f"task {task_id} is over")
        kept = await self._files.keep(task.owner, file)
        if kept["uri"] == file.uri:
            return kept  # the app handed back what it was given

        await self._made(task_id, file_id_in(kept["uri"]))
        return kept

    async def _made(self, task_id: str, file_id: str) -> None:
        def change(tx: Writing) -> None:
            task = self._ours(tx, task_id)
            if task is not None:
                tx.update(task.but(output_files=[*task.output_files, file_id]))

        await self._write(change)

    # -- being told ------------------------------------------------------------------------------------------------

    def logged(self, task_id: str, kind: TaskLogType, text: str) -> None:
        """The app printed this. Never blocks; what is too much is dropped with a line that says so."""
        if text:
            self._sheet(task_id).log(kind, text)
            self._soon(task_id)

    async def produced(self, task_id: str, output: Any) -> None:
        """The output so far: it replaces what was told before. Watchers see it at once, the store soon."""
        draft = self._sheet(task_id).produce(_plain(output))
        self._bus.live(task_id, Live(OUTPUT, {"draft": draft}))
        self._soon(task_id)
        await anyio.lowlevel.checkpoint()

    async def ended(self, task_id: str, end: End) -> None:
        """The task is over; the first end counts."""
        if self._here.is_closing and end.kind in ("lost", "cancelled"):
            return  # our own doing: what becomes of the task is decided once all workers have ended
        with anyio.CancelScope(shield=True):
            await self._finish(self._sheet(task_id), end)

    async def _finish(self, sheet: Sheet, end: End) -> None:
        async with sheet.lock:
            taken = sheet.take()
            try:
                if sheet.is_for_call and end.kind == "completed":
                    await self._keep_whole(sheet.task_id, _output(end, taken))
                task = await self._write(lambda tx: self._end(tx, sheet, taken, end))
            except BaseException:
                sheet.put_back(taken)
                raise
            self._forget(sheet.task_id)
        if task is not None and task.status is TaskStatus.QUEUED:
            self._submit(orders.ticket(task))

    async def _keep_whole(self, task_id: str, output: Any) -> None:
        """Keeps an output that is more than a tool call's model takes at once as a file that it can page through."""
        task = await self._store.read(lambda tx: self._ours(tx, task_id))
        text = taskcalls.overflow(task, task.output if output is None else output) if task is not None else None
        if task is None or text is None:
            return
        try:
            file = await self._files.keep_text(task.owner, text, filename=taskcalls.overflow_name(task))
        except (TooLarge, OSError) as error:  # the call then has the beginning alone
            logger.warning("task %s: the whole of its output is not kept for the model: %s", task_id, error)
            return
        await self._made(task_id, file.id)

    async def worker_lost(self, session_id: str, reason: str) -> None:
        """The session's worker is gone: the session is over."""
        if self._here.is_closing:
            return

        def change(tx: Writing) -> None:
            session = tx.get(SessionRecord, session_id)
            if session is not None and session.status is AppSessionStatus.ACTIVE:
                sessions.lose(tx, session, reason=reason)

        await self._write(change)

    # -- watchers --------------------------------------------------------------------------------------------------

    def draft(self, task_id: str) -> Draft | None:
        """The newest output of a task that runs here, saved or not."""
        sheet = self._sheets.get(task_id)
        return sheet.draft if sheet else None

    # -- saving ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Saves what was told; until it is cancelled, after which `flush` saves the rest."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            pause = SAVE_SECONDS if await self.flush() else RETRY_SECONDS
            await anyio.sleep(pause)

    async def flush(self) -> bool:
        """Saves what was told so far. False: the store could not; it is held for the next time."""
        dirty, self._dirty = self._dirty, {}
        saved: list[bool] = []

        async def save(sheet: Sheet) -> None:
            saved.append(await self._save(sheet))

        async with anyio.create_task_group() as group:
            for task_id in dirty:
                if sheet := self._sheets.get(task_id):
                    group.start_soon(save, sheet)
        return all(saved)

    async def _save(self, sheet: Sheet) -> bool:
        with anyio.CancelScope(shield=True):
            async with sheet.lock:
                if taken := sheet.take():
                    return await self._saved(sheet, taken)
        return True

    async def _saved(self, sheet: Sheet, taken: Unsaved) -> bool:
        try:
            task = await self._write(lambda tx: self._keep_up(tx, sheet, taken))
        except Exception as error:  # whatever it is, other tasks' are to be saved too
            is_known = isinstance(error, StoreError | Fault)
            logger.warning("task %s: output and log are held: %s", sheet.task_id, error, exc_info=not is_known)
            sheet.put_back(taken)
            self._soon(sheet.task_id)
            return False
        if task is None:
            self._forget(sheet.task_id)
            return True
        if taken.pieces:
            self._bus.live(sheet.task_id, Live(LOGGED, {}))
        if task.chat_id and task.invocation_id:
            askers = await self._store.read(partial(lineage.above, chat_id=task.chat_id))
            lineage.live(self._bus, task.chat_id, Live(PROGRESS, taskcalls.progress(task, taken)), askers)
        return True

    def _sheet(self, task_id: str) -> Sheet:
        return self._sheets.setdefault(task_id, Sheet(task_id))

    def _forget(self, task_id: str) -> None:
        self._sheets.pop(task_id, None)
        self._dirty.pop(task_id, None)

    def _soon(self, task_id: str) -> None:
        self._dirty[task_id] = None
        self._news.set()

    # -- transactions ----------------------------------------------------------------------------------------------

    def _ours(self, tx: Reading, task_id: str) -> TaskRecord | None:
        """The task while it is open and this engine's."""
        task = tx.get(TaskRecord, task_id)
        is_ours = task is not None and is_open(TASK, task.status) and task.engine_id == self._here.engine_id
        return task if is_ours else None

    def _claim(self, tx: Writing, task_id: str, worker_id: str) -> TaskRecord | None:
        task = self._ours(tx, task_id)
        if task is not None and (task.status, task.worker_id) == (TaskStatus.DISPATCHED, worker_id):
            return task  # told twice
        if task is None or task.status is not TaskStatus.QUEUED:
            return None
        if task.session_id:
            session = tx.get(SessionRecord, task.session_id)
            if session is None or session.status is not AppSessionStatus.ACTIVE:
                moves.end(tx, task, TaskEvent.FAIL, kind="lost", error="the session is over")
                return None
            tx.update(session.but(worker_id=worker_id, engine_id=self._here.engine_id, task_id=task.id))
        return moves.move(tx, task, TaskEvent.CLAIM, worker_id=worker_id, attempts=task.attempts + 1)

    def _keep_up(self, tx: Writing, sheet: Sheet, taken: Unsaved) -> TaskRecord | None:
        task = self._ours(tx, sheet.task_id)
        if task is None:
            return None
        if taken.draft:
            task = moves.save(tx, task, output=taken.draft.output)
        self._log(tx, sheet, taken)
        return task

    def _end(self, tx: Writing, sheet: Sheet, taken: Unsaved, end: End) -> TaskRecord | None:
        task = self._ours(tx, sheet.task_id)
        if task is None:
            return None
        self._log(tx, sheet, taken)
        return end_of(tx, task, end, output=_output(end, taken))

    def _log(self, tx: Writing, sheet: Sheet, taken: Unsaved) -> None:
        if taken.pieces:
            sheet.kept = tasklogs.append(tx, sheet.task_id, taken.pieces, kept=sheet.kept, dropped=taken.dropped)


def end_of(tx: Writing, task: TaskRecord, end: End, *, output: Any = None) -> TaskRecord:
    """The task after its worker's last word; queued again where the worker died and that does no harm."""
    error = _plain(end.error[:LONGEST_ERROR]) or None
    match end.kind:
        case "completed":
            task = moves.through(tx, task, (TaskStatus.RUNNING,)) if task.status in _BEFORE else task
            return moves.end(tx, task, TaskEvent.COMPLETE, kind=end.kind, output=output)
        case "cancelled":
            return moves.end(tx, task, TaskEvent.CANCELLED, kind=end.kind, output=output)
        case "lost" if task.status is TaskStatus.CANCELLING:
            return moves.end(tx, task, TaskEvent.CANCELLED, kind="cancelled", output=output)
        case "lost" if may_run_again(task):
            return moves.again(tx, task, engine_id=task.engine_id or "")
        case _:
            error = error or f"the task {end.kind} and nobody said why"
            return moves.end(tx, task, TaskEvent.FAIL, kind=end.kind, output=output, error=error)


def may_run_again(task: TaskRecord) -> bool:
    """Whether a task whose worker died half-way is run once more: only where the app says that this does no harm."""
    was_called = task.status in (TaskStatus.RUNNING, TaskStatus.UPLOADING)
    return was_called and task.is_idempotent and task.attempts < MAX_ATTEMPTS and not task.session_id


def _job(task: TaskRecord) -> Job:
    return Job(
        task_id=task.id,
        app_id=task.app_id,
        version_id=task.app_version_id,
        function=task.function,
        input=task.input,
        setup=task.setup,
        owner=task.owner,
        timeout_seconds=task.timeout_seconds,
        idempotency_key=task.idempotency_key,
    )


def _output(end: End, taken: Unsaved) -> Any:
    """What the task leaves, as far as the store does not have it yet."""
    output = _plain(end.output) if end.kind == "completed" else None
    return taken.draft.output if output is None and taken.draft else output


def _plain(output: Any) -> Any:
    """The output, if it can be stored; where half a surrogate pair is in it, which JSON can spell, with a `?` there."""
    try:
        to_json(output)
    except ValueError:
        return _whole_characters(output)
    return output


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if is_object(value):
        return {_whole_characters(name): _whole_characters(each) for name, each in value.items()}
    return [_whole_characters(each) for each in value] if is_array(value) else value
