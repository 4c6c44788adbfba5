"""A chat with tools of type `app`, over a fleet that does what the test says; its app `acme/echo` says it again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.runtime.ports import Desk, End, Job, Writing
from agentkit.runtime.records import AppRecord, AppVersionRecord, TaskRecord
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.wire import AppVersionInput, TaskStatus
from tests.runtime.playing import Play, playing
from tests.runtime.tasking import ScriptedFleet

__all__ = ["INPUT", "SETUP", "AppPlay", "app_playing", "app_tool", "new_version"]

INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "size": {"type": "integer", "minimum": 1},
        "image": {"type": "string", "format": "file"},
    },
    "required": ["text", "size"],
}
SETUP = {"type": "object", "properties": {"model": {"enum": ["small", "large"]}}}


def app_tool(name: str = "echo", *, ref: str = "acme/echo", tool: dict[str, Any] | None = None, **app: Any) -> Any:
    """The tool: `app` goes into its config, `tool` beside it."""
    return {"name": name, "type": "app", "app": {"ref": ref, **app}, **(tool or {})}


@dataclass
class AppPlay(Play):
    """A chat, and the fleet that its tools' tasks go to."""

    fleet: ScriptedFleet = None  # type: ignore[assignment]  # set where it is made

    @property
    def store(self) -> SqliteStore:
        store = self.platform._store
        assert isinstance(store, SqliteStore)
        return store

    @property
    def desk(self) -> Desk:
        return self.fleet.desk

    async def take(self, *, worker_id: str = "w1") -> Job:
        """The next task, claimed and called."""
        job = await self.desk.claim((await self.fleet.ticket()).task_id, worker_id=worker_id)
        assert job is not None
        assert await self.desk.moved(job.task_id, TaskStatus.RUNNING)
        return job

    async def end(self, job: Job, output: Any = None, *, kind: Any = "completed", error: str = "") -> None:
        self.fleet.has.discard(job.task_id)
        await self.desk.ended(job.task_id, End(kind, output, error))

    async def task(self, task_id: str) -> TaskRecord | None:
        return await self.store.read(lambda tx: tx.get(TaskRecord, task_id))

    async def tasks(self) -> list[TaskRecord]:
        return await self.store.read(lambda tx: tx.find(TaskRecord))


def new_version(tx: Writing, folder: Path, *, owner: str = "local", **config: Any) -> AppVersionRecord:
    """A version of acme/echo, current from now on; the app too where it is not there yet."""
    given = {"input_schema": INPUT, "setup_schema": SETUP, "kernel": "python-3.11", **config}
    found = tx.get(AppRecord, "appecho")
    app = found or tx.insert(
        AppRecord(id="appecho", owner=owner, namespace="acme", name="echo", description="Says it again")
    )
    number = len(tx.find(AppVersionRecord, app_id=app.id)) + 1
    version = AppVersionRecord(
        id=f"version{number}", app_id=app.id, config=AppVersionInput.parse(given), folder=str(folder)
    )
    tx.insert(version)
    tx.update(app.but(version_id=version.id))
    return version


@asynccontextmanager
async def app_playing(
    folder: Path, *steps: Any, version: dict[str, Any] | None = None, owner: str = "local", **config: Any
) -> AsyncGenerator[AppPlay]:
    """A chat; `version` goes into the app's version, `config` as in `playing`."""
    fleet = config.pop("fleet", None) or ScriptedFleet()
    async with playing(*steps, fleet=fleet, **{"tools": [app_tool()], **config}) as play:
        made = AppPlay(play.platform, play.model, play.config, fleet=fleet)
        await made.store.write(lambda tx: new_version(tx, folder, owner=owner, **(version or {})))
        yield made
