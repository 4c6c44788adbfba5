"""The `widget` tool: shown at once, or waited for until a person answers; refused where nobody could."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.executors.internal import widget
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import RejectTool, ResolveInterrupt, SubmitToolResult
from tests.runtime.playing import ADA, OWNER, Play, client_tool, invocations, playing, texts

CONFIRM = {"label": "Yes", "action": {"type": "confirm", "payload": {"all": True}}}
CANCEL = {"label": "No", "action": {"type": "cancel"}}
FORM: dict[str, Any] = {
    "type": "ui",
    "title": "Your trip",
    "children": [
        {
            "type": "form",
            "onSubmitAction": {"type": "book"},
            "children": [
                {"type": "row", "children": [{"type": "input", "name": "city", "label": "City", "required": True}]},
                {
                    "type": "select",
                    "name": "class",
                    "options": [{"label": "First", "value": "1"}, {"label": "Second", "value": "2"}],
                },
                {"type": "button", "label": "Book", "submit": True},
            ],
        }
    ],
    "actions": [CANCEL],
    "interactive": True,
}


async def shown(arguments: dict[str, Any]) -> dict[str, Any]:
    """The invocation of a widget that nobody waits for."""
    async with playing(call("widget", arguments), "ok") as play:
        await play.say()
        (made,) = invocations(await play.idle())
        return made


async def submit(play: Play, invocation_id: str, **body: Any) -> dict[str, Any]:
    return await play.platform.chats.submit_result(OWNER, invocation_id, SubmitToolResult.parse(body))


# -- shown at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"type": "ui", "children": [{"type": "text", "value": "Hello"}]}, id="tree"),
        pytest.param({"type": "html", "html": "<b>Hello</b>"}, id="page"),
        pytest.param({"type": "ui", "actions": [CONFIRM], "interactive": False}, id="buttons-for-show"),
    ],
)
async def test_what_is_only_to_be_looked_at_completes_at_once_and_keeps_its_widget(arguments: dict[str, Any]) -> None:
    made = await shown(arguments)
    assert (made["type"], made["status"], made["result"]) == ("internal", "completed", widget.SHOWN)
    assert made["widget"]["type"] == arguments["type"] and made["widget"]["interactive"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'type' is a required property"),
        ({"type": "card"}, "type: 'card' is not one of"),
        ({"type": "html"}, "html: a widget of type 'html' is a page"),
        ({"type": "ui"}, "children: there is nothing to show"),
        ({"type": "ui", "children": [{"type": "slider"}]}, "children[0].type: 'slider' is not one of"),
        (
            {"type": "ui", "children": [{"type": "box", "children": [{"type": "slider"}]}]},
            "children[0].children[0].type: 'slider' is none of",
        ),
        ({"type": "ui", "children": [{"type": "input"}]}, "children[0].name: a field needs a name"),
        (
            {"type": "ui", "children": [{"type": "input", "name": "a"}, {"type": "textarea", "name": "a"}]},
            "children[1].name: two fields are called 'a'",
        ),
        ({"type": "ui", "children": [{"type": "select", "name": "a"}]}, "children[0].options: there is nothing"),
        ({"type": "ui", "children": [{"type": "button", "label": "Go"}]}, "children[0].action: a button without"),
        (
            {"type": "ui", "children": [{"type": "text", "value": "?"}], "interactive": True},
            "actions: nobody could answer it",
        ),
        (
            {"type": "ui", "children": [{"type": "box", "children": [{"type": "text", "gap": "wide"}]}]},
            "children.0.children.0.gap",
        ),
        ({"type": "html", "html": "x" * 70_000}, "64,000 at most"),
        ({"type": "ui", "children": [{"type": "text", "value": "x"}] * 600}, "more than 500 nodes"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[:60],
)
async def test_what_could_not_be_shown_is_told_to_the_model_with_paths(arguments: dict[str, Any], said: str) -> None:
    made = await shown(arguments)
    assert made["status"] == "failed" and made["widget"] is None
    assert said in made["result"].replace("children.0.type", "children[0].type")


async def test_a_tree_that_is_too_deep_is_refused() -> None:
    node: dict[str, Any] = {"type": "text", "value": "down here"}
    for _ in range(40):
        node = {"type": "box", "children": [node]}
    assert "in one another" in (await shown({"type": "ui", "children": [node]}))["result"]


# -- waited for ------------------------------------------------------------------------------------------------------


async def test_an_interactive_widget_parks_the_run_and_the_answer_goes_to_the_model() -> None:
    async with playing(call("widget", FORM), "booked") as play:
        await play.say()
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        assert chat["active_run"]["state"] == "input_required"
        assert chat["active_run"]["interrupt_reason"] == "widget"
        (waiting,) = invocations(chat)
        (asked,) = chat["pending_interrupts"]
        assert (waiting["status"], waiting["widget"]["title"]) == ("awaiting_input", "Your trip")
        assert (asked["reason"], asked["resource_id"]) == ("widget", waiting["id"])
        assert asked["meta"]["widget"]["children"] == FORM["children"]
        await submit(play, waiting["id"], action={"type": "book"}, form_data={"city": "Rome", "class": "2"})
        chat = await play.idle()
        assert texts(chat) == ["", "booked"]
        assert chat["pending_interrupts"] == []
        (done,) = invocations(chat)
        answer = {"action": {"type": "book"}, "form_data": {"city": "Rome", "class": "2"}}
        assert (done["status"], done["data"]) == ("completed", answer)
        assert json.loads(play.model.requests[1].messages[-1].text) == answer
        interrupt = (await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"]))[0]
        assert (interrupt["status"], interrupt["resolution"]) == ("resolved", "allow")


@pytest.mark.parametrize(
    "body",
    [
        {"action": {"type": "cancel"}},
        {"action": {"type": "cancel"}, "form_data": {}},
        {"result": '{"action": {"type": "cancel"}}'},
        {"result": '{"action": "cancel", "form_data": null}'},
    ],
    ids=lambda body: json.dumps(body)[:50],
)
async def test_an_answer_may_come_wrapped_or_not_and_only_the_form_needs_its_fields(body: dict[str, Any]) -> None:
    async with playing(call("widget", FORM), "ok") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await submit(play, waiting["id"], **body)
        (done,) = invocations(await play.idle())
        assert done["data"]["action"]["type"] == "cancel"


async def test_the_same_answer_again_is_fine_and_another_one_is_a_conflict() -> None:
    async with playing(call("widget", FORM), "ok") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await submit(play, waiting["id"], action={"type": "cancel"})
        await submit(play, waiting["id"], result='{ "action": {"type": "cancel"} }')
        with pytest.raises(Fault) as refused:
            await submit(play, waiting["id"], action={"type": "book"}, form_data={"city": "Rome"})
        assert refused.value.code == "already_submitted"


@pytest.mark.parametrize(
    ("action", "form", "path"),
    [
        ({"type": "burn"}, None, "action.type"),
        ({}, None, "action.type"),
        ({"type": "book"}, None, "form_data.city"),
        ({"type": "book"}, {"city": ""}, "form_data.city"),
        ({"type": "book"}, {"city": "Rome", "class": "3"}, "form_data.class"),
    ],
    ids=["no-action-of-it", "no-type", "no-form", "empty-field", "no-such-choice"],
)
async def test_an_answer_that_does_not_fit_is_refused_with_paths_and_the_widget_goes_on_waiting(
    action: dict[str, Any], form: dict[str, Any] | None, path: str
) -> None:
    given = {"action": action} | ({"form_data": form} if form is not None else {})
    buttons = {"type": "button", "label": "Book", "action": {"type": "book"}, "submit": True}
    children = [{**FORM["children"][0], "children": [*FORM["children"][0]["children"][:2], buttons]}]
    async with playing(call("widget", {**FORM, "children": children}), "ok") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        with pytest.raises(Fault) as refused:
            await submit(play, waiting["id"], **given)
        assert refused.value.code == "validation_error"
        assert [each["path"] for each in refused.value.members["errors"]] == [path]
        assert (await play.waits_for("awaiting_input"))["id"] == waiting["id"]


async def test_it_is_answered_through_its_question_as_well() -> None:
    async with playing(call("widget", FORM), "ok") as play:
        await play.say()
        chat = await play.until(lambda chat: chat["pending_interrupts"])
        asked = chat["pending_interrupts"][0]["id"]
        with pytest.raises(Fault, match="not an approval"):
            await play.platform.approvals.resolve(OWNER, asked, ResolveInterrupt.parse({"decision": "allow"}), by=ADA)
        answer = {"decision": "allow", "data": {"action": {"type": "cancel"}}}
        await play.platform.approvals.resolve(OWNER, asked, ResolveInterrupt.parse(answer), by=ADA)
        (done,) = invocations(await play.idle())
        assert (done["status"], done["data"]["action"]) == ("completed", {"type": "cancel"})


async def test_a_person_may_close_it_without_an_answer() -> None:
    async with playing(call("widget", FORM), "never mind") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.platform.approvals.reject(OWNER, waiting["id"], RejectTool.parse({"reason": "later"}), by=ADA)
        (done,) = invocations(await play.idle())
        assert (done["status"], done["result"]) == ("failed", "the user closed the widget without an answer: later")


async def test_stopping_the_chat_closes_it() -> None:
    async with playing(call("widget", FORM)) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        chat = await play.idle()
        assert (invocations(chat)[0]["status"], chat["pending_interrupts"]) == ("cancelled", [])
        with pytest.raises(Fault) as refused:
            await submit(play, waiting["id"], action={"type": "cancel"})
        assert refused.value.code == "invalid_transition"


async def test_it_waits_through_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(call("widget", FORM), db=db) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        chat_id = play.chat_id
    async with playing("after the restart", db=db) as play:
        play.chat_id = chat_id
        await submit(play, waiting["id"], action={"type": "cancel"})
        assert texts(await play.idle()) == ["", "after the restart"]


async def test_a_sibling_goes_on_meanwhile() -> None:
    async with playing([call("widget", FORM), call("look", {"q": "a"})], "ok", tools=[client_tool()]) as play:
        await play.say()
        chat = await play.until(lambda chat: len(invocations(chat)) == 2)
        first, second = invocations(chat)
        assert [first["status"], second["status"]] == ["awaiting_input"] * 2
        await play.answer(second["id"])
        await play.until(lambda chat: chat["status"] == "awaiting_input")
        await submit(play, first["id"], action={"type": "cancel"})
        assert [each["status"] for each in invocations(await play.idle())] == ["completed", "completed"]


async def test_buttons_are_waited_for_where_the_model_does_not_say() -> None:
    async with playing(call("widget", {"type": "ui", "actions": [CONFIRM]}), "ok") as play:
        await play.say()
        assert (await play.waits_for("awaiting_input"))["widget"]["interactive"] is True


async def test_a_page_may_answer_whatever_it_likes() -> None:
    page = {"type": "html", "html": "<form>...</form>", "interactive": True}
    async with playing(call("widget", page), "ok") as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await submit(play, waiting["id"], action={"type": "scored"}, form_data={"points": 3})
        (done,) = invocations(await play.idle())
        assert done["data"] == {"action": {"type": "scored"}, "form_data": {"points": 3}}


# -- who has it ------------------------------------------------------------------------------------------------------


async def test_it_can_be_switched_off() -> None:
    async with playing(call("widget", FORM), "ok", internal_tools={"widget": False}) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["status"] == "failed" and "there is no tool 'widget'" in made["result"]
        assert "widget" not in [tool.name for tool in play.model.requests[0].tools]


async def test_a_sub_agent_does_not_have_it() -> None:
    child = {"name": "child", "core_app": {"ref": "scripted/child"}}
    scripts = {"model": [call("ask", {"message": "hi"}), "ok"], "child": ["done"]}
    tools = [{"name": "ask", "type": "agent", "agent": {"config": child}}]
    async with playing(scripts=scripts, tools=tools) as play:
        await play.say()
        await play.idle()
        offered = {request.model: [tool.name for tool in request.tools] for request in play.model.requests}
        assert "widget" in offered["model"] and "widget" not in offered["child"]
