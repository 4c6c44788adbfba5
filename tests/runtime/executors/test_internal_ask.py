"""`ask_user`: a question with choices or a form, answered through its widget or through its question, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.executors.internal import ask
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import RejectTool, ResolveInterrupt, SubmitToolResult
from tests.runtime.executors.asking import agent_tool, child
from tests.runtime.executors.asking import ask as asking
from tests.runtime.playing import ADA, ANN, OWNER, Play, invocations, playing, texts

ON = {"ask_user": True}
COLOURS = {"question": "Which colour?", "choices": ["red", "green", "blue"]}
TRIP: dict[str, Any] = {
    "question": "Where do you want to go?",
    "schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "title": "City", "description": "Where the hotel is"},
            "nights": {"type": "integer", "minimum": 1, "default": 2},
            "budget": {"type": "number"},
            "class": {"enum": ["first", "second"]},
            "from": {"type": "string", "format": "date"},
            "breakfast": {"type": "boolean"},
            "extras": {"type": "array", "items": {"enum": ["sauna", "parking"]}},
            "notes": {"type": "string", "format": "multi-line"},
            "guests": {"type": "array", "items": {"type": "string"}},
            "seat": {"type": "object", "properties": {"row": {"type": "integer"}}},
        },
        "required": ["city", "nights"],
    },
}
FORM = {
    "city": "Rome", "nights": "3", "budget": "99.5", "class": "second", "from": "2026-05-01", "breakfast": True,
    "extras[0]": True, "extras[1]": False, "notes": "", "guests": "Ada\nAnn\n", "seat": '{"row": 4}',
}  # fmt: skip
VALUE = {
    "city": "Rome", "nights": 3, "budget": 99.5, "class": "second", "from": "2026-05-01", "breakfast": True,
    "extras": ["sauna"], "guests": ["Ada", "Ann"], "seat": {"row": 4},
}  # fmt: skip


async def asked(play: Play) -> dict[str, Any]:
    """The question, once it is asked."""
    chat = await play.until(lambda chat: chat["pending_interrupts"])
    return chat["pending_interrupts"][0]


async def resolve(play: Play, id: str, by: Any = ADA, **body: Any) -> dict[str, Any]:
    return await play.platform.approvals.resolve(OWNER, id, ResolveInterrupt.parse(body), by=by)


async def submit(play: Play, id: str, **body: Any) -> dict[str, Any]:
    return await play.platform.chats.submit_result(OWNER, id, SubmitToolResult.parse(body))


async def interrupt(play: Play, chat: dict[str, Any]) -> dict[str, Any]:
    """The only question of the chat's run, as it is now."""
    (found,) = await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])
    return found


def drawn(widget: dict[str, Any]) -> dict[str, str]:
    """The kind of each field of the form, by its name."""
    (form,) = (each for each in widget["children"] if each["type"] == "form")
    return {each["name"]: each["type"] for each in form["children"] if "name" in each}


# -- asked -----------------------------------------------------------------------------------------------------------


