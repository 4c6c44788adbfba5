"""A platform with an app and a fleet that does what the test says, and short ways to run tasks on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.open import files_beside, open_models
from agentkit.runtime.platform import Platform
from agentkit.runtime.ports import Desk, End, FleetState, Job, Ticket, WorkerInfo, Writing
from agentkit.runtime.records import AppRecord, AppVersionRecord
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.runtime.workshop import apps_beside
from agentkit.wire import AppVersionInput, TaskStatus

OWNER = "local"
BARE = {"X-API-Version": "2"}
LINES = {"Accept": "application/x-ndjson", **BARE}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
SETUP = {"type": "object", "properties": {"size": {"type": "integer"}}}


class ScriptedFleet:
    """A fleet (port Fleet) whose workers are the test: it keeps what it was told, and gives out what is asked of it."""

    def __init__(self, *, leases: int = 4) -> None:
        self.leases = leases
        self.tickets: list[Ticket] = []
        self.cancelled: list[tuple[str, float | None, bool]] = []
        self.leased: list[str] = []
        self.released: list[str] = []
        self.has: set[str] = set()  # tasks it says it has when they are cancelled
        self._news = anyio.Event()
        self.desk: Desk = None  # type: ignore[assignment]  # until it is run

    def run(self, desk: Desk) -> AbstractAsyncContextManager[None]:
        return self._run(desk)

    @asynccontextmanager
    async def _run(self, desk: Desk) -> AsyncGenerator[None]:
        self.desk = desk
        yield

    def submit(self, ticket: Ticket) -> None:
        if ticket.task_id not in {each.task_id for each in self.tickets}:
            self.tickets.append(ticket)
            self.has.add(ticket.task_id)
        self._news.set()

    def cancel(self, task_id: str, *, timeout_seconds: float | None = None, force: bool = False) -> bool:
        self.cancelled.append((task_id, timeout_seconds, force))
        self.tickets = [each for each in self.tickets if each.task_id != task_id]
        return task_id in self.has

    def lease(self, session_id: str, *, workers: Sequence[str] = ()) -> bool:
        if len(self.leased) >= self.leases:
            return False
        self.leased.append(session_id)
        return True

    def release(self, session_id: str) -> None:
        self.released.append(session_id)
        if session_id in self.leased:
            self.leased.remove(session_id)

    def state(self) -> FleetState:
        workers = [
            WorkerInfo(
                id=f"w{number}", pid=None, version_id="", session_id=session_id, state="idle", task_id=None, calls=0,
                rss_bytes=None,
            )
            for number, session_id in enumerate(self.leased, start=1)
        ]  # fmt: skip
        return FleetState(size=4, queued=len(self.tickets), workers=workers, counters={})

    async def ticket(self) -> Ticket:
        """The next ticket, as soon as there is one."""
        with anyio.fail_after(10):
            while not self.tickets:
                self._news = anyio.Event()
                await self._news.wait()
        return self.tickets.pop(0)


@dataclass
class Bench:
    """A server in this process, its client, and the fleet behind it."""

    client: httpx.AsyncClient
    platform: Platform
    store: SqliteStore
    fleet: ScriptedFleet
    ref: str = "acme/echo"
    version_id: str = ""
    app_id: str = ""

    @property
    def desk(self) -> Desk:
        return self.fleet.desk

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = None if method == "GET" else {} if body is None else body
        return await self.client.request(method, path, headers={**BARE, **headers}, json=sent)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The bare answer of a request that must go well."""
        response = await self.send(method, path, body, **headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def fault(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, code and detail of a request that must not go well."""
        response = await self.send(method, path, body)
        problem = response.json()
        return response.status_code, problem["type"].rpartition("/")[2], problem["detail"]

    async def run(self, text: str = "hi", **more: Any) -> dict[str, Any]:
        """POST /apps/run."""
        body = {"app": self.ref, "input": {"text": text}, **more}
        return dict(await self.ask("POST", "/apps/run", body))

    async def get(self, task: Any) -> dict[str, Any]:
        return dict(await self.ask("GET", f"/tasks/{task['id'] if isinstance(task, dict) else task}"))

    async def take(self, *, worker_id: str = "w1") -> Job:
        """What the next ticket is for, claimed."""
        job = await self.desk.claim((await self.fleet.ticket()).task_id, worker_id=worker_id)
        assert job is not None
        return job

    async def begin(self, *, worker_id: str = "w1") -> str:
        """Claims the next ticket and calls its function; the task's id."""
        job = await self.take(worker_id=worker_id)
        assert await self.desk.moved(job.task_id, TaskStatus.RUNNING)
        return job.task_id

    async def end(self, task_id: str, kind: Any = "completed", output: Any = None, error: str = "") -> None:
        self.fleet.has.discard(task_id)
        await self.desk.ended(task_id, End(kind, output, error))

    async def done(self, output: Any = None, **more: Any) -> dict[str, Any]:
        """Runs a task to its end."""
        task = await self.run(**more)
        await self.end(await self.begin(), output=output)
        return await self.get(task)

    async def until(self, task: Any, status: TaskStatus) -> dict[str, Any]:
        """The task once it has this status."""
        with anyio.fail_after(10):
            while (found := await self.get(task))["status"] != status:
                await anyio.sleep(0.005)
        return found


def store_app(tx: Writing, folder: Path, *, name: str = "echo", **config: Any) -> AppVersionRecord:
    """An app whose code is a folder, as if it had been deployed; a further version where it exists."""
    version = AppVersionInput.parse({"input_schema": TEXT, "setup_schema": SETUP, "kernel": "python-3.11", **config})
    found = tx.find(AppRecord, name=name)
    app = found[0] if found else tx.insert(AppRecord(id=f"app{name}", owner=OWNER, namespace="acme", name=name))
    number = len(tx.find(AppVersionRecord, app_id=app.id))
    record = tx.insert(AppVersionRecord(id=f"{name}version{number}", app_id=app.id, config=version, folder=str(folder)))
    tx.update(app.but(version_id=record.id))
    return record


@asynccontextmanager
async def bench(
    tmp_path: Path, *, fleet: ScriptedFleet | None = None, db: str | Path = ":memory:", **app: Any
) -> AsyncGenerator[Bench]:
    """A platform with the app `acme/echo`; `app` goes into its version."""
    fleet, store = fleet or ScriptedFleet(), SqliteStore(db, synchronous="OFF")
    platform = Platform(
        store=store,
        engine=LocalEngine(),
        bus=LocalBus(),
        models=open_models(environ={}),
        blobs=Blobs(files_beside(db)),
        fleet=fleet,
        engines=Liveness(db),
        apps_folder=apps_beside(db),
    )

    def install(tx: Writing) -> AppVersionRecord:
        found = tx.find(AppVersionRecord)
        return found[0] if found else store_app(tx, tmp_path, **app)

    async with platform:
        version = await store.write(install)
        transport = httpx.ASGITransport(create_app(platform), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://agentkit.local") as client:
            yield Bench(client, platform, store, fleet, version_id=version.id, app_id=version.app_id)
