"""`Idempotency-Key`: sent twice, done once (protocol.md 7.2; design.md 1, principle 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime.answers import Limits
from agentkit.runtime.bus.local import LocalBus
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.models.registry import Models
from agentkit.runtime.platform import Platform
from agentkit.runtime.records import IdempotencyRecord
from agentkit.runtime.server import create_app
from agentkit.runtime.store.blobs import Blobs
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import Scripted, call
from tests.runtime.serving import AGENT, BARE, WEATHER, Desk, in_process, message

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

ONCE = {**BARE, "Idempotency-Key": "k-1"}
GUARDED = {**WEATHER, "require_approval": True}


async def _send(desk: Desk, body: Any, path: str = "/agents/run", **headers: str) -> httpx.Response:
    return await desk.client.post(path, json=body, headers={**ONCE, **headers})


async def _parked(desk: Desk, tool: dict[str, Any], status: str) -> tuple[str, str]:
    """A chat whose one call waits; its id and the call's."""
    body = message(agent_config={**AGENT, "tools": [tool]})
    chat_id = (await desk.post("/agents/run", body))["assistant_message"]["chat_id"]
    with anyio.fail_after(10):
        while True:
            chat = await desk.get(f"/chats/{chat_id}")
            calls = [each for m in chat["chat_messages"] for each in m["tool_invocations"] if each["status"] == status]
            if calls:
                return chat_id, calls[0]["id"]
            await anyio.sleep(0.005)


@pytest.mark.requirement("run:effect-once")
async def test_two_at_once_with_one_key_start_one_run() -> None:
    answers: list[httpx.Response] = []
    async with in_process("one", "two", "three") as desk:

        async def send() -> None:
            answers.append(await _send(desk, message()))

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(send)
        chats = (await desk.post("/chats/list"))["items"]
        await desk.until(chats[0]["id"], "idle")
        assert len((await desk.get(f"/chats/{chats[0]['id']}"))["chat_messages"]) == 2
    assert len(chats) == 1
    assert {answer.text for answer in answers} == {answers[0].text}
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False] + [True] * 7


async def test_the_answer_is_the_same_after_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with in_process("one", db=db) as desk:
        first = await _send(desk, message())
        await desk.until(first.json()["assistant_message"]["chat_id"], "idle")
    async with in_process(db=db) as desk:
        again = await _send(desk, message())
        assert len((await desk.post("/chats/list"))["items"]) == 1
    assert (again.status_code, again.text, again.headers["idempotency-replayed"]) == (200, first.text, "true")


async def test_another_body_under_the_same_key_is_refused() -> None:
    async with in_process("one") as desk:
        await _send(desk, message("a"))
        other = await _send(desk, message("b"))
        assert len((await desk.post("/chats/list"))["items"]) == 1
    assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (409, "idempotency_conflict")


async def test_the_order_of_members_does_not_make_another_body() -> None:
    async with in_process("one") as desk:
        body = message("a")
        first = await _send(desk, body)
        again = await _send(desk, dict(reversed(body.items())))
    assert again.text == first.text


async def test_a_request_that_failed_may_be_tried_again_with_its_key() -> None:
    async with in_process("one") as desk:
        refused = await _send(desk, message(chat_id="nope"))
        again = await _send(desk, message(chat_id="nope"))
        fine = await _send(desk, message())
    assert (refused.status_code, again.status_code, fine.status_code) == (404, 404, 200)


async def test_the_same_key_on_another_path_is_another_key() -> None:
    async with in_process(
        [call("get_weather", {"city": "Rome"}), call("get_weather", {"city": "Oslo"})], "done"
    ) as desk:
        chat_id, _ = await _parked(desk, WEATHER, "awaiting_input")
        chat = await desk.get(f"/chats/{chat_id}")
        ids = [each["id"] for m in chat["chat_messages"] for each in m["tool_invocations"]]
        answers = [await _send(desk, {"result": "18"}, f"/tools/{each}") for each in ids]
    assert [answer.json()["id"] for answer in answers] == ids


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_what_is_no_key_is_refused(key: str) -> None:
    async with in_process("one") as desk:
        response = await _send(desk, message(), **{"Idempotency-Key": key})
    assert response.status_code == 400


