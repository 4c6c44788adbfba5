"""Tools of type `app` with real workers: the whole way, and servers that are killed on it."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime.open import FleetConfig
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InvocationRecord
from agentkit.runtime.states import INVOCATION, is_open
from agentkit.testing import call
from agentkit.wire import CancelTaskRequest, ResolveInterrupt, TaskStatus, ToolInvocationStatus
from tests.runtime.executors.appserver import MODULE
from tests.runtime.playing import ADA, OWNER, Play, invocations, playing
from tests.runtime.taskserver import Life, living

pytestmark = pytest.mark.heavy  # real processes

APP = '''
import asyncio
import base64
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from agentkit.apps import BaseApp, BaseAppInput, BaseAppOutput, BaseAppSetup, File

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Setup(BaseAppSetup):
    word: str = "hello"


class Input(BaseAppInput):
    text: str = ""
    marks: str = ""
    go: str = ""


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

    async def run(self, input: Input) -> Output:
        """Says it again."""
        if input.marks:
            with open(input.marks, "a") as file:
                file.write(f"{os.getpid()}\\n")
        while input.go and not Path(input.go).exists():
            await asyncio.sleep(0.01)
        self.said.append(input.text)
        return Output(text=f"{self.word} {'+'.join(self.said)}")

    async def grow(self, input: Input) -> AsyncGenerator[Output, None]:
        print("growing")
        yield Output(text=input.text[:1])
        while not Path(input.go).exists():
            await asyncio.sleep(0.01)
        yield Output(text=input.text)

    def fail(self, input: Input) -> Output:
        print("about to fail")
        raise ValueError(f"bad {input.text}")

    def leave(self, input: Input) -> Output:
        os._exit(3)

    def block(self, input: Input) -> Output:
        Path(input.marks).touch()
        while True:
            time.sleep(1)

    def draw(self, input: Input) -> FileOutput:
        Path("dot.png").write_bytes(PIXEL)
        return FileOutput(file=File.from_path("dot.png"))

    def upper(self, input: FileInput) -> Output:
        return Output(text=Path(input.file.path).read_text().upper())
'''
FLEET = FleetConfig(size=2, cancel_seconds=0.5, kill_seconds=0.5)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The apps acme/echo, and acme/again, which may run twice."""
    folder = tmp_path_factory.mktemp("apps")
    for name, metadata in (("echo", ""), ("again", "metadata:\n  idempotent: true\n")):
        (folder / name).mkdir()
        (folder / name / "inference.py").write_text(APP)
        (folder / name / "inf.yml").write_text(f"namespace: acme\nname: {name}\nkernel: python-3.11\n{metadata}")
    return folder


def tool(name: str = "echo", *, app: str = "echo", **config: Any) -> dict[str, Any]:
    beside = {key: config.pop(key) for key in ("timeout", "idempotent") if key in config}
    return {"name": name, "type": "app", "app": {"ref": f"acme/{app}", **config}, **beside}


@asynccontextmanager
async def working(apps: Path, *steps: Any, **more: Any) -> AsyncGenerator[Play]:
    folders = {f"acme/{name}": apps / name for name in ("echo", "again")}
    async with playing(*steps, apps=folders, fleet=FLEET, **more) as play:
        yield play


async def settled(play: Play) -> list[dict[str, Any]]:
    """The calls, once the run is over; real workers take their time to start."""
    with anyio.fail_after(30):
        while (chat := await play.chat())["status"] != "idle":
            await anyio.sleep(0.01)
    return invocations(chat)


async def there(path: Path) -> None:
    with anyio.fail_after(30):
        while not path.exists():
            await anyio.sleep(0.01)


async def test_a_call_goes_to_a_worker_and_comes_back(apps: Path) -> None:
    steps = ([call("echo", {"text": "ada"})], "done")
    async with working(apps, *steps, tools=[tool(function="run", setup={"word": "hi"})]) as play:
        await play.say()
        (found,) = await settled(play)
        assert (found["status"], found["data"]) == ("completed", {"text": "hi ada"})
        assert play.model.requests[0].tools[0].description == "Says it again."
        task = await play.platform.tasks.get(OWNER, found["execution_id"])
        assert (task["status"], task["chat_id"]) == (TaskStatus.COMPLETED, play.chat_id)


