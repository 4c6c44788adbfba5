"""The whole way: a request, the platform, real workers, an app's code, and back."""

from __future__ import annotations

import json
import os
import signal
import time
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentkit.inprocess import InProcess
from agentkit.local import Runtime
from agentkit.runtime.open import FleetConfig
from agentkit.wire import RunTaskRequest, TaskStatus
from tests.runtime.serving import BARE, Desk, RawStream, in_process, served

pytestmark = pytest.mark.heavy  # real processes

T = TaskStatus
APP = """
import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File


class Setup(BaseAppSetup):
    word: str = "hello"
    file: File | None = None


class Input(BaseAppInput):
    text: str = ""
    seconds: float = 0


class FileInput(BaseAppInput):
    file: File


class Output(BaseAppOutput):
    text: str


class FileOutput(BaseAppOutput):
    file: File


class App(BaseApp):
    async def setup(self, setup: Setup) -> None:
        self.word = setup.word
        self.said: list[str] = []
        print("set up")

    async def run(self, input: Input) -> Output:
        print("running", input.text)
        self.said.append(input.text)
        await asyncio.sleep(input.seconds)
        return Output(text=f"{self.word} {'+'.join(self.said)}")

    async def grow(self, input: Input) -> AsyncGenerator[Output, None]:
        for size in range(1, len(input.text) + 1):
            yield Output(text=input.text[:size])
            await asyncio.sleep(input.seconds)

    def fail(self, input: Input) -> Output:
        raise ValueError(f"bad {input.text}")

    def visit(self, input: Input) -> Output:
        mark = os.path.expanduser("~/mark")
        known = os.path.exists(mark)
        open(mark, "w").close()
        return Output(text="known" if known else "new")

    def leave(self, input: Input) -> Output:
        os._exit(3)

    def block(self, input: Input) -> Output:
        while True:
            time.sleep(1)

    def recite(self, input: Input, setup: Setup) -> FileOutput:
        with open(setup.file.path) as file:
            print(file.read())
        return FileOutput(file=setup.file)

    def upper(self, input: FileInput) -> FileOutput:
        with open(input.file.path) as file, open("upper.txt", "w") as made:
            made.write(file.read().upper())
        return FileOutput(file=File.from_path("upper.txt"))
"""
FLEET = FleetConfig(size=2, cancel_seconds=0.5, kill_seconds=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("app")
    (found / "inference.py").write_text(APP)
    (found / "inf.yml").write_text("namespace: me\nname: echo\nkernel: python-3.11\n")
    return found


@asynccontextmanager
async def working(folder: Path, **more: Any) -> AsyncGenerator[Desk]:
    async with in_process(apps={"me/echo": folder}, **{"fleet": FLEET, **more}) as desk:
        yield desk


async def run(on: Desk, function: str = "run", path: str = "/run", **more: Any) -> dict[str, Any]:
    fields = {name: more.pop(name) for name in ("session", "setup", "wait", "webhook") if name in more}
    return dict(await on.post(path, {"app": f"me/echo:{function}", "input": more, **fields}))


async def broken(on: Desk, function: str, **more: Any) -> dict[str, Any]:
    """The problem of a task that goes wrong."""
    body = {"app": f"me/echo:{function}", "input": more}
    response = await on.client.post("/run", json=body, headers=BARE)
    assert response.status_code == 422, response.text
    return dict(response.json())


async def until(on: Desk, task: dict[str, Any], status: TaskStatus) -> dict[str, Any]:
    with anyio.fail_after(15):
        while (found := await on.get(f"/tasks/{task['id']}"))["status"] != status:
            await anyio.sleep(0.01)
    return dict(found)


async def test_a_task_runs_in_a_worker_that_is_warm_the_second_time(folder: Path) -> None:
    async with working(folder) as on:
        first = await run(on, text="a")
        second = await run(on, text="b")
        assert (first["output"]["text"], second["output"]["text"]) == ("hello a", "hello a+b")
        statuses = [each["status"] for each in first["events"]]
        assert statuses[:3] == [1, 2, 3] and statuses[-2:] == [7, 10] and T.SETTING_UP in statuses
        assert [each["status"] for each in second["events"]] == [1, 2, 3, 7, 10]
        assert first["worker_id"] == second["worker_id"]
        logs = await on.get(f"/tasks/{first['id']}/logs")
        text = "".join(b64decode(each["content"]).decode() for each in logs["logs"])
        assert text == "set up\nrunning a\n"
        fleet = await on.get("/fleet")
        assert (fleet["size"], fleet["counters"]["started"], fleet["counters"]["completed"]) == (2, 1, 2)


async def test_another_setup_is_set_up_anew(folder: Path) -> None:
    async with working(folder) as on:
        assert (await run(on, text="a", setup={"word": "bye"}))["output"]["text"] == "bye a"
        assert (await run(on, text="a"))["output"]["text"] == "hello a"


async def test_an_exception_of_the_app_is_the_error_of_the_task(folder: Path) -> None:
    async with working(folder) as on:
        problem = await broken(on, "fail", text="size")
        assert problem["detail"] == problem["task"]["error"] == "ValueError: bad size"
        log = b64decode(problem["task"]["logs"][-1]["content"]).decode()
        assert "Traceback" in log and log.rstrip().endswith("ValueError: bad size")


async def test_an_app_that_leaves_fails_its_task_and_the_next_one_runs(folder: Path) -> None:
    async with working(folder) as on:
        problem = await broken(on, "leave")
        assert problem["detail"] == "the app's process ended with exit code 3 while it was running"
        assert (await run(on, text="a"))["output"]["text"] == "hello a"


@pytest.mark.requirement("fleet:deaths")
async def test_a_worker_that_is_killed_from_outside_fails_its_task(folder: Path) -> None:
    async with working(folder) as on:
        task = await run(on, "block", path="/apps/run")
        await until(on, task, T.RUNNING)
        [worker] = (await on.get("/fleet"))["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        failed = await until(on, task, T.FAILED)
        assert "killed by signal 9 (SIGKILL)" in failed["error"]


@pytest.mark.requirement("fleet:limits")
async def test_a_task_that_takes_too_long_says_so(folder: Path) -> None:
    fleet = FleetConfig(size=1, default_timeout_seconds=0.5, kill_seconds=0.5)
    async with working(folder, fleet=fleet) as on:
        assert (await broken(on, "run", seconds=30))["detail"] == "ran longer than 0.5 s"


@pytest.mark.parametrize("function", ["run", "block"])
@pytest.mark.requirement("fleet:cancel")
async def test_a_running_task_is_cancelled_cooperative_or_not(folder: Path, function: str) -> None:
    async with working(folder) as on:
        task = await run(on, function, path="/apps/run", seconds=60)
        await until(on, task, T.RUNNING)
        began = time.monotonic()
        found = await on.post(f"/tasks/{task['id']}/cancel")
        assert found["status"] in (T.CANCELLING, T.CANCELLED)
        cancelled = await until(on, task, T.CANCELLED)
        assert cancelled["error"] is None and time.monotonic() - began < 10
        assert (await run(on, text="a"))["status"] == T.COMPLETED


async def test_a_task_in_the_queue_is_cancelled_before_it_ever_runs(folder: Path) -> None:
    async with working(folder, fleet=FleetConfig(size=1)) as on:
        first = await run(on, path="/apps/run", seconds=1)
        second = await run(on, path="/apps/run", text="never")
        assert (await on.post(f"/tasks/{second['id']}/cancel"))["cancelled"] is True
        await until(on, first, T.COMPLETED)
        assert "never" not in (await run(on, text="a"))["output"]["text"]


async def test_a_session_keeps_what_the_app_has_in_memory(folder: Path) -> None:
    async with working(folder) as on:
        first = await run(on, text="a", session="new")
        others = [await run(on, text=text, path="/apps/run", session=first["session_id"]) for text in "bcd"]
        last = await until(on, others[-1], T.COMPLETED)
        assert last["output"]["text"] == "hello a+b+c+d"
        assert (await run(on, text="x"))["output"]["text"] == "hello x"
        assert (await on.client.delete(f"/sessions/{first['session_id']}", headers=BARE)).status_code == 200
        body = {"app": "me/echo", "input": {}, "session": first["session_id"]}
        assert (await on.client.post("/run", json=body, headers=BARE)).status_code == 410


async def test_a_session_whose_app_dies_is_lost(folder: Path) -> None:
    async with working(folder) as on:
        first = await run(on, text="a", session="new")
        body = {"app": "me/echo:leave", "input": {}, "session": first["session_id"]}
        assert (await on.client.post("/run", json=body, headers=BARE)).status_code == 422
        with anyio.fail_after(10):
            while (await on.get(f"/sessions/{first['session_id']}"))["status"] == "active":
                await anyio.sleep(0.01)
        response = await on.client.post("/run", json={**body, "app": "me/echo"}, headers=BARE)
        assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (500, "WORKER_LOST")


async def test_workers_that_are_all_leased_refuse_a_session_and_run_the_rest_later(folder: Path) -> None:
    async with working(folder, fleet=FleetConfig(size=1)) as on:
        first = await run(on, text="a", session="new")
        response = await on.client.post("/run", json={"app": "me/echo", "input": {}, "session": "new"}, headers=BARE)
        assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (409, "WORKER_LEASED")
        waits = await run(on, text="b", path="/apps/run")
        assert (await on.get(f"/tasks/{waits['id']}"))["status"] == T.QUEUED
        await on.client.delete(f"/sessions/{first['session_id']}", headers=BARE)
        assert (await until(on, waits, T.COMPLETED))["output"]["text"] == "hello b"


async def test_files_go_through_an_app(folder: Path) -> None:
    async with working(folder) as on:
        [record] = await on.post("/files", {"files": [{"filename": "in.txt"}]})
        await on.client.put(record["upload_url"], content=b"hello")
        task = await run(on, "upper", file=record["uri"])
        made = task["output"]["file"]
        assert made["filename"] == "upper.txt" and T.UPLOADING in [each["status"] for each in task["events"]]
        [listed] = await on.get(f"/tasks/{task['id']}/files?role=output")
        assert listed["uri"] == made["uri"]
        content = await on.client.get(f"/files/{listed['id']}/content", headers=BARE)
        assert content.content == b"HELLO"


async def test_a_setup_names_files_too(folder: Path) -> None:
    async with working(folder) as on:
        [record] = await on.post("/files", {"files": [{"filename": "in.txt"}]})
        await on.client.put(record["upload_url"], content=b"by heart")
        tasks = [await run(on, "recite", setup={"file": record["uri"]}) for _ in range(2)]
        for task in tasks:
            assert task["output"]["file"]["uri"] == record["uri"]
            logs = await on.get(f"/tasks/{task['id']}/logs")
            assert "by heart" in "".join(b64decode(each["content"]).decode() for each in logs["logs"])
        assert [each["status"] for each in tasks[1]["events"]] == [1, 2, 3, 7, 10]


async def test_what_an_app_has_in_memory_of_one_owner_is_never_another_s(folder: Path) -> None:
    async def run_for(owner: str, text: str) -> str:
        tasks = on.platform.tasks
        task = await tasks.run(owner, RunTaskRequest.parse({"app": ref, "input": {"text": text}}))
        return str((await tasks.finished(owner, task["id"]))["output"]["text"])

    async with working(folder, fleet=FleetConfig(size=1)) as on:
        ref = "me/echo"
        [app] = (await on.post("/apps/list"))["items"]
        await on.post(f"/apps/{app['id']}/visibility", {"visibility": "public"})
        said = [await run_for(owner, owner) for owner in ("local", "local", "ann", "ann", "local")]
    assert said == ["hello local", "hello local+local", "hello ann", "hello ann+ann", "hello local"]


async def test_an_app_forgets_between_tasks_of_no_session_where_it_is_told_that_there_is_none() -> None:
    stats = Path(__file__).parents[2] / "examples/apps/text_stats"
    async with in_process(apps={"me/echo": stats}, fleet=FLEET) as on:
        alone = [(await run(on, "add", text=text))["output"]["texts"] for text in "ab"]
        first = await run(on, "add", text="a", session="new")
        second = await run(on, "add", text="b", session=first["session_id"])
        assert (await on.get("/fleet"))["counters"]["started"] == 2
    assert (alone, first["output"]["texts"], second["output"]["texts"]) == ([1, 1], 1, 2)


async def test_what_an_app_keeps_at_home_is_there_after_a_restart(folder: Path, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        async with working(folder, db=tmp_path / "a.db") as on:
            found.append((await run(on, "visit"))["output"]["text"])
    assert found == ["new", "known"]


def test_a_stream_shows_each_partial_output_over_a_socket(folder: Path) -> None:
    with served(apps={"me/echo": folder}, fleet=FLEET) as server:
        body = {"app": "me/echo:grow", "input": {"text": "abcd", "seconds": 0.05}, "stream": True}
        with RawStream.open(server.port, "/run", body=body, Accept="application/x-ndjson") as stream:
            items = [json.loads(chunk) for chunk in stream.chunks_until(lambda chunk: b'"status":10' in chunk)]
    outputs = [each["data"]["output"]["text"] for each in items if each.get("fields") == ["output"]]
    assert outputs == ["a", "ab", "abc", "abcd"]
    assert [each["status"] for each in items if "status" in each][-2:] == [T.RUNNING, T.COMPLETED]


def client_of(runtime: Runtime) -> httpx.Client:
    assert runtime._portal is not None
    transport = InProcess(runtime._app, runtime._portal)
    return httpx.Client(transport=transport, base_url="http://agentkit.local", headers=BARE, timeout=20)


def test_a_runtime_in_code_runs_apps_and_leaves_no_process(folder: Path, tmp_path: Path) -> None:
    with Runtime(tmp_path / "a.db", apps={"me/echo": folder}, workers=1, environ={}) as runtime:
        client = client_of(runtime)
        body = {"app": "me/echo", "input": {"text": "a"}}
        assert client.post("/run", json=body).json()["output"]["text"] == "hello a"
        [worker] = client.get("/fleet").json()["workers"]
        running = client.post("/apps/run", json={**body, "input": {"seconds": 60}}).json()
        queued = client.post("/apps/run", json=body).json()
        until = time.monotonic() + 10
        while client.get(f"/tasks/{running['id']}").json()["status"] != T.RUNNING:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not Path(f"/proc/{worker['pid']}").exists()
    with Runtime(tmp_path / "a.db", apps={"me/echo": folder}, workers=1, environ={}) as runtime:
        client = client_of(runtime)
        failed = client.get(f"/tasks/{running['id']}").json()
        assert failed["error"].startswith("the runtime was closed while the task was running")
        until = time.monotonic() + 10
        while (found := client.get(f"/tasks/{queued['id']}").json())["status"] != T.COMPLETED:
            assert time.monotonic() < until, found
            time.sleep(0.01)


def test_a_task_that_is_cancelled_as_it_begins_leaves_nothing_for_the_next_one(folder: Path) -> None:
    with Runtime(apps={"me/echo": folder}, workers=1, environ={}) as runtime:
        client, body = client_of(runtime), {"app": "me/echo", "input": {"text": "a"}}
        assert client.post("/run", json=body).status_code == 200
        for number in range(40):
            cancelled = client.post("/apps/run", json=body).json()
            until = time.monotonic() + number / 4000
            while time.monotonic() < until:  # the cancel falls into every step of the beginning
                pass
            client.post(f"/tasks/{cancelled['id']}/cancel")
            found = client.post("/run", json=body)
            assert found.status_code == 200, found.text
