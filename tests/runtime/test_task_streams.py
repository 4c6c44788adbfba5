"""What watchers of a task see: protocol.md 2.6, rule by rule."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import threading
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.here import Here
from agentkit.runtime.ports import End, Live
from agentkit.runtime.sheets import Draft
from agentkit.runtime.taskwatch import TaskWatch, Update, events, lines
from agentkit.wire import TaskLogType, TaskStatus
from tests.runtime.serving import RawStream, Served, served
from tests.runtime.tasking import LINES, Bench, ScriptedFleet, bench, store_app

pytestmark = pytest.mark.heavy

T = TaskStatus


class Watcher:
    """A reader of a task's updates, in the background."""

    def __init__(self) -> None:
        self.seen: list[Update] = []
        self.is_over = False
        self._news = anyio.Event()

    async def read(self, updates: AsyncGenerator[Update]) -> None:
        async with aclosing(updates):
            async for update in updates:
                self.seen.append(update)
                self._tell()
        self.is_over = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def until(self, wanted: Any) -> None:
        with anyio.fail_after(10):
            while not wanted(self):
                await self._news.wait()

    async def has(self, status: TaskStatus) -> None:
        await self.until(lambda self: any(each.task and each.task["status"] == status for each in self.seen))

    @property
    def shown(self) -> list[tuple[int, tuple[str, ...]]]:
        """Status and fields of what came, heartbeats left out."""
        return [(each.task["status"], each.fields) for each in self.seen if each.task is not None]

    @property
    def bare(self) -> list[int]:
        return [status for status, fields in self.shown if not fields]


@asynccontextmanager
async def watching(on: Bench, task: dict[str, Any], watch: TaskWatch | None = None) -> AsyncGenerator[Watcher]:
    """A watcher that has seen the task as it is."""
    watcher = Watcher()
    updates = watch.watch(task["id"]) if watch else await on.platform.tasks.watch("local", task["id"])
    async with anyio.create_task_group() as group:
        group.start_soon(watcher.read, updates)
        await watcher.until(lambda self: self.seen)
        yield watcher
        group.cancel_scope.cancel()


def text(update: Update) -> Any:
    assert update.task is not None
    return update.task["output"]