async def test_a_session_keeps_what_the_app_has_in_memory(apps: Path) -> None:
    def again(request: Any) -> Any:
        session = request.messages[-1].text.split('[session "')[1].split('"')[0]
        return [call("echo", {"text": "b", "session": session})]

    steps = ([call("echo", {"text": "a", "session": "new"})], again, "done")
    async with working(apps, *steps, tools=[tool(function="run", session_enabled=True)]) as play:
        await play.say()
        assert [each["data"] for each in await settled(play)] == [{"text": "hello a"}, {"text": "hello a+b"}]


async def test_files_go_in_and_images_come_out(apps: Path) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        yield b"words"

    tools = [tool("draw", function="draw"), tool("upper", function="upper")]
    steps = (lambda request: [call("draw"), call("upper", {"file": uri})], "done")
    async with working(apps, *steps, tools=tools) as play:
        async with aclosing(chunks()) as given:
            file = await play.platform.files.store(OWNER, given, filename="a.txt")
        uri = f"inf://files/{file.id}/a.txt"
        await play.say()
        drawn, upper = await settled(play)
        assert (drawn["status"], upper["data"]) == ("completed", {"text": "WORDS"})
        shown = play.model.requests[1].messages[-2]
        assert len(shown.images) == 1 and shown.images[0].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("function", "more", "said"),
    [
        ("fail", {}, "the task failed: ValueError: bad x\n\nThe last it printed:\nabout to fail"),
        ("run", {"timeout": 0.2}, "the task ran out of time: ran longer than 0.2 s"),
    ],
    ids=["fails", "takes-too-long"],
)
async def test_what_goes_wrong_in_the_app_is_told_to_the_model(
    function: str, more: dict[str, Any], said: str, apps: Path, tmp_path: Path
) -> None:
    steps = ([call("echo", {"text": "x", "go": str(tmp_path / "never")})], "done")
    async with working(apps, *steps, tools=[tool(function=function, **more)]) as play:
        await play.say()
        (found,) = await settled(play)
        assert found["status"] == "failed" and said in found["result"]
        assert play.model.requests[1].messages[-1].text == found["result"]


async def test_an_app_that_dies_on_the_way_is_asked_about_and_what_a_person_knows_is_the_result(
    apps: Path, tmp_path: Path
) -> None:
    async with working(apps, [call("echo", {"text": "x"})], "done", tools=[tool(function="leave")]) as play:
        await play.say()
        (asked,) = (await play.until(lambda chat: chat["status"] == "awaiting_input"))["pending_interrupts"]
        assert asked["meta"]["unknown_outcome"] is True and "exit code 3" in asked["meta"]["why"]
        body = ResolveInterrupt.parse({"decision": "respond", "data": "it had said x before"})
        await play.platform.approvals.resolve(OWNER, asked["id"], body, by=ADA)
        (found,) = await settled(play)
        assert (found["status"], found["result"]) == ("completed", "it had said x before")


