"""A turn as old and new SDKs see it: protocol.md 7.2 and appendix A, through the server."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from agentkit.errors import ModelError
from agentkit.testing import call, error, finish, gate
from tests.runtime.serving import AGENT, BARE, WEATHER, RawStream, Served, events, message, served

ROME = {"city": "Rome"}


def _post(server: Served, path: str, body: Any = None, status: int = 200) -> Any:
    response = httpx.post(f"{server.url}{path}", json={} if body is None else body, headers=BARE)
    assert response.status_code == status, response.text
    return response.json()


def _get(server: Served, path: str) -> Any:
    return httpx.get(f"{server.url}{path}", headers=BARE).json()


def _run(server: Served, text: str = "hi", *, tools: list[Any] | None = None, **more: Any) -> str:
    config = {**AGENT, "tools": tools} if tools else AGENT
    body = {**message(text), "agent_config": config, **more}
    return str(_post(server, "/agents/run", body)["assistant_message"]["chat_id"])


def _watch(server: Served, chat_id: str, query: str = "") -> RawStream:
    return RawStream.open(server.port, f"/chats/{chat_id}/stream{query}", Accept="application/x-ndjson")


def _call_in(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The last tool invocation that a stream showed."""
    return dict([call for each in items for call in (each.get("data") or {}).get("tool_invocations") or ()][-1])


@pytest.mark.requirement("serve:busy-inside-post")
def test_the_chat_is_busy_before_the_post_answers() -> None:
    hold = gate()
    with served([hold, "one"]) as server:
        reply = _post(server, "/agents/run", message())
        chat = _get(server, f"/chats/{reply['assistant_message']['chat_id']}")
        hold.open()
    assert (reply["user_message"]["status"], reply["assistant_message"]["status"]) == ("ready", "pending")
    assert reply["assistant_message"]["order"] == reply["user_message"]["order"] + 1
    assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")


@pytest.mark.requirement("serve:no-user-replay")
def test_a_snapshot_of_a_busy_chat_comes_at_once_and_never_replays_the_user() -> None:
    hold = gate()
    with served(["Hel", hold, "lo"]) as server:
        chat_id = _run(server)
        hold.reached.wait_sync()
        with _watch(server, chat_id) as stream:
            begin = time.monotonic()
            items = stream.items_until("chat_messages", role="assistant")
            assert time.monotonic() - begin < 0.45
            hold.open()
            items += stream.items_until("chats", status="idle")
    assert events(items)[:2] == [("chats", "busy"), ("chat_messages", "pending")]
    assert not [each for each in items if each.get("data", {}).get("role") == "user"]


@pytest.mark.requirement("serve:snapshot-grace")
def test_a_stream_opened_before_the_second_post_never_says_idle_first() -> None:
    with served("one", "two") as server:
        chat_id = _run(server)
        with _watch(server, chat_id) as stream:
            stream.items_until("chats", status="idle")
        with _watch(server, chat_id) as stream:
            _run(server, "more", chat_id=chat_id)
            items = stream.items_until("chats", status="idle")
    assert events(items)[0] == ("chats", "busy")
    assert items[-2]["data"]["state"] == "completed"


@pytest.mark.requirement("serve:snapshot-grace")
def test_a_turn_that_was_over_before_the_stream_is_replayed_message_first() -> None:
    with served("one") as server:
        chat_id = _run(server)
        with _watch(server, chat_id) as stream:
            stream.items_until("chats", status="idle")
        with _watch(server, chat_id) as stream:
            items = stream.items_until("chats", status="idle")
    assert events(items) == [("chat_messages", "ready"), ("chats", "idle")]


