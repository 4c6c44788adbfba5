"""What protocol.md 7.2 and appendix A ask of a server, where no other test of the server proves it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from agentkit import inference
from agentkit.runtime import hub
from agentkit.testing import call, gate
from tests.conformance.crooked import Reply, crooked
from tests.runtime.serving import AGENT, BARE, WEATHER, RawStream, Served, message, served

PAY = {**WEATHER, "name": "pay", "require_approval": True}


def post(server: Served, path: str, body: Any = None) -> Any:
    """The bare answer of a POST that must go well."""
    response = httpx.post(f"{server.url}{path}", json={} if body is None else body, headers=BARE)
    assert response.status_code == 200, response.text
    return response.json()


def run(server: Served, tool: dict[str, Any]) -> str:
    """Starts a run with this tool; its chat."""
    body = {**message(), "agent_config": {**AGENT, "tools": [tool]}}
    return str(post(server, "/agents/run", body)["assistant_message"]["chat_id"])


def invocations(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool invocations that a stream's item shows."""
    return list((item.get("data") or {}).get("tool_invocations") or ())


def open_call(stream: RawStream, status: str) -> str:
    """Reads the stream until a call has this status; the call's id."""
    while True:
        for item in stream.items_until("chat_messages", role="assistant"):
            for each in invocations(item):
                if each["status"] == status:
                    return str(each["id"])


@pytest.mark.requirement("serve:next-message")
def test_between_a_tools_result_and_the_next_words_the_chat_stays_busy_and_they_are_a_message_of_their_own() -> None:
    hold = gate()
    with served(call("get_weather", {"city": "Rome"}), [hold, "Warm."]) as server:
        chat_id = run(server, WEATHER)
        with RawStream.open(server.port, f"/chats/{chat_id}/stream", Accept="application/x-ndjson") as stream:
            post(server, f"/tools/{open_call(stream, 'awaiting_input')}", {"result": "18"})
            hold.reached.wait_sync()
            between = httpx.get(f"{server.url}/chats/{chat_id}", headers=BARE).json()
            hold.open()
            items = stream.items_until("chats", status="idle")
    assert (between["status"], between["active_run"]["state"]) == ("busy", "working")
    assert [each["data"]["status"] for each in items if each.get("event") == "chats"] == ["idle"]
    answers = {each["data"]["id"]: each["data"]["order"] for each in items if each.get("event") == "chat_messages"
               and each["data"]["role"] == "assistant"}  # fmt: skip
    assert len(answers) == 2 and list(answers.values()) == sorted(answers.values())


@pytest.mark.requirement("serve:always-allow")
def test_always_allow_approves_this_call_and_asks_no_more_for_the_tool_in_this_chat() -> None:
    steps = [call("pay", {"city": "Rome"}), call("pay", {"city": "Oslo"}), "Paid twice."]
    with served(*steps) as server:
        chat_id = run(server, PAY)
        with RawStream.open(server.port, f"/chats/{chat_id}/stream", Accept="application/x-ndjson") as stream:
            first = open_call(stream, "awaiting_approval")
            post(server, f"/chats/{chat_id}/tools/{first}/always-allow", {"tool_name": "pay"})
            post(server, f"/tools/{first}", {"result": "paid"})
            second = first
            while second == first:
                second = open_call(stream, "awaiting_input")
            post(server, f"/tools/{second}", {"result": "paid"})
            (idle,) = stream.items_until("chats", status="idle")[-1:]
        chat = httpx.get(f"{server.url}/chats/{chat_id}", headers=BARE).json()
    assert idle["data"]["active_run"]["state"] == "completed"
    assert chat["agent_data"]["always_allowed_tools"] == ["pay"]
    assert chat["pending_interrupts"] == []


@pytest.mark.requirement("stream:heartbeat")
def test_a_quiet_stream_beats_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.HEARTBEAT_SECONDS <= 10
    monkeypatch.setattr(hub, "HEARTBEAT_SECONDS", 0.1)
    hold = gate()
    with served([hold, "one"]) as server:
        body = message()
        chat_id = post(server, "/agents/run", body)["assistant_message"]["chat_id"]
        with RawStream.open(server.port, f"/chats/{chat_id}/stream", Accept="application/x-ndjson") as stream:
            begin, beats = time.monotonic(), 0
            while beats < 4:
                beats += stream.chunk() == b'{"type":"heartbeat"}\n'
            assert time.monotonic() - begin >= 0.25  # the first at once, the others in their time
        hold.open()


CHAT = {"id": "c1", "status": "idle", "output": None, "chat_messages": [], "pending_interrupts": []}


@pytest.mark.requirement("dialect:client-unwraps")
@pytest.mark.parametrize(
    "body",
    [CHAT, {"success": True, "status": 200, "data": CHAT}, {"data": CHAT, "messages": []}],
    ids=["bare", "wrapped", "envelope"],
)
def test_our_client_asks_for_bare_answers_and_understands_all_three_dialects(body: Any) -> None:
    with (
        crooked({"GET /chats/c1": Reply(body)}) as platform,
        inference(api_key="inf_any", base_url=platform.url) as client,
    ):
        chat = client.agents.resume("c1").get_chat()
        (asked,) = platform.asked("GET /chats/c1")
    assert (chat["id"], chat["status"]) == ("c1", "idle")
    assert asked.headers["x-api-version"] == "2"