async def test_an_output_that_grows_is_seen_on_the_chat(apps: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    steps = ([call("echo", {"text": "abc", "go": str(go)})], "done")
    async with working(apps, *steps, tools=[tool(function="grow")]) as play:
        await play.say()
        printed, outputs = "", []
        async with aclosing(await play.platform.chats.watch(OWNER, str(play.chat_id))) as frames:
            with anyio.fail_after(30):
                async for frame in frames:
                    if frame.name == "tool_progress":
                        printed += frame.data["message"]
                        outputs.append(frame.data["output"])
                    if printed.endswith("growing") and {"text": "a"} in outputs:
                        break
        go.touch()
        (found,) = await settled(play)
        assert found["data"] == {"text": "abc"}


async def test_stopping_the_chat_ends_the_process_that_does_not_listen(apps: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with working(apps, [call("echo", {"marks": str(marks)})], tools=[tool(function="block")]) as play:
        await play.say()
        await there(marks)
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        (found,) = await settled(play)
        assert found["status"] == "cancelled"
        with anyio.fail_after(15):
            task = await play.platform.tasks.get(OWNER, found["execution_id"])
            while task["status"] != TaskStatus.CANCELLED:
                await anyio.sleep(0.02)
                task = await play.platform.tasks.get(OWNER, found["execution_id"])
            while any(worker["state"] == "busy" for worker in play.platform.fleet()["workers"]):
                await anyio.sleep(0.02)


async def test_a_task_that_is_cancelled_fails_its_call_and_the_run_goes_on(apps: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    steps = ([call("echo", {"marks": str(marks), "go": str(tmp_path / "never")})], "done")
    async with working(apps, *steps, tools=[tool(function="run")]) as play:
        await play.say()
        await there(marks)
        (running,) = invocations(await play.chat())
        await play.platform.tasks.cancel(OWNER, running["execution_id"], CancelTaskRequest())
        (found,) = await settled(play)
        assert (found["status"], found["result"]) == ("failed", "the task was cancelled")


# -- crashes -------------------------------------------------------------------------------------------------------


async def test_a_call_whose_process_died_before_its_task_began_is_begun_by_the_next(apps: Path, tmp_path: Path) -> None:
    db, asked = tmp_path / "a.db", tool(function="run")
    options: dict[str, Any] = {"db": db, "tools": [{**asked, "require_approval": True}]}
    async with working(apps, [call("echo", {"text": "a"})], **options) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        chat_id = play.chat_id
    async with working(apps, "done", **options) as play:
        play.chat_id = chat_id

        def died(tx: Writing) -> None:
            """The rows as a process leaves them that dies when it has claimed the call."""
            found = tx.get(InvocationRecord, waiting["id"])
            assert found is not None
            tx.update(found.but(status=ToolInvocationStatus.IN_PROGRESS, engine_id="dead", attempt=1))
            tx.wake(f"tool:{found.id}")

        await play.platform._store.write(died)
        with anyio.fail_after(30):
            while (found := invocations(await play.chat())[0])["status"] != "completed":
                await anyio.sleep(0.01)
        assert found["data"] == {"text": "hello a"}


def ask(life: Life, *calls: tuple[str, dict[str, Any]]) -> str:
    """Has the model make these calls; the chat's id."""
    tools = [tool(app="echo", function="run"), tool("again", app="again", function="run")]
    config = {"core_app": {"ref": "obedient/model"}, "tools": tools}
    body = {"agent_config": config, "input": {"text": json.dumps(calls)}}
    return str(life.ask("POST", "/agents/run", body)["assistant_message"]["chat_id"])


def idle(life: Life, chat_id: str, seconds: float = 60.0) -> dict[str, Any]:
    """The chat once its run is over."""
    until = time.monotonic() + seconds
    while (chat := life.ask("GET", f"/chats/{chat_id}"))["status"] != "idle":
        assert time.monotonic() < until, chat
        time.sleep(0.05)
    return dict(chat)


def deny(life: Life, chat_id: str, seconds: float = 60.0) -> str:
    """Has the call whose task was lost not made again; why the person was asked."""
    until = time.monotonic() + seconds
    while not (asked := life.ask("GET", f"/chats/{chat_id}")["pending_interrupts"]):
        assert time.monotonic() < until, "nobody was asked"
        time.sleep(0.05)
    assert asked[0]["meta"]["unknown_outcome"] is True
    life.ask("POST", f"/interrupts/{asked[0]['id']}/resolve", {"decision": "deny"})
    return str(asked[0]["meta"]["why"])


def settled_by_denying(life: Life, chat_id: str, seconds: float) -> dict[str, Any]:
    """The chat once its run is over; what nobody knows the outcome of is not made again."""
    until = time.monotonic() + seconds
    while (chat := life.ask("GET", f"/chats/{chat_id}"))["status"] != "idle":
        assert time.monotonic() < until, chat
        for asked in chat["pending_interrupts"]:
            life.ask("POST", f"/interrupts/{asked['id']}/resolve", {"decision": "deny"})
        time.sleep(0.05)
    return dict(chat)


def marked(path: Path, number: int) -> None:
    until = time.monotonic() + 30
    while not path.exists() or len(path.read_text().split()) < number:
        assert time.monotonic() < until, f"{path.name}: {number} marks never came"
        time.sleep(0.02)


@pytest.mark.timeout(120)
def test_a_killed_server_settles_each_call_by_the_fate_of_its_task(apps: Path, tmp_path: Path) -> None:
    db, go = tmp_path / "a.db", tmp_path / "go"

    def waiting(name: str) -> tuple[str, dict[str, Any]]:
        return name, {"text": name, "go": str(go), "marks": str(tmp_path / name)}

    with living(db, apps, workers=2, module=MODULE) as life:
        running = ask(life, waiting("echo"), waiting("again"))
        marked(tmp_path / "echo", 1)
        marked(tmp_path / "again", 1)
        queued = ask(life, ("echo", {"text": "later", "marks": str(tmp_path / "later")}))
        until = time.monotonic() + 10
        while (
            not invocations(life.ask("GET", f"/chats/{queued}"))
            or not invocations(life.ask("GET", f"/chats/{queued}"))[0]["execution_id"]
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
        life.kill()
    go.touch()
    with living(db, apps, workers=2, module=MODULE) as life:
        assert "the server stopped while the task was running" in deny(life, running)
        unknown, repeated = invocations(idle(life, running))
        (later,) = invocations(idle(life, queued))
    assert unknown["status"] == "cancelled" and unknown["result"].startswith("unknown outcome")
    assert (repeated["status"], repeated["data"]) == ("completed", {"text": "hello again"})
    assert (later["status"], later["data"]) == ("completed", {"text": "hello later"})
    counts = {name: len((tmp_path / name).read_text().split()) for name in ("echo", "again", "later")}
    assert counts == {"echo": 1, "again": 2, "later": 1}


@pytest.mark.timeout(300)
@pytest.mark.thorough
def test_over_many_deaths_each_call_has_one_task_and_one_end(apps: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("AGENTKIT_SEED", random.randrange(1 << 32)))
    print(f"AGENTKIT_SEED={seed}")
    chance = random.Random(seed)
    accepted: list[tuple[str, list[tuple[str, Path]]]] = []
    for _ in range(4):
        with living(tmp_path / "a.db", apps, module=MODULE) as life:
            killer = threading.Timer(chance.uniform(0.3, 2.5), life.kill)
            killer.start()
            try:
                while life.process.poll() is None:
                    _accept(life, chance, tmp_path, accepted)
            finally:
                killer.join()
    ends: set[str] = set()
    with living(tmp_path / "a.db", apps, module=MODULE) as life:
        for chat_id, calls in accepted:
            found = invocations(settled_by_denying(life, chat_id, 120))
            assert len(found) == len(calls), (found, seed)
            for each, (name, marks) in zip(found, calls, strict=True):
                status = ToolInvocationStatus(each["status"])
                assert not is_open(INVOCATION, status), (each, seed)
                task = life.ask("GET", f"/tasks/{each['execution_id']}")
                assert (task["status"] == TaskStatus.COMPLETED) is (status is ToolInvocationStatus.COMPLETED), seed
                ran = len(marks.read_text().split()) if marks.exists() else 0
                assert name == "again" or ran <= 1, (each, ran, seed)
                assert ran >= 1 or status is not ToolInvocationStatus.COMPLETED, (each, seed)
                ends.add(each["execution_id"])
        listed = life.ask("POST", "/tasks/list", {"limit": 1000})["items"]
    assert {each["id"] for each in listed} == ends, seed
    assert len(accepted) > 3


def _accept(
    life: Life, chance: random.Random, folder: Path, accepted: list[tuple[str, list[tuple[str, Path]]]]
) -> None:
    number = len(accepted)
    calls = [(chance.choice(("echo", "again")), folder / f"marks-{number}-{place}") for place in range(2)]
    try:
        chat_id = ask(life, *((name, {"text": "x", "marks": str(marks)}) for name, marks in calls))
    except (httpx.HTTPError, AssertionError):  # it died
        time.sleep(0.02)
        return
    accepted.append((chat_id, calls))
    time.sleep(chance.uniform(0, 0.1))
