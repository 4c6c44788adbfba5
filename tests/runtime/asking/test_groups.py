"""Who may answer, over HTTP: by the groups of their key, whatever name they give."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from agentkit.testing import call
from tests.runtime.playing import client_tool
from tests.runtime.serving import BARE, KEY, Desk, in_process, message

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

PAY = {**client_tool("pay", approval=True), "approval": {"approvers": ["finance"]}}


def bearing(key: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {**BARE, "Authorization": f"Bearer {key}"}


async def key_of(desk: Desk, name: str, *groups: str, **more: Any) -> str:
    """A new key whose holder belongs to these groups."""
    body = {"name": name, "groups": list(groups), **more}
    made = await desk.client.post("/apikeys", json=body, headers=bearing(KEY))
    assert made.status_code == 200, made.text
    assert made.json()["groups"] == list(groups)
    return str(made.json()["key"])


@asynccontextmanager
async def asking(*steps: Any, tool: dict[str, Any] = PAY) -> AsyncGenerator[tuple[Desk, dict[str, Any]]]:
    """A server with a question, and the question."""
    async with in_process(call("pay", {"q": "ten"}), *steps, keys=[KEY]) as desk:
        body = message()
        body["agent_config"] = {**body["agent_config"], "tools": [tool]}
        begun = await desk.client.post("/agents/run", json=body, headers=bearing(KEY))
        chat = await desk.until(begun.json()["assistant_message"]["chat_id"], "awaiting_input")
        [asked] = chat["pending_interrupts"]
        yield desk, asked


async def answer(desk: Desk, path: str, key: str, body: dict[str, Any]) -> httpx.Response:
    return await desk.client.post(path, json=body, headers=bearing(key))


def code(response: httpx.Response) -> str:
    """The platform's error code, which is the end of the problem's type."""
    return str(response.json()["type"].rpartition("/")[2])


def ways(asked: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every endpoint that answers this question."""
    call_id, chat_id = asked["resource_id"], asked["chat_id"]
    return {
        "invoke": (f"/tools/{call_id}/invoke", {}),
        "reject": (f"/tools/{call_id}/reject", {}),
        "resolve": (f"/interrupts/{asked['id']}/resolve", {"decision": "allow"}),
        "respond": (f"/interrupts/{asked['id']}/resolve", {"decision": "respond", "data": "x"}),
        "always-allow": (f"/chats/{chat_id}/tools/{call_id}/always-allow", {}),
    }


@pytest.mark.parametrize("way", ["invoke", "reject", "resolve", "respond", "always-allow"])
async def test_only_members_of_the_group_may_answer_and_the_settings_key_is_none(way: str) -> None:
    async with asking("done") as (desk, asked):
        path, body = ways(asked)[way]
        for key in (KEY, await key_of(desk, "bob"), await key_of(desk, "eve", "sales")):
            refused = await answer(desk, path, key, {**body, "by": "finance"})
            assert (refused.status_code, code(refused)) == (403, "forbidden")
        chat = await desk.platform.chats.get("local", asked["chat_id"])
        assert [each["id"] for each in chat["pending_interrupts"]] == [asked["id"]]
        taken = await answer(desk, path, await key_of(desk, "ann", "sales", "finance"), {**body, "by": "Ann"})
        assert taken.status_code == 200, taken.text
        told = taken.json()
        assert (told["resolved_by"], told["resolved_as"]) == ("ann", "Ann")


async def test_a_group_alone_is_no_scope() -> None:
    async with asking() as (desk, asked):
        path, body = ways(asked)["resolve"]
        reader = await key_of(desk, "ann", "finance", scopes=["conversations:read"])
        refused = await answer(desk, path, reader, body)
        assert (refused.status_code, code(refused)) == (403, "insufficient_scope")


async def test_without_approvers_every_key_with_the_scope_may_answer() -> None:
    async with asking(tool=client_tool("pay", approval=True)) as (desk, asked):
        path, body = ways(asked)["resolve"]
        told = await answer(desk, path, await key_of(desk, "bob", scopes=["approvals:write"]), body)
        assert (told.status_code, told.json()["resolved_by"]) == (200, "bob")


