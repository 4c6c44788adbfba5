"""Webhooks: one POST when the task is over, again until somebody takes it (protocol.md 2.7)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from agentkit.runtime import webhooks
from agentkit.runtime.records import WebhookRecord
from agentkit.wire import TaskStatus
from tests.runtime.tasking import Bench, bench

pytestmark = pytest.mark.heavy

T = TaskStatus


@dataclass
class Receiver:
    """Somebody who listens; answers each POST with what `answer(number)` says."""

    url: str = ""
    answer: Callable[[int], int] = lambda _: 200
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    delay: float = 0.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    leave = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            leave.wait(found.delay)
            status = found.answer(len(found.got))
            self.send_response(status)
            if status in (301, 307):
                self.send_header("location", f"{found.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    leave.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def got(receiver: Receiver, number: int = 1) -> None:
    with anyio.fail_after(15):
        while len(receiver.got) < number:
            await anyio.sleep(0.01)


async def pending(on: Bench) -> list[WebhookRecord]:
    return await on.store.read(lambda tx: tx.find(WebhookRecord))


async def delivered(on: Bench) -> None:
    with anyio.fail_after(15):
        while await pending(on):
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "output", "error", "status"),
    [("completed", {"text": "x"}, "", T.COMPLETED), ("failed", None, "ValueError: no", T.FAILED)],
)
async def test_the_end_of_a_task_is_posted_with_its_seven_members(
    tmp_path: Path, receiver: Receiver, kind: str, output: Any, error: str, status: TaskStatus
) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(webhook=receiver.url)
        await on.end(await on.begin(), kind, output=output, error=error)
        await got(receiver)
        [(headers, body)] = receiver.got
        found = await on.get(task)
        assert body == {
            "id": task["id"],
            "status": status,
            "output": output,
            "error": error,
            "session_id": None,
            "created_at": found["created_at"],
            "updated_at": found["updated_at"],
        }
        assert headers["content-type"] == "application/json" and headers["user-agent"].startswith("agentkit/")
        await delivered(on)
        assert await on.store.read(lambda tx: tx.wakes()) == []


@pytest.mark.parametrize("host", ["xn--", "xn--a"])
async def test_an_attempt_at_a_host_whose_name_is_none_fails_and_counts(tmp_path: Path, host: str) -> None:
    async with bench(tmp_path) as on:
        await on.run(webhook=f"http://{host}/")
        await on.end(await on.begin())
        with anyio.fail_after(15):
            while not (hooks := await pending(on)) or not hooks[0].last_error:
                await anyio.sleep(0.01)
        assert hooks[0].attempts == 1


async def test_a_host_that_never_answers_does_not_keep_others_from_hearing(tmp_path: Path, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as silent:
        async with bench(tmp_path) as on:
            for _ in range(webhooks.MOST_AT_ONCE + 10):
                await on.run(webhook=f"http://127.0.0.1:{silent.getsockname()[1]}/")
                await on.end(await on.begin())
            await on.run(webhook=receiver.url)
            await on.end(await on.begin())
            with anyio.fail_after(5):
                await got(receiver)


async def test_a_task_that_never_ran_is_told_too(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        task = await on.run(webhook=receiver.url, session="new")
        await on.ask("POST", f"/tasks/{task['id']}/cancel")
        await got(receiver)
        assert (receiver.got[0][1]["status"], receiver.got[0][1]["session_id"]) == (T.CANCELLED, task["session_id"])


@pytest.mark.requirement("webhook:retries")
async def test_who_answers_500_is_asked_again_until_it_takes_it(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda number: 500 if number < 2 else 204
    async with bench(tmp_path) as on:
        await on.run(webhook=receiver.url)
        await on.end(await on.begin())
        await got(receiver)
        at = time.monotonic()
        await got(receiver, 2)
        assert time.monotonic() - at >= 0.9
        await delivered(on)
        assert len(receiver.got) == 2


async def test_redirects_are_not_followed(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: 307
    async with bench(tmp_path) as on:
        await on.run(webhook=receiver.url)
        await on.end(await on.begin())
        with anyio.fail_after(10):
            while not (found := await pending(on)) or not found[0].last_error:
                await anyio.sleep(0.01)
        assert found[0].last_error == "HTTP 307" and len(receiver.got) == 1


@pytest.mark.requirement("webhook:retries")
async def test_a_dead_host_holds_nobody_up_and_the_delivery_outlives_the_process(
    tmp_path: Path, receiver: Receiver
) -> None:
    db = tmp_path / "a.db"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    async with bench(tmp_path, db=db) as on:
        task = await on.run(webhook=dead)
        await on.end(await on.begin())
        assert (await on.get(task))["status"] == T.COMPLETED
        with anyio.fail_after(10):
            while not (found := await pending(on)) or not found[0].last_error:
                await anyio.sleep(0.01)
        assert found[0].attempts == 1
        alive = found[0].but(url=receiver.url)  # the host comes back, under a name that this test can have
        await on.store.write(lambda tx: tx.update(alive))
    async with bench(tmp_path, db=db) as on:
        await got(receiver)
        assert receiver.got[0][1]["id"] == task["id"]
        await delivered(on)


async def test_a_slow_receiver_is_given_up_after_its_time_and_others_do_not_wait(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.5)
    receiver.delay = 30.0
    async with bench(tmp_path) as on:
        await on.run(webhook=receiver.url)
        await on.end(await on.begin())
        await got(receiver)
        receiver.delay = 0.0
        await on.run(webhook=receiver.url)
        await on.end(await on.begin())
        with anyio.fail_after(10):
            while not any("0.5 s" in each.last_error for each in await pending(on)):
                await anyio.sleep(0.01)
        await got(receiver, 3)
        await delivered(on)


async def test_after_enough_attempts_a_webhook_is_given_up(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    async with bench(tmp_path) as on:
        await on.run(webhook=receiver.url)
        await on.end(await on.begin())
        await got(receiver)
        with anyio.fail_after(10):
            while not (found := await pending(on)) or not found[0].last_error:
                await anyio.sleep(0.01)
        last = found[0].but(attempts=webhooks.MAX_ATTEMPTS - 1)
        await on.store.write(lambda tx: tx.update(last))
        await delivered(on)
        assert len(receiver.got) == 2
        assert await on.store.read(lambda tx: tx.wakes()) == []


def test_the_attempts_are_spread_over_hours() -> None:
    pauses = [webhooks.pause_after(attempts) for attempts in range(1, webhooks.MAX_ATTEMPTS)]
    assert pauses[0] == 1 and pauses == sorted(pauses) and max(pauses) == 3_600
    assert 6 * 3_600 < sum(pauses) < 24 * 3_600