@pytest.mark.requirement("task-stream:whole", "task-stream:end-last")
async def test_every_transition_is_shown_whole_and_in_order_and_the_end_is_the_last(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            job = await on.take()
            await watcher.has(T.DISPATCHED)
            await on.desk.moved(job.task_id, T.PREPARING)
            await on.desk.moved(job.task_id, T.SERVING, T.SETTING_UP, T.RUNNING)
            await on.desk.moved(job.task_id, T.UPLOADING)
            await on.end(job.task_id, output={"text": "x"})
            await watcher.until(lambda self: self.is_over)
        assert watcher.bare == [2, 3, 4, 5, 6, 7, 9, 10]
        assert watcher.seen[-1].task == await on.get(task)
        for update in watcher.seen[:-1]:
            assert update.task is not None
            assert (update.task["output"], update.task["error"], update.task["input"]) == (None, None, {"text": "hi"})
            assert update.task["events"][-1]["status"] == update.task["status"]


async def test_a_failure_is_not_told_before_its_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            job = await on.take()
            await on.desk.moved(job.task_id, T.SERVING, T.RUNNING)
            await on.end(job.task_id, "failed", error="ValueError: no")
            await watcher.until(lambda self: self.is_over)
        assert watcher.bare == [2, 3, 5, 7, 11]
        assert [each.task["error"] for each in watcher.seen if each.task] == [None] * 4 + ["ValueError: no"]


@pytest.mark.requirement("task-stream:snapshot-first")
async def test_a_stream_of_a_task_that_is_over_is_one_snapshot(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.done({"text": "x"})
        async with watching(on, task) as watcher:
            await watcher.until(lambda self: self.is_over)
        assert watcher.shown == [(T.COMPLETED, ())]
        assert watcher.seen[0].task == task


async def test_output_comes_live_and_complete_and_is_never_shown_older(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            await on.begin()
            await watcher.has(T.RUNNING)
            for number in range(1, 31):
                await on.desk.produced(task["id"], {"number": number})
                if number % 10 == 0:
                    await anyio.sleep(0.12)  # so that some are saved in between
            await on.end(task["id"], output={"number": 31})
            await watcher.until(lambda self: self.is_over)
        numbers = [text(each)["number"] for each in watcher.seen if text(each)]
        assert numbers == list(range(1, 32))
        assert all(each.fields in ((), ("output",)) for each in watcher.seen)
        assert all(each.task and each.task["input"] == {"text": "hi"} for each in watcher.seen)


async def test_a_cancel_shows_the_newest_output_and_what_comes_after_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        async with watching(on, task) as watcher:
            await on.desk.produced(task["id"], {"words": 7})
            await watcher.until(lambda self: text(self.seen[-1]) == {"words": 7})
            await on.desk.produced(task["id"], {"words": 10})
            await on.send("POST", f"/tasks/{task['id']}/cancel")
            await watcher.has(T.CANCELLING)
            await on.desk.produced(task["id"], {"words": 11})
            await watcher.until(lambda self: text(self.seen[-1]) == {"words": 11})
            await on.end(task["id"], "cancelled")
            await watcher.until(lambda self: self.is_over)
        shown = [(each.task["status"], text(each)["words"]) for each in watcher.seen if each.task and text(each)]
        assert shown == sorted(shown, key=lambda each: each[1])
        assert {(T.CANCELLING, 10), (T.CANCELLING, 11)} <= set(shown)
        assert shown[-1] == (T.CANCELLED, 11)


async def test_a_slow_watcher_sees_no_older_output_at_a_cancel_than_its_answer_had(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        updates = await on.platform.tasks.watch("local", task["id"])
        async with aclosing(updates):
            await anext(updates)
            for number in range(1, 11):
                await on.desk.produced(task["id"], {"words": number})
            answer = (await on.send("POST", f"/tasks/{task['id']}/cancel")).json()
            await on.end(task["id"], "cancelled")
            stored = (await on.get(task))["output"]
            seen = [each async for each in updates]
        assert answer["output"] is None or answer["output"]["words"] <= 10
        assert stored == {"words": 10}
        late = [text(each) for each in seen if each.task and each.task["status"] >= T.CANCELLING and not each.fields]
        assert late == [{"words": 10}, {"words": 10}]
        words = [text(each)["words"] for each in seen if each.task and text(each)]
        assert words == sorted(words)


async def test_who_comes_late_begins_with_the_newest_output(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        await on.begin()
        await on.desk.produced(task["id"], {"number": 1})
        await on.desk.produced(task["id"], {"number": 2})
        async with watching(on, task) as watcher:
            assert [(text(each), each.fields) for each in watcher.seen] == [({"number": 2}, ())]
            await on.desk.produced(task["id"], {"number": 3})
            await watcher.until(lambda self: text(self.seen[-1]) == {"number": 3})


async def test_an_attempt_that_begins_anew_shows_its_own_output(tmp_path: Path) -> None:
    async with bench(tmp_path, metadata={"idempotent": True}) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            await on.begin()
            await watcher.has(T.RUNNING)
            await on.desk.produced(task["id"], {"number": 1})
            await on.desk.produced(task["id"], {"number": 2})
            await on.end(task["id"], "lost", error="killed")
            await on.begin()
            await watcher.until(lambda self: self.bare == [2, 3, 7, 2, 3, 7])
            await on.desk.produced(task["id"], {"number": 1})
            await watcher.until(lambda self: text(self.seen[-1]) == {"number": 1})
            await on.end(task["id"])
            await watcher.until(lambda self: self.is_over)
        assert watcher.bare == [2, 3, 7, 2, 3, 7, 10]


async def test_logs_come_in_between_with_the_whole_task(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            await on.begin()
            await watcher.has(T.RUNNING)
            on.desk.logged(task["id"], TaskLogType.RUN, "one\n")
            await watcher.until(lambda self: (T.RUNNING, ("logs",)) in self.shown)
            on.desk.logged(task["id"], TaskLogType.RUN, "two\n")
            await on.desk.produced(task["id"], {"text": "x"})
            await on.end(task["id"])
            await watcher.until(lambda self: self.is_over)
        last = watcher.seen[-1].task
        assert last is not None
        assert [b64decode(each["content"]) for each in last["logs"]] == [b"one\ntwo\n"]
        assert last["output"] == {"text": "x"}


@pytest.mark.requirement("task-stream:short-lines")
async def test_a_line_stays_below_half_a_megabyte_the_beginning_of_the_log_goes_first(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run("i" * 100_000)
        await on.begin()
        for number in range(900):
            on.desk.logged(task["id"], TaskLogType.RUN, f"{number:03}{'x' * 996}\n")
        await on.desk.produced(task["id"], {"text": "o" * 100_000})
        async with watching(on, task) as watcher:
            await watcher.until(lambda self: any(each.task and each.task["logs"] for each in self.seen))
            await on.desk.produced(task["id"], {"text": "p" * 600_000})  # too large to be sent before the end
            await on.desk.produced(task["id"], {"text": "q" * 200_000})
            await watcher.until(lambda self: text(self.seen[-1])["text"][0] == "q")
            await on.end(task["id"], output={"text": "r" * 600_000})
            await watcher.until(lambda self: self.is_over)
        for update in watcher.seen[:-1]:
            [line] = [each async for each in lines(_only(update))]
            assert len(json.dumps(line)) < 512 * 1024
        [log] = next(each.task["logs"] for each in watcher.seen if each.task and each.task["logs"])
        shown = b64decode(log["content"]).decode()
        assert shown.startswith("[what was printed earlier is left out here]\n") and shown.endswith("\n")
        assert "899x" in shown and "000x" not in shown
        assert len(text(watcher.seen[-1])["text"]) == 600_000


async def _only(update: Update) -> AsyncGenerator[Update]:
    yield update


@pytest.mark.requirement("task-stream:repeats")
async def test_a_quiet_task_beats_and_repeats_its_snapshot_and_so_does_a_chatty_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        here = Here(task["engine_id"])
        watch = TaskWatch(
            on.store, LocalBus(), here=here, draft=lambda _: None, heartbeat_seconds=0.1, snapshot_seconds=0.25
        )
        async with watching(on, task, watch) as watcher:
            await watcher.until(lambda self: len(self.bare) == 4)
            kinds = ["snapshot" if each.task else "beat" for each in watcher.seen]
        assert kinds[0] == "snapshot" and "beat" in kinds  # how many beats lie between two depends on the machine

        bus = LocalBus()
        chatty = TaskWatch(on.store, bus, here=here, draft=lambda _: None, heartbeat_seconds=1, snapshot_seconds=0.2)
        await on.begin()
        async with watching(on, task, chatty) as watcher:
            number = 0
            with anyio.fail_after(10):
                while len(watcher.bare) < 3:
                    number += 1
                    bus.live(task["id"], Live("output", {"draft": Draft(1, number, number)}))
                    await anyio.sleep(0.01)
        assert watcher.shown.count((T.RUNNING, ("output",))) > 10


async def test_a_task_of_another_process_is_looked_at_every_second(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        watch = TaskWatch(on.store, LocalBus(), here=Here("another"), draft=lambda _: None)
        async with watching(on, task, watch) as watcher:
            await on.end(await on.begin(), output={"text": "x"})
            await watcher.until(lambda self: self.is_over)
        assert watcher.bare == [2, 3, 7, 10]


async def test_a_watcher_of_a_deleted_task_sees_it_cancelled(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.run()
        async with watching(on, task) as watcher:
            await on.begin()
            await watcher.has(T.RUNNING)
            await on.ask("DELETE", f"/tasks/{task['id']}")
            await watcher.until(lambda self: self.is_over)
        assert watcher.bare[-1] == T.CANCELLED


async def test_the_two_forms_of_a_stream(tmp_path: Path) -> None:
    async def updates() -> AsyncGenerator[Update]:
        yield Update({"id": "t", "status": 7})
        yield Update()
        yield Update({"id": "t", "status": 7, "output": 1}, ("output",))
        yield Update({"id": "t", "status": 10})

    assert [each async for each in lines(updates())] == [
        {"id": "t", "status": 7},
        {"type": "heartbeat"},
        {"data": {"id": "t", "status": 7, "output": 1}, "fields": ["output"]},
        {"id": "t", "status": 10},
    ]
    assert [each async for each in events(updates())] == [
        {"event": "update", "data": {"id": "t", "status": 7}, "id": 1},
        {"type": "heartbeat"},
        {"event": "update", "data": {"id": "t", "status": 7, "output": 1}, "id": 2},
        {"event": "update", "data": {"id": "t", "status": 10}, "id": 3},
        {"event": "done", "data": {}, "id": 4},
    ]


# -- over a socket -------------------------------------------------------------------------------------------------


class Worker(ScriptedFleet):
    """A fleet that completes every task, a bit at a time; but not where the text is `never`."""

    def run(self, desk: Any) -> Any:
        return self._working(desk)

    @asynccontextmanager
    async def _working(self, desk: Any) -> AsyncGenerator[None]:
        async with self._run(desk), anyio.create_task_group() as group:
            group.start_soon(self._work)
            yield
            group.cancel_scope.cancel()

    async def _work(self) -> None:
        while True:
            job = await self.desk.claim((await self.ticket()).task_id, worker_id="w1")
            assert job is not None
            await self.desk.moved(job.task_id, T.RUNNING)
            if job.input["text"] == "never":
                continue
            await anyio.sleep(0.2)
            await self.desk.produced(job.task_id, {"text": "a"})
            await anyio.sleep(0.2)
            await self.desk.ended(job.task_id, End("completed", {"text": "ab"}))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server behind a socket with the app acme/echo."""
    with served(fleet=Worker()) as found:
        store = found.platform._store  # to put an app there without a deploy

        async def install() -> None:
            await store.write(lambda tx: store_app(tx, tmp_path))

        asyncio.run_coroutine_threadsafe(install(), found.loop).result(10)
        yield found


@pytest.fixture
def port(server: Served) -> int:
    return server.port


def begun(port: int, **body: Any) -> str:
    with RawStream.open(
        port, "/apps/run", body={"app": "acme/echo", "input": {"text": "hi"}, **body}, X_API_Version="2"
    ) as answer:
        size = int(answer.headers["content-length"])
        while len(answer._held) < size:
            answer._fill()
        return str(json.loads(answer._held)["id"])


@pytest.mark.requirement("task-stream:end-last")
def test_each_line_is_a_chunk_and_the_answer_ends_a_moment_behind_the_last(port: int) -> None:
    with RawStream.open(port, f"/tasks/{begun(port)}/stream", Accept="application/x-ndjson") as stream:
        assert stream.headers["content-type"] == "application/x-ndjson"
        chunks = stream.chunks_until(lambda chunk: b'"status":10' in chunk)
        at = time.monotonic()
        assert stream.chunk() == b""
        assert time.monotonic() - at >= 0.01
    assert all(chunk.endswith(b"\n") and chunk.count(b"\n") == 1 for chunk in chunks)
    items = [json.loads(chunk) for chunk in chunks]
    assert "fields" not in items[0] and items[0]["status"] in (2, 3, 7)
    assert [each["fields"] for each in items if "fields" in each] == [["output"]]
    assert items[-1]["output"] == {"text": "ab"}


@pytest.mark.requirement("task-stream:sse")
def test_a_browser_gets_named_events_with_growing_ids(port: int) -> None:
    with RawStream.open(port, f"/tasks/{begun(port)}/stream", Accept="text/event-stream") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        found = b"".join(stream.chunks_until(lambda chunk: b"event: done" in chunk)).decode().split("\n\n")
        assert stream.chunk() == b""
    named = [dict(line.split(": ", 1) for line in each.splitlines()) for each in found if each and each[0] != ":"]
    assert [int(each["id"]) for each in named] == list(range(1, len(named) + 1))
    assert {each["event"] for each in named[:-1]} == {"update"} and named[-1]["event"] == "done"
    assert json.loads(named[-2]["data"])["status"] == T.COMPLETED and json.loads(named[-1]["data"]) == {}
    assert all("status" in json.loads(each["data"]) for each in named[:-1])


def test_a_run_can_be_answered_with_its_stream(port: int) -> None:
    body = {"app": "acme/echo", "input": {"text": "hi"}, "stream": True}
    with RawStream.open(port, "/run", body=body, Accept="application/x-ndjson") as stream:
        chunks = stream.chunks_until(lambda chunk: b'"status":10' in chunk)
    assert json.loads(chunks[0])["input"] == {"text": "hi"}


def _open_until(server: Served, number: int) -> None:
    until = time.monotonic() + 10
    while len(server.app.state.streams) != number:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_who_hangs_up_is_waited_for_no_more(server: Served) -> None:
    body = json.dumps({"app": "acme/echo", "input": {"text": "never"}}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST /run HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _open_until(server, 1)
    _open_until(server, 0)


def test_a_server_that_stops_keeps_nobody_waiting(server: Served) -> None:
    def wait() -> None:
        body = {"app": "acme/echo", "input": {"text": "never"}}
        answers.append(httpx.post(f"http://127.0.0.1:{server.port}/run", json=body, headers=LINES, timeout=10))

    answers: list[httpx.Response] = []
    thread = threading.Thread(target=wait)
    thread.start()
    _open_until(server, 1)
    server.loop.call_soon_threadsafe(server.app.state.streams.close)
    thread.join(10)
    problem = answers[0].json()
    assert (answers[0].status_code, f"/tasks/{problem['task_id']}" in problem["detail"]) == (503, True)


async def test_whatever_happens_when_each_watcher_sees_it_in_order(tmp_path: Path) -> None:
    seed = int(os.environ.get("AGENTKIT_SEED", random.randrange(1 << 32)))
    print(f"AGENTKIT_SEED={seed}")
    chance = random.Random(seed)
    async with bench(tmp_path, metadata={"idempotent": True}) as on:
        for _ in range(6):
            await _one_history(on, chance)


async def _one_history(on: Bench, chance: random.Random) -> None:
    task = await on.run()
    watchers: list[Watcher] = []
    number = 0
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            watchers.append(watcher := Watcher())
            group.start_soon(watcher.read, await on.platform.tasks.watch("local", task["id"]))

        await watch()
        for attempt in range(1, 4):
            await on.begin()
            for _ in range(chance.randrange(12)):
                match chance.randrange(4):
                    case 0:
                        await watch()
                    case 1:
                        on.desk.logged(task["id"], TaskLogType.RUN, f"{number}\n")
                    case 2:
                        await anyio.sleep(chance.choice((0, 0.01, 0.12)))
                    case _:
                        number += 1
                        await on.desk.produced(task["id"], {"attempt": attempt, "number": number})
            if attempt == 3 or chance.random() < 0.4:
                await on.end(task["id"], output={"attempt": attempt, "number": number + 1})
                break
            await on.end(task["id"], "lost", error="killed")
        for watcher in watchers:
            await watcher.until(lambda self: self.is_over)
    whole = await on.get(task)
    statuses = [each["status"] for each in whole["events"]][1:]
    for watcher in watchers:
        assert watcher.bare == statuses[len(statuses) - len(watcher.bare) :]
        assert watcher.seen[-1].task == whole
        shown = [(each["attempt"], each["number"]) for update in watcher.seen if (each := text(update))]
        assert shown == sorted(shown)
    outputs = [text(each)["number"] for each in watchers[0].seen if each.fields and "output" in each.fields]
    assert outputs == list(dict.fromkeys(outputs))


async def test_a_stream_in_process_is_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        task = await on.done({"text": "x"})
        response = await on.client.get(f"/tasks/{task['id']}/stream", headers=LINES)
        assert [json.loads(line) for line in response.text.splitlines()] == [task]