async def test_a_second_answer_is_409_with_the_winner() -> None:
    async with asking() as (desk, asked):
        path, body = ways(asked)["resolve"]
        key = await key_of(desk, "ann", "finance")
        assert (await answer(desk, path, key, body)).status_code == 200
        late = await answer(desk, path, key, body)
        assert (late.status_code, code(late)) == (409, "already_resolved")
        assert (late.json()["winner"]["resolved_by"], late.json()["winner"]["decision"]) == ("ann", "approved")


@pytest.mark.parametrize("group", [" ", "", "x" * 201])
async def test_a_key_gets_no_group_that_is_none(group: str) -> None:
    async with in_process(keys=[KEY]) as desk:
        body = {"name": "ann", "groups": [group]}
        refused = await desk.client.post("/apikeys", json=body, headers=bearing(KEY))
        assert refused.status_code == 400 and "is no group" in refused.json()["detail"]


async def test_groups_are_listed_with_the_key_and_kept_once() -> None:
    async with in_process(keys=[KEY]) as desk:
        made = await desk.client.post(
            "/apikeys", json={"name": "ann", "groups": [" finance", "finance", "ops"]}, headers=bearing(KEY)
        )
        assert made.json()["groups"] == ["finance", "ops"]
        listed = (await desk.client.post("/apikeys/list", json={}, headers=bearing(KEY))).json()["items"]
        assert {each["name"]: each["groups"] for each in listed} == {"ann": ["finance", "ops"], "configured": []}


async def test_options_and_the_account_of_a_call_over_http() -> None:
    async with asking() as (desk, asked):
        base = f"/chats/{asked['chat_id']}/tools/{asked['resource_id']}"
        key = await key_of(desk, "ann", "finance")
        options = (await desk.client.get(f"{base}/always-allow/options", headers=bearing(key))).json()
        assert [each["option"]["scope"] for each in options] == ["exact", "tool", "tool"]
        told = (await desk.client.post(f"{base}/explain", headers=bearing(key))).json()
        assert "pay runs in the program" in told["explanation"]
        taken = await answer(desk, f"{base}/always-allow", key, {"option": options[0]["option"], "tool_name": "pay"})
        assert (taken.status_code, taken.json()["decision"]) == (200, "approved")
        chat = (await desk.client.get(f"/chats/{asked['chat_id']}", headers=bearing(key))).json()
        assert [each["by"] for each in chat["agent_data"]["allow_rules"]] == ["ann"]


async def test_a_policy_that_is_none_is_400_with_the_message() -> None:
    async with in_process(keys=[KEY]) as desk:
        body = message()
        wrong = {**PAY, "approval": {"when": {"pattern": "(?=a)"}}}
        body["agent_config"] = {**body["agent_config"], "tools": [wrong]}
        refused = await desk.client.post("/agents/run", json=body, headers=bearing(KEY))
        assert refused.status_code in (400, 422) and "look-around" in refused.json()["detail"]


async def test_a_widget_that_is_answered_with_the_calls_result_says_whose_key_it_was() -> None:
    sure = {"type": "ui", "title": "Sure?", "actions": [{"label": "Go", "action": {"type": "go"}}], "interactive": True}
    async with in_process(call("widget", sure), "thanks", keys=[KEY]) as desk:
        begun = await desk.client.post("/agents/run", json=message(), headers=bearing(KEY))
        chat = await desk.until(begun.json()["assistant_message"]["chat_id"], "awaiting_input")
        [asked] = chat["pending_interrupts"]
        ann = await key_of(desk, "ann")
        body = {"action": {"type": "go"}, "form_data": {}}
        given = await answer(desk, f"/tools/{asked['resource_id']}", ann, body)
        assert given.status_code == 200, given.text
        found = await desk.client.get(f"/interrupts/{asked['id']}", headers=bearing(ann))
        assert (found.json()["decision"], found.json()["resolved_by"]) == ("responded", "ann")
