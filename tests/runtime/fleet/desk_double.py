"""A desk in memory that keeps the rules of the port, and what it was told: the platform's side in the fleet's tests."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from agentkit.errors import AppError
from agentkit.runtime.ports import End, Job, LocalFile, Source, TaskPart, Ticket
from agentkit.wire import TaskLogType, TaskStatus


@dataclass
class Told:
    """A task as the desk knows it."""

    job: Job
    status: TaskStatus = TaskStatus.QUEUED
    statuses: list[TaskStatus] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    logs: list[tuple[TaskLogType, str]] = field(default_factory=list)
    files: list[tuple[LocalFile, bytes]] = field(default_factory=list)
    claims: int = 0
    worker_id: str = ""
    is_cancelled: bool = False
    over: anyio.Event = field(default_factory=anyio.Event)
    news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def end(self) -> End:
        assert self.ends, "the task is not over"
        return self.ends[0]

    def text(self, kind: TaskLogType | None = None) -> str:
        return "".join(text for of, text in self.logs if kind in (None, of))

    def tell(self) -> None:
        self.news.set()
        self.news = anyio.Event()


class RecordingDesk:
    """Claims once, the first end counts; `trouble(method, task_id)` may raise in front of each method."""

    def __init__(self, python: str = sys.executable) -> None:
        self.tasks: dict[str, Told] = {}
        self.apps: dict[str, Path] = {}
        self.env: dict[str, str] = {}
        self.uploads: dict[str, bytes] = {}
        self.lost: dict[str, str] = {}
        self.lost_news = anyio.Event()
        self.trouble: Callable[[str, str], None] = lambda method, task_id: None
        self.hold: dict[str, anyio.Event] = {}  # method -> it waits for this
        self.memory_bytes: int | None = None
        self.homes: dict[str, Path] = {}
        self.python = python

    def add(self, task_id: str, version_id: str, input: Any = None, **more: Any) -> Told:
        fields: dict[str, Any] = {"function": None, "setup": None, "owner": "me", **more}
        job = Job(task_id=task_id, app_id="app", version_id=version_id, input=input or {}, **fields)
        return self.tasks.setdefault(task_id, Told(job))

    def want_cancelled(self, task_id: str) -> None:
        """As the platform does it: at once where no worker has the task."""
        task = self.tasks[task_id]
        task.is_cancelled = True
        if task.status is TaskStatus.QUEUED:
            self._finish(task, End("cancelled"))

    async def _enter(self, method: str, task_id: str) -> None:
        await anyio.lowlevel.checkpoint()
        if method in self.hold:
            await self.hold[method].wait()
        self.trouble(method, task_id)

    async def claim(self, task_id: str, *, worker_id: str) -> Job | None:
        await self._enter("claim", task_id)
        task = self.tasks[task_id]
        if task.status is not TaskStatus.QUEUED:
            return None
        task.claims += 1
        task.status = TaskStatus.DISPATCHED
        task.worker_id = worker_id
        task.tell()
        return task.job

    async def source(self, task_id: str, version_id: str) -> Source:
        await self._enter("source", task_id)
        if version_id not in self.apps:
            raise AppError(f"no version {version_id!r}")
        return Source(
            self.apps[version_id], Path(self.python), env=self.env, memory_bytes=self.memory_bytes,
            home=self.homes.get(version_id),
        )  # fmt: skip

    async def moved(self, task_id: str, *statuses: TaskStatus) -> bool:
        await self._enter("moved", task_id)
        task = self.tasks[task_id]
        if task.ends or task.is_cancelled:
            return False
        task.statuses.extend(statuses)
        task.status = statuses[-1]
        task.tell()
        return True

    async def fetch(self, task_id: str, folder: Path, *, part: TaskPart = "input") -> Mapping[str, LocalFile]:
        await self._enter("fetch" if part == "input" else "fetch setup", task_id)
        job = self.tasks[task_id].job
        named = json.dumps(job.input if part == "input" else job.setup)
        found = {uri: content for uri, content in self.uploads.items() if uri in named}
        files = {}
        for number, (uri, content) in enumerate(found.items()):
            path = folder / f"{number}-{uri.rsplit('/', 1)[-1]}"
            path.write_bytes(content)
            files[uri] = LocalFile(path, uri=uri, filename=uri.rsplit("/", 1)[-1], size=len(content))
        return files

    async def keep(self, task_id: str, file: LocalFile) -> dict[str, Any]:
        await self._enter("keep", task_id)
        task = self.tasks[task_id]
        task.files.append((file, file.path.read_bytes()))
        return {"uri": f"inf://files/{task_id}/{len(task.files)}/{file.filename}"}

    def logged(self, task_id: str, kind: TaskLogType, text: str) -> None:
        task = self.tasks[task_id]
        task.logs.append((kind, text))
        task.tell()

    async def produced(self, task_id: str, output: Any) -> None:
        await self._enter("produced", task_id)
        task = self.tasks[task_id]
        task.outputs.append(output)
        task.tell()

    async def ended(self, task_id: str, end: End) -> None:
        await self._enter("ended", task_id)
        self._finish(self.tasks[task_id], end)

    async def worker_lost(self, session_id: str, reason: str) -> None:
        await self._enter("worker_lost", session_id)
        self.lost.setdefault(session_id, reason)
        self.lost_news.set()

    def _finish(self, task: Told, end: End) -> None:
        task.ends.append(end)
        task.status = {"completed": TaskStatus.COMPLETED, "cancelled": TaskStatus.CANCELLED}.get(
            end.kind, TaskStatus.FAILED
        )
        task.over.set()
        task.tell()


def ticket(task: Told, **more: Any) -> Ticket:
    job = task.job
    fields: dict[str, Any] = {
        "lane": f"{job.owner}/{job.version_id}", "version_id": job.version_id, "owner": job.owner, **more
    }  # fmt: skip
    return Ticket(task_id=task.job.task_id, **fields)


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
