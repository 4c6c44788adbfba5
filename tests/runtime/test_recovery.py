"""What becomes of tasks and sessions when the process goes: in good order, by kill -9, and beside another one."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime import platform as platforms
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.ids import new_id
from agentkit.runtime.ports import End, Writing
from agentkit.runtime.records import SessionRecord, TaskRecord
from agentkit.wire import TaskStatus
from tests.runtime.tasking import Bench, ScriptedFleet, bench
from tests.runtime.taskserver import Life, living

pytestmark = pytest.mark.heavy

T = TaskStatus

# -- in good order -------------------------------------------------------------------------------------------------

REACHED = {
    T.QUEUED: (),
    T.DISPATCHED: (),
    T.PREPARING: (T.PREPARING,),
    T.SETTING_UP: (T.SERVING, T.SETTING_UP),
    T.RUNNING: (T.RUNNING,),
    T.UPLOADING: (T.RUNNING, T.UPLOADING),
}


async def brought_to(on: Bench, status: TaskStatus) -> dict[str, Any]:
    """A task that is so far."""
    task = await on.run()
    if status is T.QUEUED:
        return task
    job = await on.take()
    if status is T.CANCELLING:
        await on.ask("POST", f"/tasks/{job.task_id}/cancel")
    elif REACHED[status]:
        await on.desk.moved(job.task_id, *REACHED[status])
    return task


class Telling(ScriptedFleet):
    """A fleet that says of every task it was at, when it is left, that it was lost; as a real one does."""

    @asynccontextmanager
    async def _run(self, desk: Any) -> AsyncGenerator[None]:
        self.desk = desk
        yield
        for task_id in self.has:
            await desk.ended(task_id, End("lost", error="killed by signal 15"))


@pytest.mark.parametrize(
    ("status", "idempotent", "becomes"),
    [
        (T.QUEUED, False, T.QUEUED),
        (T.DISPATCHED, False, T.QUEUED),
        (T.PREPARING, False, T.QUEUED),
        (T.SETTING_UP, False, T.QUEUED),
        (T.RUNNING, False, T.FAILED),
        (T.RUNNING, True, T.QUEUED),
        (T.UPLOADING, False, T.FAILED),
        (T.UPLOADING, True, T.QUEUED),
        (T.CANCELLING, True, T.CANCELLED),
    ],
)
async def test_closing_leaves_nothing_half_way(
    tmp_path: Path, status: TaskStatus, idempotent: bool, becomes: TaskStatus
) -> None:
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db, fleet=Telling(), metadata={"idempotent": idempotent}) as on:
        task = await brought_to(on, status)
        assert (await on.get(task))["status"] == status
    async with bench(tmp_path, db=db) as on:
        found = await on.get(task)
        assert found["status"] == becomes
        if becomes is T.QUEUED:
            await on.end(await on.begin(), output={"text": "x"})
            assert (await on.get(task))["status"] == T.COMPLETED
        else:
            assert on.fleet.tickets == []
        if becomes is T.FAILED:
            assert found["error"].startswith("the runtime was closed while the task was running; ")
            assert "metadata.idempotent" in found["error"]


async def test_what_was_printed_and_made_before_the_close_is_kept(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db) as on:
        task = await on.run()
        await on.begin()
        await on.desk.produced(task["id"], {"text": "half"})
    async with bench(tmp_path, db=db) as on:
        found = await on.get(task)
        assert (found["status"], found["output"]) == (T.FAILED, {"text": "half"})


async def test_what_waits_keeps_its_order_over_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db) as on:
        tasks = [(await on.run())["id"] for _ in range(5)]
        await on.take()  # the oldest was taken, and goes back to where it was
    async with bench(tmp_path, db=db) as on:
        assert [each.task_id for each in on.fleet.tickets] == tasks


async def test_a_session_does_not_outlive_its_process(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db, metadata={"idempotent": True}) as on:
        first = await on.run(session="new")
        second = await on.run(session=first["session_id"])
        await on.begin()
    async with bench(tmp_path, db=db) as on:
        assert [(await on.get(each))["status"] for each in (first, second)] == [T.FAILED, T.FAILED]
        assert await on.ask("GET", "/sessions") == []
        body = {"app": "acme/echo", "input": {"text": "a"}, "session": first["session_id"]}
        assert (await on.fault("POST", "/apps/run", body))[:2] == (500, "WORKER_LOST")


# -- beside another process ----------------------------------------------------------------------------------------


async def test_a_process_takes_over_from_one_that_dies_and_leaves_one_that_lives_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platforms, "SWEEP_SECONDS", 0.1)
    db = tmp_path / "a.db"
    other = Liveness(db)
    alive = other.claim()
    async with bench(tmp_path, db=db) as on:

        def record(status: TaskStatus, **more: Any) -> TaskRecord:
            return TaskRecord(
                id=new_id(), owner="local", app_id=on.app_id, app_version_id=on.version_id, status=status,
                engine_id=alive, **more,
            )  # fmt: skip

        queued, running = record(T.QUEUED), record(T.RUNNING)
        again = record(T.RUNNING, is_idempotent=True, attempts=1)
        session = SessionRecord(id=new_id(), owner="local", app_id="a", app_version_id="v", engine_id=alive)

        def insert(tx: Writing) -> None:
            for each in (queued, running, again, session):
                tx.insert(each)

        await on.store.write(insert)
        await anyio.sleep(0.4)
        assert on.fleet.tickets == [] and (await on.get(running.id))["status"] == T.RUNNING
        assert await on.desk.claim(queued.id, worker_id="w1") is None
        other.release()
        found = await on.until(running.id, T.FAILED)
        assert found["error"].startswith("the server stopped while the task was running")
        tickets = {(await on.fleet.ticket()).task_id for _ in range(2)}
        assert tickets == {queued.id, again.id}
        assert (await on.send("GET", f"/sessions/{session.id}")).json()["status"] == "ended"


async def test_a_cancellation_that_came_in_elsewhere_reaches_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platforms, "SWEEP_SECONDS", 0.1)
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db) as on, bench(tmp_path, db=db) as elsewhere:
        task = await on.run()
        await on.begin()
        cancelled = await elsewhere.ask("POST", f"/tasks/{task['id']}/cancel")
        assert (cancelled["status"], cancelled["cancelled"]) == (T.CANCELLING, False)
        with anyio.fail_after(5):
            while not on.fleet.cancelled:
                await anyio.sleep(0.01)
        assert on.fleet.cancelled[0][0] == task["id"]
        await on.end(task["id"], "cancelled")
        assert (await elsewhere.get(task))["status"] == T.CANCELLED


async def test_a_session_that_was_ended_elsewhere_gives_its_worker_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platforms, "SWEEP_SECONDS", 0.1)
    db = tmp_path / "a.db"
    async with bench(tmp_path, db=db) as on, bench(tmp_path, db=db) as elsewhere:
        kept, ended = [(await on.done(session="new"))["session_id"] for _ in range(2)]
        await elsewhere.ask("DELETE", f"/sessions/{ended}")
        with anyio.fail_after(5):
            while not on.fleet.released:
                await anyio.sleep(0.01)
        assert (on.fleet.released, on.fleet.leased) == ([ended], [kept])


# -- killed --------------------------------------------------------------------------------------------------------

SLOW = """
import asyncio
import os
from pathlib import Path

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput


class Input(BaseAppInput):
    marks: str = ""
    go: str = ""


class Output(BaseAppOutput):
    calls: int
    pid: int


class App(BaseApp):
    calls: int = 0

    async def run(self, input: Input) -> Output:
        self.calls += 1
        if input.marks:
            with open(input.marks, "a") as file:
                file.write(f"{os.getpid()}\\n")
        while input.go and not Path(input.go).exists():
            await asyncio.sleep(0.01)
        return Output(calls=self.calls, pid=os.getpid())
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The apps acme/slow, and acme/again, which may run twice."""
    folder = tmp_path_factory.mktemp("apps")
    for name, metadata in (("slow", ""), ("again", "metadata:\n  idempotent: true\n")):
        (folder / name).mkdir()
        (folder / name / "inference.py").write_text(SLOW)
        (folder / name / "inf.yml").write_text(f"namespace: acme\nname: {name}\nkernel: python-3.11\n{metadata}")
    return folder


class Hook:
    """A receiver that is down at first."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.is_up = False


@pytest.fixture
def hook() -> Iterator[tuple[str, Hook]]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if found.is_up:
                found.got.append(body)
            self.send_response(200 if found.is_up else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", found
    server.shutdown()
    thread.join()
    server.server_close()


def marked(path: Path, number: int) -> list[int]:
    """The processes that wrote to the file, once there are so many."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= number:
            return [int(each) for each in lines]
        time.sleep(0.02)
    raise AssertionError(f"{path.name}: {number} marks never came")


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    """Whether the processes end within the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(_lives(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.timeout(120)
@pytest.mark.requirement("fleet:recovery", "run:unknown-outcome")
def test_a_killed_server_loses_no_task_and_runs_none_twice_that_may_not(
    tmp_path: Path, apps: Path, hook: tuple[str, Hook]
) -> None:
    db, go, url = tmp_path / "a.db", tmp_path / "go", hook[0]
    waits = {"go": str(go)}
    with living(db, apps, workers=3) as life:
        hooked = life.run("slow", webhook=url)
        life.over(hooked)
        session = life.run("slow", session="new", marks=str(tmp_path / "session"))
        first = life.over(session)
        assert first["output"]["calls"] == 1
        running = life.run("slow", **waits, marks=str(tmp_path / "running"))
        again = life.run("again", **waits, marks=str(tmp_path / "again"))
        pids = marked(tmp_path / "running", 1) + marked(tmp_path / "again", 1) + [first["output"]["pid"]]
        queued = [life.run(app, marks=str(tmp_path / f"queued{app}")) for app in ("slow", "again")]
        called = life.run("slow", session=session["session_id"], **waits, marks=str(tmp_path / "session"))
        marked(tmp_path / "session", 2)
        waiting = life.run("slow", session=session["session_id"])
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        later = life.run("slow", run_at=soon, marks=str(tmp_path / "later"))
        assert [life.ask("GET", f"/tasks/{each['id']}")["status"] for each in queued] == [T.QUEUED, T.QUEUED]
        life.kill()
    assert gone(pids), "workers outlived their server"
    go.touch()
    hook[1].is_up = True
    with living(db, apps, workers=3) as life:
        failed = life.over(running)
        assert failed["status"] == T.FAILED
        assert failed["error"].startswith("the server stopped while the task was running; ")
        repeated = life.over(again)
        assert repeated["status"] == T.COMPLETED
        statuses = [each["status"] for each in repeated["events"]]
        assert statuses.count(T.RUNNING) == 2 and statuses.count(T.QUEUED) == 2
        assert [life.over(each)["status"] for each in queued] == [T.COMPLETED, T.COMPLETED]
        assert life.over(later)["status"] == T.COMPLETED
        assert [life.over(each)["status"] for each in (called, waiting)] == [T.FAILED, T.FAILED]
        lost = life.send("POST", "/apps/run", {"app": "acme/slow", "input": {}, "session": session["session_id"]})
        assert (lost.status_code, lost.json()["type"].rpartition("/")[2]) == (500, "WORKER_LOST")
        marks = {name: len(marked(tmp_path / name, 1)) for name in ("running", "again", "queuedslow", "queuedagain")}
        assert marks == {"running": 1, "again": 2, "queuedslow": 1, "queuedagain": 1}
        until = time.monotonic() + 30
        while not hook[1].got:
            assert time.monotonic() < until, "the webhook was not delivered after the restart"
            time.sleep(0.05)
        assert hooked["id"].encode() in hook[1].got[0]


@pytest.mark.timeout(180)
@pytest.mark.thorough
def test_over_many_deaths_each_accepted_task_comes_to_its_end(tmp_path: Path, apps: Path) -> None:
    seed = int(os.environ.get("AGENTKIT_SEED", random.randrange(1 << 32)))
    print(f"AGENTKIT_SEED={seed}")
    chance = random.Random(seed)
    accepted: list[tuple[str, dict[str, Any], Path]] = []
    for _ in range(4):
        with living(tmp_path / "a.db", apps) as life:
            killer = threading.Timer(chance.uniform(0.3, 2.0), life.kill)
            killer.start()
            try:
                while life.process.poll() is None:
                    _accept(life, chance, tmp_path, accepted)
            finally:
                killer.join()
    with living(tmp_path / "a.db", apps) as life:
        for app, task, marks in accepted:
            found = life.over(task, 60)
            calls = len(marks.read_text().split()) if marks.exists() else 0
            if found["status"] == T.FAILED:
                assert app == "slow" and "the server stopped" in found["error"], (found, seed)
            else:
                assert found["status"] == T.COMPLETED and calls >= 1, (found, seed)
            assert app == "again" or calls <= 1, (found, calls, seed)
    assert len(accepted) > 5


def _accept(life: Life, chance: random.Random, folder: Path, accepted: list[tuple[str, dict[str, Any], Path]]) -> None:
    app, marks = chance.choice(("slow", "again")), folder / new_id()
    try:
        task = life.run(app, marks=str(marks))
    except (httpx.HTTPError, AssertionError):  # it died
        time.sleep(0.02)
        return
    accepted.append((app, task, marks))
    time.sleep(chance.uniform(0, 0.05))
