"""Webhook tools on a platform behind its server: signed and not, answered at once and called back (protocol.md 6.5)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from agentkit.protocol.signing import signature
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InvocationRecord
from agentkit.testing import call
from tests.client.hostile import Hostile, Request, Wire, hostile
from tests.runtime.serving import AGENT, KEY, Desk, in_process

SECRET = "whsec-9f8e7d6c"
KEYED = {"Authorization": f"Bearer {KEY}"}
SCHEMA = {"type": "object", "properties": {"msg": {"type": "string"}}, "required": ["msg"]}
Play = Callable[[Request, Wire], None]


@dataclass
class Hooked:
    """A chat whose agent has called a webhook."""

    desk: Desk
    server: Hostile
    tool: dict[str, Any]
    chat_id: str = ""

    async def say(self) -> None:
        agent = {**AGENT, "tools": [self.tool]}
        body = {"agent_config": agent, "input": {"text": "go"}, "context": {"room": "r1"}}
        reply = await self.desk.post("/agents/run", body, **KEYED)
        self.chat_id = reply["assistant_message"]["chat_id"]

    async def chat(self) -> dict[str, Any]:
        return await self.desk.platform.chats.get("local", self.chat_id)

    async def invocation(self) -> dict[str, Any]:
        found = [each for message in (await self.chat())["chat_messages"] for each in message["tool_invocations"]]
        return dict(found[0])

    async def settled(self) -> dict[str, Any]:
        """The invocation once the run is over."""
        await self.desk.until(self.chat_id, "idle")
        return await self.invocation()

    async def told(self) -> dict[str, Any]:
        """What the webhook was told, once it was."""
        with anyio.fail_after(10):
            while not self.server.requests:
                await anyio.sleep(0.005)
        return dict(self.server.requests[0].json)

    async def call_back(self, url: str, body: Any) -> int:
        """The status of a callback, without a key."""
        return (await self.desk.client.post(url, json=body)).status_code


@asynccontextmanager
async def hooked(play: Play, *, db: Any = ":memory:", **config: Any) -> AsyncGenerator[Hooked]:
    """A webhook that plays this, and an agent whose first answer calls it."""
    rules = {name: config.pop(name) for name in ("timeout", "idempotent") if name in config}
    with hostile(play) as server:
        tool = {
            "name": "notify",
            "type": "hook",
            **rules,
            "hook": {"url": f"{server.url}/x", "input_schema": SCHEMA} | config,
        }
        async with in_process(
            call("notify", {"msg": "hi"}),
            "done",
            db=db,
            keys=[KEY],
            secrets={"HOOK_SECRET": SECRET},
            allow_hosts=[f"127.0.0.1:{server.port}"],
            public_url="https://agents.example/",
        ) as desk:
            yield Hooked(desk, server, tool)


def saying(value: Any, status: int = 200) -> Play:
    return lambda request, wire: wire.json(value, status)


def accept(request: Request, wire: Wire) -> None:
    wire.json({"success": True})


def path_of(told: dict[str, Any]) -> str:
    return str(told["callback_url"]).removeprefix("https://agents.example")


# -- what a webhook is told ----------------------------------------------------------------------------------------


async def test_the_call_is_signed_and_complete() -> None:
    async with hooked(saying({"sent": 1}), secret="HOOK_SECRET") as chat:
        await chat.say()
        invocation = await chat.settled()
    [request] = chat.server.requests
    told = request.json
    assert request.headers["x-webhook-signature"] == signature(SECRET, request.body)
    assert request.headers["x-hook-secret"] == SECRET
    assert request.headers["idempotency-key"].startswith(invocation["id"])
    assert (told["tool_invocation_id"], told["hook_name"], told["chat_id"]) == (
        invocation["id"],
        "notify",
        chat.chat_id,
    )
    assert (told["arguments"], told["callback_method"]) == ({"msg": "hi"}, "POST")
    assert path_of(told).startswith(f"/tools/{invocation['id']}?token=")
    assert {"agent_id", "agent_version_id", "timestamp", "run_id"} <= set(told)


@pytest.mark.requirement("hook:signed")
async def test_a_signature_is_of_these_very_bytes() -> None:
    assert signature(SECRET, b'{"a": 1}') != signature(SECRET, b'{"a":1}')
    assert signature(SECRET, b"{}") != signature("another", b"{}")


async def test_without_a_secret_nothing_is_signed() -> None:
    async with hooked(saying({"sent": 1})) as chat:
        await chat.say()
        await chat.settled()
    assert not {"x-webhook-signature", "x-hook-secret"} & set(chat.server.requests[0].headers)


async def test_the_newest_name_of_the_secret_counts_too() -> None:
    async with hooked(saying({"sent": 1}), secret_ref="HOOK_SECRET") as chat:
        await chat.say()
        await chat.settled()
    assert "x-webhook-signature" in chat.server.requests[0].headers


async def test_a_secret_that_is_not_there_is_a_requirement() -> None:
    async with hooked(accept, secret="NO_SUCH") as chat:
        answer = await chat.desk.client.post(
            "/agents/run",
            json={"agent_config": {**AGENT, "tools": [chat.tool]}, "input": {"text": "go"}},
            headers={**KEYED, "X-API-Version": "2"},
        )
    assert answer.status_code == 412
    assert [each["key"] for each in answer.json()["errors"]] == ["NO_SUCH"]


# -- an answer at once ---------------------------------------------------------------------------------------------

ANSWERS: list[tuple[Any, Any]] = [
    ({"sent": 1}, {"sent": 1}),
    ({"success": True, "message": "sent"}, {"success": True, "message": "sent"}),
    ({"success": False}, {"success": False}),
    ([1, 2], [1, 2]),
    ("plain", "plain"),
]


@pytest.mark.parametrize(("body", "data"), ANSWERS, ids=[str(number) for number in range(len(ANSWERS))])
async def test_the_answer_is_the_result(body: Any, data: Any) -> None:
    async with hooked(saying(body)) as chat:
        await chat.say()
        invocation = await chat.settled()
    assert (invocation["status"], invocation["data"]) == ("completed", data)
    assert json.loads(invocation["result"]) == body


async def test_the_secret_that_a_webhook_says_back_is_hidden() -> None:
    async with hooked(lambda request, wire: wire.json(dict(request.headers)), secret="HOOK_SECRET") as chat:
        await chat.say()
        whole = json.dumps(await chat.chat()) if await chat.settled() else ""
    assert SECRET not in whole
    assert "***" in whole


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_an_error_is_a_failed_call_and_is_not_repeated(status: int) -> None:
    def play(request: Request, wire: Wire) -> None:
        wire.answer(status, b'{"why": "no"}', Location="/elsewhere")

    async with hooked(play) as chat:
        await chat.say()
        invocation = await chat.settled()
    assert invocation["status"] == "failed"
    assert f"HTTP {status}" in invocation["result"]
    assert len(chat.server.requests) == 1


async def test_a_private_address_is_a_failed_call() -> None:
    async with hooked(accept) as chat:
        chat.tool["hook"]["url"] = "http://169.254.169.254/hook"
        await chat.say()
        invocation = await chat.settled()
    assert invocation["status"] == "failed"
    assert "metadata" in invocation["result"]


# -- a callback ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("hook:callback-once")
@pytest.mark.parametrize("play", [accept, lambda request, wire: wire.answer(202)], ids=["success", "accepted"])
async def test_a_callback_is_the_result_once(play: Play) -> None:
    async with hooked(play) as chat:
        await chat.say()
        told = await chat.told()
        await chat.desk.until(chat.chat_id, "busy")
        assert (await chat.invocation())["status"] == "awaiting_input"
        assert await chat.call_back(path_of(told), {"result": "later"}) == 200
        invocation = await chat.settled()
        assert (invocation["status"], invocation["result"]) == ("completed", "later")
        assert await chat.call_back(path_of(told), {"result": "again"}) == 403
        assert (await chat.invocation())["result"] == "later"


async def test_a_callback_may_say_that_it_failed() -> None:
    async with hooked(accept) as chat:
        await chat.say()
        assert await chat.call_back(path_of(await chat.told()), {"result": "no room", "failed": True}) == 200
        invocation = await chat.settled()
    assert (invocation["status"], invocation["result"]) == ("failed", "no room")


async def test_a_callback_that_comes_before_the_answer_counts() -> None:
    """The webhook calls back at once, and only then answers the POST."""
    statuses: list[int] = []
    async with anyio.create_task_group() as group:
        token = anyio.lowlevel.current_token()
        chats: list[Hooked] = []

        def eager(request: Request, wire: Wire) -> None:
            send = chats[0].call_back
            statuses.append(anyio.from_thread.run(send, path_of(request.json), {"result": "early"}, token=token))
            wire.json({"success": True})

        async with hooked(eager) as chat:
            chats.append(chat)
            await chat.say()
            invocation = await chat.settled()
        group.cancel_scope.cancel()
    assert statuses == [200]
    assert (invocation["status"], invocation["result"]) == ("completed", "early")


async def test_only_the_right_token_opens() -> None:
    async with hooked(accept) as chat:
        await chat.say()
        told = await chat.told()
        id, path = told["tool_invocation_id"], path_of(told)
        assert await chat.call_back(f"{path}x", {"result": "x"}) == 403
        assert await chat.call_back(f"/tools/{id}?token=", {"result": "x"}) == 403
        assert await chat.call_back(path.replace(id, "0" * 26), {"result": "x"}) == 403
        assert await chat.call_back(f"/tools/{id}", {"result": "x"}) == 401
        assert await chat.call_back(f"/tools/{id}/invoke?{path.partition('?')[2]}", {}) == 401
        assert (await chat.invocation())["status"] == "awaiting_input"
        assert path.partition("token=")[2] not in json.dumps(await chat.chat())
        await chat.desk.post(f"/tools/{id}", {"result": "by the owner"}, **KEYED)
        assert (await chat.settled())["result"] == "by the owner"
        assert await chat.call_back(path, {"result": "x"}) == 403


async def test_a_webhook_that_never_calls_back_fails_in_time() -> None:
    async with hooked(accept, timeout=0.3) as chat:
        await chat.say()
        invocation = await chat.settled()
    assert (invocation["status"], invocation["result"]) == ("failed", "the webhook did not call back in time")


async def test_a_stop_ends_the_wait_and_the_callback_finds_nothing() -> None:
    async with hooked(accept) as chat:
        await chat.say()
        told = await chat.told()
        await chat.desk.post(f"/chats/{chat.chat_id}/stop", **KEYED)
        assert (await chat.invocation())["status"] == "cancelled"
        assert await chat.call_back(path_of(told), {"result": "late"}) in (403, 409)
        assert (await chat.invocation())["status"] == "cancelled"


async def test_a_callback_is_taken_after_a_restart_in_the_middle_of_the_post(tmp_path: Path) -> None:
    """The server went down while the webhook had the call and had not answered: nobody calls it a second time."""
    has_it = threading.Event()

    def slow(request: Request, wire: Wire) -> None:
        has_it.set()
        wire.stay()

    db = tmp_path / "a.db"
    async with hooked(slow, db=db) as chat:
        await chat.say()
        assert await anyio.to_thread.run_sync(has_it.wait, 10)
        told = await chat.told()
    async with in_process("done", db=db, keys=[KEY]) as desk:
        answer = await desk.client.post(path_of(told), json={"result": "after all"})
        assert answer.status_code == 200
        await desk.until(chat.chat_id, "idle")
        again = Hooked(desk, chat.server, chat.tool, chat.chat_id)
        assert (await again.invocation())["result"] == "after all"
    assert len(chat.server.requests) == 1


async def test_a_webhook_that_was_called_twice_may_answer_either_url() -> None:
    """The first answer got lost, so the webhook was called again; it has done the work, and answers the first call."""

    def deaf(request: Request, wire: Wire) -> None:
        if len(chats[0].server.requests) == 1:
            wire.cut()
        wire.json({"success": True})

    chats: list[Hooked] = []
    async with hooked(deaf, idempotent=True) as chat:
        chats.append(chat)
        await chat.say()
        with anyio.fail_after(10):
            while (await chat.invocation() if chat.server.requests[1:] else {}).get("status") != "awaiting_input":
                await anyio.sleep(0.01)
        first, second = (path_of(each.json) for each in chat.server.requests)
        assert first != second
        assert len({each.headers["idempotency-key"] for each in chat.server.requests}) == 1
        assert await chat.call_back(first, {"result": "done at once"}) == 200
        invocation = await chat.settled()
        assert (invocation["result"], invocation["attempt"]) == ("done at once", 2)
        assert [each["end"] for each in invocation["journal"]] == ["failed", "committed"]
        assert await chat.call_back(second, {"result": "again"}) == 403


async def test_a_webhook_that_nobody_heard_of_since_the_crash_is_asked_about_and_may_answer_still(
    tmp_path: Path,
) -> None:
    has_it = threading.Event()

    def slow(request: Request, wire: Wire) -> None:
        has_it.set()
        wire.stay()

    def is_late(tx: Writing) -> None:
        """Its time to call back is over."""
        (row,) = tx.find(InvocationRecord, chat_id=chat.chat_id)
        tx.update(row.but(callback_until=tx.now))
        tx.wake(f"tool:{row.id}")

    db = tmp_path / "a.db"
    async with hooked(slow, db=db) as chat:
        await chat.say()
        assert await anyio.to_thread.run_sync(has_it.wait, 10)
        told = await chat.told()
    async with in_process("done", db=db, keys=[KEY]) as desk:
        await desk.platform._store.write(is_late)
        again = Hooked(desk, chat.server, chat.tool, chat.chat_id)
        await desk.until(chat.chat_id, "awaiting_input")
        (question,) = (await again.chat())["pending_interrupts"]
        assert question["meta"]["unknown_outcome"] is True
        assert (await again.invocation())["status"] == "awaiting_approval"
        assert await again.call_back(path_of(told), {"result": "after all"}) == 200
        invocation = await again.settled()
        assert (invocation["status"], invocation["result"]) == ("completed", "after all")
        assert (await again.chat())["pending_interrupts"] == []


async def test_a_webhook_that_is_not_there_is_tried_again() -> None:
    """Not connected is not called: another attempt can do no harm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        tool = {"name": "notify", "type": "hook", "retries": 1, "hook": {"input_schema": SCHEMA}}
        tool["hook"] |= {"url": f"http://127.0.0.1:{free.getsockname()[1]}/"}
        async with in_process(call("notify", {"msg": "hi"}), "done", keys=[KEY], allow_hosts=["127.0.0.1"]) as desk:
            chat = Hooked(desk, Hostile(0), tool)
            await chat.say()
            invocation = await chat.settled()
    assert invocation["status"] == "failed"
    assert "not connected" in invocation["result"]