async def test_a_question_parks_the_run_and_tells_what_is_asked_and_what_an_answer_has_to_fit() -> None:
    async with playing(call("ask_user", COLOURS), "blue it is", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        assert (question["reason"], question["tool_name" if "tool_name" in question else "reason"]) != ("", "")
        assert question["meta"]["question"] == "Which colour?"
        assert question["meta"]["choices"] == ["red", "green", "blue"]
        assert question["answer_schema"] == {"type": "string", "enum": ["red", "green", "blue"]}
        (waiting,) = invocations(await play.chat())
        assert (waiting["status"], waiting["id"]) == ("awaiting_input", question["resource_id"])
        assert waiting["widget"]["children"][0]["value"] == "Which colour?"
        assert drawn(waiting["widget"]) == {"answer": "radio-group"}
        resolved = await resolve(play, question["id"], decision="allow", data="blue")
        assert (resolved["status"], resolved["resolution"], resolved["resolved_by"]) == ("resolved", "allow", "ada")
        assert resolved["resolved_data"] == "blue"
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "completed"
        assert (invocations(chat)[0]["result"], invocations(chat)[0]["data"]) == ("blue", "blue")
        assert play.model.requests[1].messages[-1].text == "blue"
        assert texts(chat)[-1] == "blue it is"


async def test_a_form_has_a_field_for_every_property() -> None:
    async with playing(call("ask_user", TRIP), "ok", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        widget = question["meta"]["widget"]
        assert drawn(widget) == {
            "city": "input", "nights": "input", "budget": "input", "class": "radio-group", "from": "date-picker",
            "breakfast": "checkbox", "extras[0]": "checkbox", "extras[1]": "checkbox", "notes": "textarea",
            "guests": "textarea", "seat": "textarea",
        }  # fmt: skip
        nodes = {each.get("name"): each for each in widget["children"][1]["children"]}
        assert nodes["city"]["required"] and nodes["city"]["label"] == "City"
        assert nodes["nights"]["defaultValue"] == "2" and not nodes["budget"]["required"]
        await submit(play, question["resource_id"], action={"type": "answer"}, form_data=FORM)
        (done,) = invocations(await play.idle())
        assert done["data"] == VALUE and json.loads(done["result"]) == VALUE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'question' is a required property"),
        ({"question": "  "}, "question: it is empty"),
        ({**COLOURS, "schema": TRIP["schema"]}, "not both"),
        ({"question": "?", "multiple": True}, "multiple: there are no `choices`"),
        ({"question": "?", "choices": ["a", "a"]}, "non-unique"),
        ({"question": "?", "schema": {"type": "string"}}, "schema: it is of type 'object'"),
        ({"question": "?", "schema": {"type": "object", "properties": {"a": {"type": "no"}}}}, "not a JSON Schema"),
        (
            {"question": "?", "schema": {"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}},
            "schema",
        ),
        (
            {"question": "?", "schema": {"type": "object", "properties": {f"f{n}": {} for n in range(1000)}}},
            "its form is too large",
        ),
        ({"question": "?", "schema": {"type": "object", "properties": {"a": {"title": "x" * 30_000}}}}, "at most"),
    ],
    ids=["nothing", "blank", "both", "multiple", "twice", "no-object", "no-schema", "remote", "many", "long"],
)
async def test_what_nobody_could_answer_goes_back_to_the_model(arguments: dict[str, Any], said: str) -> None:
    async with playing(call("ask_user", arguments), "ok", internal_tools=ON) as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["status"] == "failed" and said in made["result"]


# -- answered --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "body", "result"),
    [
        ({"question": "Name?"}, {"result": "Ada"}, "Ada"),
        ({"question": "Name?"}, {"result": '{"a": 1}'}, '{"a": 1}'),
        ({"question": "Name?"}, {"action": {"type": "answer"}, "form_data": {"answer": "Ada"}}, "Ada"),
        (COLOURS, {"result": "green"}, "green"),
        (COLOURS, {"result": '"green"'}, "green"),
        (COLOURS, {"result": '{"action": {"type": "answer"}, "form_data": {"answer": "red"}}'}, "red"),
        ({**COLOURS, "multiple": True}, {"result": '["red", "blue"]'}, '["red","blue"]'),
        (
            {**COLOURS, "multiple": True},
            {"action": {"type": "answer"}, "form_data": {"answer[0]": True, "answer[2]": "on"}},
            '["red","blue"]',
        ),
        (TRIP, {"result": '{"city": "Rome", "nights": 1}'}, '{"city":"Rome","nights":1}'),
    ],
    ids=["text", "text-like-json", "text-form", "choice", "choice-json", "choice-form", "list", "boxes", "object"],
)
async def test_an_answer_may_be_a_value_its_json_or_the_forms_action(
    arguments: dict[str, Any], body: dict[str, Any], result: str
) -> None:
    async with playing(call("ask_user", arguments), "ok", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        await submit(play, question["resource_id"], **body)
        chat = await play.idle()
        assert (invocations(chat)[0]["status"], invocations(chat)[0]["result"]) == ("completed", result)
        told = await interrupt(play, chat)
        assert (told["status"], told["resolution"], told["decision"]) == ("resolved", "allow", "responded")
        await submit(play, question["resource_id"], **body)  # the same again is fine


@pytest.mark.parametrize(
    ("arguments", "data", "paths"),
    [
        ({"question": "Name?"}, "", [""]),
        ({"question": "Name?"}, None, [""]),
        (COLOURS, "pink", [""]),
        (COLOURS, {"action": {"type": "answer"}, "form_data": {"answer": "pink"}}, ["form_data.answer"]),
        (COLOURS, {"action": {"type": "answer"}, "form_data": {}}, ["form_data.answer"]),
        (TRIP, {"city": "Rome", "nights": 0}, ["nights"]),
        (
            TRIP,
            {"action": {"type": "answer"}, "form_data": {"nights": "few", "wings": "2"}},
            ["form_data.city", "form_data.nights", "form_data.wings"],
        ),
    ],
    ids=["empty", "nothing", "no-choice", "no-choice-form", "empty-form", "too-few", "form"],
)
async def test_a_misfit_is_refused_with_paths_and_nothing_is_lost(
    arguments: dict[str, Any], data: Any, paths: list[str]
) -> None:
    async with playing(call("ask_user", arguments), "ok", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        with pytest.raises(Fault) as refused:
            await resolve(play, question["id"], decision="allow", data=data)
        assert refused.value.code == "validation_error"
        assert sorted(each["path"] for each in refused.value.members["errors"]) == paths
        assert (await asked(play))["status"] == "pending"


async def test_the_first_answer_wins_whichever_way_it_came() -> None:
    async with playing(call("ask_user", COLOURS), "ok", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        outcomes: list[str] = []

        async def through_the_question(colour: str) -> None:
            try:
                await resolve(play, question["id"], by=ANN, decision="allow", data=colour)
                outcomes.append(colour)
            except Fault as fault:
                assert fault.code == "already_resolved" and fault.members["winner"]["id"] == question["id"]

        async def through_the_call(colour: str) -> None:
            try:
                await submit(play, question["resource_id"], result=colour)
                outcomes.append(colour)
            except Fault as fault:
                assert fault.code == "already_submitted"

        async with anyio.create_task_group() as group:
            group.start_soon(through_the_question, "red")
            group.start_soon(through_the_call, "green")
            group.start_soon(through_the_question, "blue")
        (done,) = invocations(await play.idle())
        assert outcomes == [done["result"]]


@pytest.mark.parametrize(
    "form", [{"action": {"type": "decline"}}, {"action": "decline", "form_data": None}], ids=["object", "text"]
)
async def test_a_person_may_decline_in_the_form(form: dict[str, Any]) -> None:
    async with playing(call("ask_user", COLOURS), "fine", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        await submit(play, question["resource_id"], result=json.dumps(form))
        chat = await play.idle()
        assert (invocations(chat)[0]["status"], invocations(chat)[0]["result"]) == ("failed", ask.DECLINED)
        told = await interrupt(play, chat)
        assert (told["status"], told["resolution"], told["decision"]) == ("resolved", "deny", "rejected")


async def test_a_person_may_decline_with_a_reason_that_the_model_reads() -> None:
    async with playing(call("ask_user", COLOURS), "fine", internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        body = RejectTool.parse({"reason": "no colours on Mondays"})
        await play.platform.approvals.reject(OWNER, question["resource_id"], body, by=ADA)
        (done,) = invocations(await play.idle())
        assert done["result"] == "the user declined to answer: no colours on Mondays"
        assert play.model.requests[1].messages[-1].text == done["result"]


async def test_nobody_answers_in_time() -> None:
    async with playing(
        call("ask_user", COLOURS), "then red", internal_tools=ON, approval={"timeout": 0.05}
    ) as play:  # fmt: skip
        await play.say()
        chat = await play.idle()
        assert (invocations(chat)[0]["status"], invocations(chat)[0]["result"]) == (
            "failed", "nobody answered in time",
        )  # fmt: skip
        told = await interrupt(play, chat)
        assert (told["status"], told["resolution"]) == ("expired", "deny")
        assert texts(chat)[-1] == "then red"


async def test_a_question_waits_through_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(call("ask_user", COLOURS), db=db, internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        chat_id = play.chat_id
    async with playing("after the restart", db=db) as play:
        play.chat_id = chat_id
        await resolve(play, question["id"], decision="allow", data="red")
        assert texts(await play.idle())[-1] == "after the restart"


async def test_stopping_the_chat_withdraws_it() -> None:
    async with playing(call("ask_user", COLOURS), internal_tools=ON) as play:
        await play.say()
        question = await asked(play)
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        chat = await play.idle()
        assert (invocations(chat)[0]["status"], chat["pending_interrupts"]) == ("cancelled", [])
        with pytest.raises(Fault) as refused:
            await resolve(play, question["id"], decision="allow", data="red")
        assert refused.value.code == "already_resolved"


# -- who has it ------------------------------------------------------------------------------------------------------


async def test_only_an_agent_that_is_given_it_has_it() -> None:
    async with playing(call("ask_user", COLOURS), "ok") as play:
        await play.say()
        (made,) = invocations(await play.idle())
        assert made["status"] == "failed" and "there is no tool 'ask_user'" in made["result"]


async def test_a_sub_agents_question_surfaces_on_the_parent_and_is_answered_there() -> None:
    scripts = {"model": [asking("paint"), "painted"], "child": [call("ask_user", COLOURS), "in blue"]}
    tools = [agent_tool(child(internal_tools=ON))]
    async with playing(scripts=scripts, tools=tools) as play:
        await play.say()
        question = await asked(play)
        assert question["meta"]["question"] == "Which colour?" and question["chat_id"] != play.chat_id
        await resolve(play, question["id"], decision="allow", data="blue")
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "completed" and texts(chat)[-1] == "painted"
        answers = [each.messages[-1].text for each in play.model.requests if each.model == "child"]
        assert answers[-1] == "blue"