@pytest.mark.requirement("serve:snapshots-cumulative")
@pytest.mark.requirement("serve:order-at-end")
@pytest.mark.requirement("serve:chats-complete")
def test_messages_grow_and_the_idle_chat_comes_last() -> None:
    words = "one two three four five six seven eight nine ten"
    with served(words) as server:
        chat_id = _run(server)
        with _watch(server, chat_id, "?after=0") as stream:
            items = stream.items_until("chats", status="idle")
    texts = [
        "".join(part["text"] for part in each["data"]["content"])
        for each in items
        if each.get("event") == "chat_messages" and each["data"]["role"] == "assistant"
    ]
    assert texts[-1] == words
    assert all(words.startswith(text) for text in texts) and texts == sorted(texts, key=len)
    assert events(items)[-3:] == [("chat_messages", "ready"), ("agent_runs", "completed"), ("chats", "idle")]
    for each in items:
        if each.get("event") == "chats":
            assert set(each["data"]) >= {"status", "active_run", "pending_interrupts", "output"}
            assert each["data"]["active_run"]["state"] in ("working", "completed")


@pytest.mark.requirement("serve:client-tool-busy")
@pytest.mark.requirement("serve:client-tool-status")
def test_a_waiting_client_tool_is_busy_on_the_stream_and_awaiting_for_pollers() -> None:
    with served(call("get_weather", ROME), "It is 18") as server:
        chat_id = _run(server, tools=[WEATHER])
        with _watch(server, chat_id, "?after=0") as stream:
            items = stream.items_until("chat_messages", role="assistant", status="ready")
            waiting = _call_in(items)
            status = _get(server, f"/chats/{chat_id}/status")["status"]
            chat = _get(server, f"/chats/{chat_id}")
            _post(server, f"/tools/{waiting['id']}", {"result": '{"temp": 18}'})
            items += stream.items_until("chats", status="idle")
    assert (waiting["status"], waiting["function"]["arguments"]) == ("awaiting_input", ROME)
    assert (status, chat["status"], chat["active_run"]["state"]) == ("awaiting_input", "busy", "working")
    assert {state for name, state in events(items) if name == "chats"} == {"busy", "idle"}
    orders = {each["data"]["id"]: each["data"]["order"] for each in items if each.get("event") == "chat_messages"}
    assert list(orders.values()) == sorted(orders.values())


@pytest.mark.requirement("serve:tool-bodies")
@pytest.mark.parametrize(
    "body", [{"result": "18"}, {"action": {"type": "confirm", "payload": {}}, "form_data": {"n": "Jo"}}]
)
def test_a_tool_result_is_taken_in_both_forms_and_again_and_not_another(body: dict[str, Any]) -> None:
    with served(call("get_weather", ROME), "done") as server:
        chat_id = _run(server, tools=[WEATHER])
        with _watch(server, chat_id, "?after=0") as stream:
            invocation = _call_in(stream.items_until("chat_messages", role="assistant", status="ready"))
            first = httpx.post(f"{server.url}/tools/{invocation['id']}", json=body)
            again = httpx.post(f"{server.url}/tools/{invocation['id']}", json=body)
            other = httpx.post(f"{server.url}/tools/{invocation['id']}", json={"result": "another"})
            stream.items_until("chats", status="idle")
    assert (first.status_code, first.json()["success"], again.status_code) == (200, True, 200)
    assert other.status_code == 409


@pytest.mark.requirement("serve:human-wait")
@pytest.mark.parametrize("way", ["invoke", "always-allow", "interrupt"])
def test_an_approval_is_awaited_in_the_open_and_given_in_three_ways(way: str) -> None:
    with served(call("get_weather", ROME), "done") as server:
        chat_id = _run(server, tools=[{**WEATHER, "require_approval": True}])
        with _watch(server, chat_id, "?after=0") as stream:
            items = stream.items_until("chats", status="awaiting_input")
            chat = items[-1]["data"]
            [interrupt] = chat["pending_interrupts"]
            paths = {
                "invoke": (f"/tools/{interrupt['resource_id']}/invoke", {}),
                "always-allow": (
                    f"/chats/{chat_id}/tools/{interrupt['resource_id']}/always-allow",
                    {"tool_name": "get_weather"},
                ),
                "interrupt": (f"/interrupts/{interrupt['id']}/resolve", {"decision": "allow"}),
            }
            _post(server, *paths[way])
            stream.items_until("chats", status="busy")
            _post(server, f"/tools/{interrupt['resource_id']}", {"result": "18"})
            stream.items_until("chats", status="idle")
        asked = _get(server, f"/agent-runs/{chat['active_run']['id']}/interrupts")
        after = _get(server, f"/chats/{chat_id}")
    assert (chat["active_run"]["state"], interrupt["reason"], interrupt["status"]) == (
        "input_required",
        "tool_approval",
        "pending",
    )
    assert [each["status"] for each in asked] == ["resolved"]
    assert after["agent_data"]["always_allowed_tools"] == (["get_weather"] if way == "always-allow" else [])