@pytest.mark.parametrize(("verb", "body"), [("invoke", {"note": "ok"}), ("reject", {"reason": "no"})])
async def test_a_decision_sent_again_answers_as_before_instead_of_already_resolved(verb: str, body: Any) -> None:
    async with in_process(call("get_weather", {"city": "Rome"}), "done") as desk:
        _, invocation = await _parked(desk, GUARDED, "awaiting_approval")
        first = await _send(desk, body, f"/tools/{invocation}/{verb}")
        again = await _send(desk, body, f"/tools/{invocation}/{verb}")
        late = await desk.client.post(f"/tools/{invocation}/{verb}", json=body, headers=BARE)
    assert (first.status_code, again.text) == (200, first.text)
    assert (late.status_code, late.json()["winner"]["status"]) == (409, "resolved")


async def test_an_interrupt_resolved_again_with_its_key_answers_as_before() -> None:
    async with in_process(call("get_weather", {"city": "Rome"}), "done") as desk:
        chat_id, _ = await _parked(desk, GUARDED, "awaiting_approval")
        [interrupt] = (await desk.until(chat_id, "awaiting_input"))["pending_interrupts"]
        path = f"/interrupts/{interrupt['id']}/resolve"
        first = await _send(desk, {"decision": "deny"}, path)
        again = await _send(desk, {"decision": "deny"}, path)
    assert (first.status_code, first.json()["resolution"], again.text) == (200, "deny", first.text)


async def test_an_interrupting_message_to_an_idle_chat_is_answered() -> None:
    async with in_process("one", "two") as desk:
        chat_id = (await desk.post("/agents/run", message()))["assistant_message"]["chat_id"]
        await desk.until(chat_id, "idle")
        await desk.post("/agents/run", message("b", chat_id=chat_id, on_busy="interrupt"))
        chat = await desk.until(chat_id, "idle")
    assert chat["chat_messages"][-1]["content"][0]["text"] == "two"


async def test_an_interrupting_message_sent_again_does_not_interrupt_what_came_after() -> None:
    async with in_process("one", "two") as desk:
        chat_id = (await desk.post("/agents/run", message()))["assistant_message"]["chat_id"]
        await desk.until(chat_id, "idle")
        body = message("b", chat_id=chat_id, on_busy="interrupt")
        first = await _send(desk, body)
        again = await _send(desk, body)
        chat = await desk.until(chat_id, "idle")
    assert first.text == again.text
    assert [each["status"] for each in chat["chat_messages"]] == ["ready"] * 4


async def test_a_streamed_run_sent_again_shows_the_same_run() -> None:
    async with in_process("one") as desk:
        headers = {"Accept": "application/x-ndjson"}
        first = await _send(desk, message(stream=True), **headers)
        again = await _send(desk, message(stream=True), **headers)
        assert len((await desk.post("/chats/list"))["items"]) == 1
    assert '"text":"one"' in first.text
    assert '"text":"one"' in again.text


async def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    store = SqliteStore(tmp_path / "a.db", clock=lambda: now[0])
    models = Models(environ={}, providers={"scripted": Scripted(["one", "two"])})
    platform = Platform(
        store=store, engine=LocalEngine(), bus=LocalBus(), models=models, blobs=Blobs(None), limits=Limits()
    )
    async with platform:
        transport = httpx.ASGITransport(create_app(platform))
        async with httpx.AsyncClient(transport=transport, base_url="http://agentkit.local") as client:
            desk = Desk(client, create_app(platform), platform)
            first = await _send(desk, message())
            now[0] += timedelta(hours=23)
            same = await _send(desk, message())
            now[0] += timedelta(hours=1)
            fresh = await _send(desk, message())
            kept = await store.read(lambda tx: tx.find(IdempotencyRecord))
    assert same.text == first.text
    assert fresh.json()["assistant_message"]["chat_id"] != first.json()["assistant_message"]["chat_id"]
    assert len(kept) == 1
