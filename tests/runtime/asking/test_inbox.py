"""The inbox: every question of an owner, listed, looked at and watched."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from agentkit.runtime.asking import inbox, notices
from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.asking.inbox import Wanted
from agentkit.runtime.faults import Fault
from agentkit.runtime.hub import Frame
from agentkit.runtime.ports import Store
from agentkit.testing import call
from agentkit.wire import CursorListRequest, Decide, InterruptStatus, RejectTool
from tests.runtime.playing import ANN, OWNER, Play, client_tool, playing
from tests.runtime.serving import AGENT, BARE, KEY, LINES, RawStream, in_process, message, served

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PAY, SHIP = client_tool("pay", approval=True), client_tool("ship", approval=True)
PAYING = {**AGENT, "tools": [PAY]}
FINANCE = {**PAY, "approval": {"approvers": ["finance"]}}
FIN, OPS = Approver("fay", frozenset({"finance"})), Approver("olu", frozenset({"ops"}))


async def page(play: Play, wanted: Wanted | None = None, *, by: Approver = ANN, **request: Any) -> dict[str, Any]:
    return await play.platform.inbox.page(OWNER, CursorListRequest(**request), wanted or Wanted(), by=by)


async def ask(play: Play, count: int = 1, text: str = "go") -> list[dict[str, Any]]:
    """So many chats that wait, each with one question; the questions."""
    found = []
    for _ in range(count):
        play.chat_id = None
        await play.say(text)
        chat = await play.until(lambda chat: chat["pending_interrupts"])
        found += chat["pending_interrupts"]
    return found


@asynccontextmanager
async def watching(play: Play, **options: Any) -> AsyncGenerator[AsyncGenerator[Frame]]:
    frames = play.platform.inbox.watch(OWNER, **{"by": ANN, **options})
    with anyio.fail_after(15):
        async with aclosing(frames):
            yield frames


async def beginning(frames: AsyncGenerator[Frame]) -> list[Frame]:
    """What comes before the first heartbeat."""
    found = []
    async for frame in frames:
        if frame.name is None:
            break
        found.append(frame)
    return found


async def told(frames: AsyncGenerator[Frame]) -> Frame:
    """The next frame that is no heartbeat."""
    async for frame in frames:
        if frame.name is not None:
            return frame
    raise AssertionError("the stream ended")


def ids(found: dict[str, Any]) -> list[str]:
    return [each["id"] for each in found["items"]]


# -- the list ------------------------------------------------------------------------------------------------------


async def test_what_waits_longest_is_first_and_pages_follow_each_other() -> None:
    async with playing(*[call("pay", {"q": str(n)}) for n in range(3)], tools=[PAY]) as play:
        asked = await ask(play, 3)
        first = await page(play, limit=2)
        assert ids(first) == [each["id"] for each in asked[:2]] and first["has_next"]
        rest = await page(play, limit=2, cursor=first["next_cursor"])
        assert (ids(rest), rest["has_next"]) == ([asked[2]["id"]], False)


async def test_it_lists_what_waits_unless_another_status_is_asked_for() -> None:
    async with playing(call("pay", {"q": "1"}), call("pay", {"q": "2"}), "no", tools=[PAY]) as play:
        first, second = await ask(play, 2)
        await play.platform.approvals.reject(OWNER, first["resource_id"], RejectTool(reason="dear"), by=ANN)
        assert ids(await page(play)) == [second["id"]]
        assert ids(await page(play, Wanted(status="resolved"))) == [first["id"]]
        assert ids(await page(play, Wanted(status="all"))) == [first["id"], second["id"]]


async def test_filters_narrow_it_down() -> None:
    async with playing(call("pay", {"q": "1"}), call("ship", {"q": "2"}), tools=[PAY, SHIP]) as play:
        pay, ship = await ask(play, 2)
        assert ids(await page(play, Wanted(tool="ship"))) == [ship["id"]]
        assert ids(await page(play, Wanted(chat_id=pay["chat_id"]))) == [pay["id"]]
        assert ids(await page(play, Wanted(reason="tool_approval"))) == [pay["id"], ship["id"]]
        assert ids(await page(play, Wanted(reason="widget"))) == []


@pytest.mark.parametrize(("field", "choice"), [("status", "expired"), ("reason", "tool_approval")])
def test_a_value_that_there_is_not_is_refused_with_those_that_there_are(field: str, choice: str) -> None:
    with pytest.raises(Fault, match=rf"{field} is .*{choice}.*, not 'x'"):
        Wanted(**{field: "x"})


async def test_a_chat_stands_for_those_of_its_sub_agents() -> None:
    child = {"core_app": {"ref": "scripted/child"}, "tools": [PAY]}
    agents = {"name": "boss", "type": "agent", "agent": {"config": child}}
    scripts = {"model": [call("boss", {"message": "pay"})], "child": [call("pay", {"q": "1"})]}
    async with playing(scripts=scripts, tools=[agents]) as play:
        [asked] = await ask(play)
        assert asked["chat_id"] != play.chat_id and asked["chat_path"] == [play.chat_id, asked["chat_id"]]
        assert ids(await page(play, Wanted(chat_id=str(play.chat_id)))) == [asked["id"]]


async def test_mine_are_those_alone_that_the_caller_may_answer() -> None:
    async with playing(call("pay", {"q": "1"}), call("ship", {"q": "2"}), tools=[FINANCE, SHIP]) as play:
        pay, ship = await ask(play, 2)
        mine = Wanted(is_mine=True)
        assert ids(await page(play, mine, by=FIN)) == [pay["id"], ship["id"]]
        assert ids(await page(play, mine, by=OPS)) == [ship["id"]]
        assert ids(await page(play, mine, by=ANN)) == [pay["id"], ship["id"]]  # nobody is told apart
        assert ids(await page(play, by=OPS)) == [pay["id"], ship["id"]]


async def test_another_owner_sees_nothing_of_it() -> None:
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        [asked] = await ask(play)
        found = await play.platform.inbox.page("eve", CursorListRequest(), Wanted(status="all"), by=ANN)
        assert found["items"] == []
        with pytest.raises(Fault, match="not found"):
            await play.platform.inbox.get("eve", asked["id"])
        with pytest.raises(Fault, match="not found"):
            await play.platform.inbox.page("eve", CursorListRequest(), Wanted(chat_id=asked["chat_id"]), by=ANN)
        frames = play.platform.inbox.watch("eve", by=ANN)
        with anyio.fail_after(10):
            async with aclosing(frames):
                assert await beginning(frames) == []


# -- one question --------------------------------------------------------------------------------------------------


async def test_one_question_comes_with_what_a_person_needs_to_know() -> None:
    tool = {
        **{"name": "charge", "display_name": "Charge a card", "description": "Takes money.", "type": "http"},
        "require_approval": True,
        "http": {"url": "https://pay.example/v1/{q}?key=${{secrets.k}}", "input_schema": PAY["client"]["input_schema"]},
    }
    steps = ["Whom?", ["I will take ten.", call("charge", {"q": "ten"})]]
    async with playing(*steps, tools=[tool], name="Desk", secrets={"k": "sesame"}) as play:
        await play.say("charge somebody " + "x" * 3000)
        await play.idle()
        await play.say("Ada")
        [asked] = (await play.until(lambda chat: chat["pending_interrupts"]))["pending_interrupts"]
        found = await play.platform.inbox.get(OWNER, asked["id"])
        context = found["context"]
        assert (context["tool_type"], context["display_name"]) == ("http", "Charge a card")
        assert (context["description"], context["target"]) == ("Takes money.", "POST https://pay.example/v1/{q}")
        assert context["input_schema"] == PAY["client"]["input_schema"]
        assert [(each["role"], each["text"][:15]) for each in context["messages"]] == [
            ("user", "charge somebody"),
            ("assistant", "Whom?"),
            ("user", "Ada"),
            ("assistant", "I will take ten"),
        ]
        assert len(context["messages"][0]["text"]) < 2100
        assert {"scope": "tool"} in [each["option"] for each in context["always"]]


async def test_a_question_of_a_chat_that_is_gone_is_not_found() -> None:
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        [asked] = await ask(play)
        await play.platform.chats.delete(OWNER, asked["chat_id"])
        with pytest.raises(Fault, match="not found"):
            await play.platform.inbox.get(OWNER, asked["id"])


# -- the stream ----------------------------------------------------------------------------------------------------


async def test_a_watcher_is_told_what_waits_and_then_every_change() -> None:
    async with playing(*[call("pay", {"q": str(n)}) for n in range(2)], "no", tools=[PAY]) as play:
        [first] = await ask(play)
        async with watching(play) as frames:
            [waiting] = await beginning(frames)
            assert (waiting.data["id"], waiting.name) == (first["id"], "interrupts") and waiting.id is not None
            [second] = await ask(play)
            opened = await told(frames)
            assert (opened.data["id"], opened.data["status"]) == (second["id"], "pending")
            assert opened.data["meta"]["arguments"] == {"q": "1"}
            await play.platform.approvals.reject(OWNER, first["resource_id"], RejectTool(reason="dear"), by=ANN)
            closed = await told(frames)
            assert (closed.data["id"], closed.data["status"], closed.data["note"]) == (first["id"], "resolved", "dear")
        async with watching(play, after=opened.id) as frames:
            assert await beginning(frames) == []
            assert (await told(frames)) == closed


async def test_a_change_that_is_read_late_is_told_as_it_was() -> None:
    async with playing(call("pay", {"q": "1"}), "no", tools=[PAY]) as play:
        [asked] = await ask(play)
        await play.platform.approvals.reject(OWNER, asked["resource_id"], RejectTool(reason="dear"), by=ANN)
        async with watching(play, after=0) as frames:
            await beginning(frames)
            opened, closed = await told(frames), await told(frames)
        assert (opened.data["status"], opened.data["note"], opened.data["resolved_by"]) == ("pending", "", None)
        assert opened.data["meta"] == asked["meta"]
        assert (closed.data["status"], closed.data["resolved_by"]) == ("resolved", "ann")


async def test_watchers_of_what_is_theirs_are_told_nothing_else() -> None:
    steps = [call("pay", {"q": "1"}), call("ship", {"q": "2"})]
    async with playing(*steps, tools=[FINANCE, SHIP]) as play, watching(play, by=OPS, is_mine=True) as frames:
        await beginning(frames)
        _, ship = await ask(play, 2)
        assert (await told(frames)).data["id"] == ship["id"]


async def test_every_one_of_many_watchers_is_told() -> None:
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        heard: list[str] = []

        async def listen(ready: anyio.Event) -> None:
            async with watching(play) as frames:
                await beginning(frames)
                ready.set()
                heard.append((await told(frames)).data["id"])

        async with anyio.create_task_group() as group:
            for ready in [anyio.Event() for _ in range(50)]:
                group.start_soon(listen, ready)
                await ready.wait()
            [asked] = await ask(play)
        assert heard == [asked["id"]] * 50


async def test_the_questions_of_a_deleted_chat_are_told_as_cancelled_and_nothing_of_them_stays() -> None:
    async with playing(call("pay", {"q": "sesame"}), tools=[PAY]) as play:
        [asked] = await ask(play)
        async with watching(play) as frames:
            await beginning(frames)
            await play.platform.chats.delete(OWNER, asked["chat_id"])
            gone = await told(frames)
        assert (gone.data["id"], gone.data["status"], gone.data["meta"]) == (asked["id"], "cancelled", {})
        log = await _store(play).read(lambda tx: tx.events(notices.log_of(OWNER)))
        assert len(log) == 2 and "sesame" not in repr(log)
        assert ids(await page(play, Wanted(status="all"))) == []


async def test_a_stopped_run_withdraws_its_questions_where_people_see_it() -> None:
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        [asked] = await ask(play)
        async with watching(play) as frames:
            await beginning(frames)
            await play.platform.chats.stop(OWNER, asked["chat_id"])
            assert (await told(frames)).data["status"] == InterruptStatus.CANCELLED


async def test_a_cursor_that_is_too_old_gets_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "KEPT_EVENTS", 2)
    monkeypatch.setattr(notices, "PRUNED_EVERY", 2)
    async with playing(*[call("pay", {"q": str(n)}) for n in range(4)], tools=[PAY]) as play:
        asked = await ask(play, 4)
        store = _store(play)
        assert await store.read(lambda tx: tx.event_range(notices.log_of(OWNER))) == (3, 4)
        for cursor in (1, 99):  # forgotten, and of another database
            async with watching(play, after=cursor) as frames:
                found = await beginning(frames)
                assert [each.data["id"] for each in found] == [each["id"] for each in asked]
                assert [each.id for each in found] == [None, None, None, 4]
        async with watching(play, after=2) as frames:
            assert await beginning(frames) == []
            assert (await told(frames)).data["id"] == asked[2]["id"]


async def test_what_another_process_asks_is_seen_without_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LOOK_SECONDS", 0.05)
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        monkeypatch.setattr(play.platform._bus, "grew", lambda id, seq: None)  # what is told reaches nobody here
        async with watching(play) as frames:
            await beginning(frames)
            await play.say()
            assert (await told(frames)).data["status"] == "pending"


async def test_a_quiet_stream_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "HEARTBEAT_SECONDS", 0.05)
    async with playing() as play, watching(play) as frames:
        assert await beginning(frames) == []
        assert (await anext(frames)).name is None


# -- over HTTP -----------------------------------------------------------------------------------------------------


async def test_the_list_and_one_question_over_http() -> None:
    async with in_process(call("pay", {"q": "1"})) as desk:
        reply = await desk.post("/agents/run", message(agent_config=PAYING))
        await desk.until(reply["assistant_message"]["chat_id"], "awaiting_input")
        found = await desk.get("/interrupts?tool=pay&mine=true&limit=10")
        [asked] = found["items"]
        assert (asked["status"], asked["context"]) == ("pending", None)
        assert (await desk.get(f"/interrupts/{asked['id']}"))["context"]["tool_type"] == "client"
        assert (await desk.get(f"/interrupts/{asked['short_id']}"))["id"] == asked["id"]
        assert (await desk.get("/interrupts?status=resolved"))["items"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=open", "status is pending, resolved, expired, cancelled, all, not 'open'"),
        ("reason=x", "reason is wait, tool_approval"),
        ("mine=perhaps", "mine is true or false, not 'perhaps'"),
        ("limit=0", "limit must be at least 1"),
        ("cursor=x", "cursor: not the `next_cursor`"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(query: str, said: str) -> None:
    async with in_process() as desk:
        response = await desk.client.get(f"/interrupts?{query}", headers=BARE)
        assert response.status_code == 400 and said in response.text


async def test_unknown_questions_and_chats_are_not_found() -> None:
    async with in_process() as desk:
        for path in ("/interrupts/none", "/interrupts?chat_id=none"):
            assert (await desk.client.get(path, headers=BARE)).status_code == 404


async def test_reading_takes_the_scope_of_conversations() -> None:
    async with in_process(keys=[KEY]) as desk:
        keyed = {"Authorization": f"Bearer {KEY}"}
        for scope, status in (("conversations:read", 200), ("approvals:write", 403)):
            made = await desk.post("/apikeys", {"name": scope, "scopes": [scope]}, **keyed)
            headers = {"Authorization": f"Bearer {made['key']}", **BARE}
            assert (await desk.client.get("/interrupts", headers=headers)).status_code == status
        assert (await desk.client.get("/interrupts", headers=BARE)).status_code == 401


def test_the_stream_over_a_socket_begins_with_what_waits_and_goes_on_where_a_reader_left() -> None:
    with served(call("pay", {"q": "1"}), "no") as server:
        with httpx.Client(base_url=server.url, headers=BARE) as client, RawStream.open(
            server.port, "/interrupts/stream", **LINES
        ) as stream:  # fmt: skip
            assert (stream.status, stream.headers["content-type"]) == (200, "application/x-ndjson")
            client.post("/agents/run", json=message(agent_config=PAYING)).raise_for_status()
            opened = stream.items_until("interrupts", status="pending")[-1]
            asked = opened["data"]
            body = {"decision": "deny", "note": "dear"}
            client.post(f"/interrupts/{asked['id']}/resolve", json=body).raise_for_status()
            closed = stream.items_until("interrupts", status="resolved")[-1]
            assert closed["data"]["note"] == "dear"
        with RawStream.open(
            server.port, "/interrupts/stream", **{**LINES, "Last-Event-ID": str(opened["id"])}
        ) as again:
            assert again.items_until("interrupts", status="resolved")[-1] == closed


async def test_an_approval_is_told_with_who_gave_it() -> None:
    async with playing(call("pay", {"q": "1"}), tools=[PAY]) as play:
        [asked] = await ask(play)
        async with watching(play) as frames:
            await beginning(frames)
            await play.platform.approvals.invoke(OWNER, asked["resource_id"], Decide(note="fine"), by=ANN)
            closed = (await told(frames)).data
        assert (closed["decision"], closed["resolved_by"], closed["note"]) == ("approved", "ann", "fine")


def _store(play: Play) -> Store:
    return play.platform._store