@pytest.mark.requirement("serve:failure")
def test_a_failed_turn_says_why() -> None:
    with served(error(ModelError("the model is out of order"))) as server:
        chat_id = _run(server)
        with _watch(server, chat_id, "?after=0") as stream:
            items = stream.items_until("chats", status="idle")
    assert events(items)[-3:] == [("chat_messages", "failed"), ("agent_runs", "failed"), ("chats", "idle")]
    assert "out of order" in items[-3]["data"]["content"][-1]["error"]
    assert "out of order" in items[-1]["data"]["active_run"]["error"]


@pytest.mark.requirement("serve:stop")
def test_a_stopped_turn_is_cancelled_everywhere_and_stop_again_is_fine() -> None:
    with served(call("get_weather", ROME)) as server:
        chat_id = _run(server, tools=[WEATHER])
        with _watch(server, chat_id, "?after=0") as stream:
            stream.items_until("chat_messages", role="assistant", status="ready")
            stopped = httpx.post(f"{server.url}/chats/{chat_id}/stop")
            items = stream.items_until("chats", status="idle")
        again = httpx.post(f"{server.url}/chats/{chat_id}/stop")
    assert stopped.json() == again.json() == {"success": True, "status": 200, "data": None, "messages": []}
    assert _call_in(items)["status"] == "cancelled"
    assert items[-1]["data"]["active_run"]["state"] == "canceled"


@pytest.mark.requirement("serve:stream-stays")
def test_the_stream_stays_open_and_tells_the_next_turn() -> None:
    with served("one", "two") as server:
        chat_id = _run(server)
        with _watch(server, chat_id, "?after=0") as stream:
            stream.items_until("chats", status="idle")
            _run(server, "more", chat_id=chat_id)
            items = stream.items_until("chats", status="idle")
    assert next(each["data"]["role"] for each in items if each["event"] == "chat_messages") == "user"


@pytest.mark.requirement("serve:status-grace")
@pytest.mark.requirement("serve:idle-not-completed")
def test_the_first_idle_status_is_told_at_once_and_later_ones_wait_for_a_new_run() -> None:
    with served("one", "two") as server:
        chat_id = _run(server)
        with _watch(server, chat_id, "?after=0") as stream:
            stream.items_until("chats", status="idle")
        begin = time.monotonic()
        assert _get(server, f"/chats/{chat_id}/status")["status"] == "idle"
        first = time.monotonic() - begin
        assert _get(server, f"/chats/{chat_id}/status")["status"] == "idle"
        second = time.monotonic() - begin - first
    assert first < 0.4 <= second


@pytest.mark.requirement("serve:finish")
def test_the_result_is_the_chats_output_until_the_next_run_begins() -> None:
    hold = gate()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with served(finish({"n": 7}), [hold, finish({"n": 8})]) as server:
        config: dict[str, Any] = {"agent_config": {**AGENT, "output_schema": schema}}
        chat_id = _run(server, **config)
        with _watch(server, chat_id, "?after=0") as stream:
            items = stream.items_until("chats", status="idle")
            assert items[-1]["data"]["output"] == {"n": 7}
            _run(server, "again", chat_id=chat_id, **config)
            assert stream.items_until("chats", status="busy")[-1]["data"]["output"] is None
            hold.open()
            assert stream.items_until("chats", status="idle")[-1]["data"]["output"] == {"n": 8}
