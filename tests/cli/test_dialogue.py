"""What a person types at a question, and what comes of it: approvals, edits, reasons, and forms field by field."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentkit.cli.dialogue import Edit, Prompt, Reply, Say, Step, Word, answer, form
from agentkit.runtime.executors.internal import ask
from agentkit.wire import Interrupt


@pytest.fixture(autouse=True)
def no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


def asking(arguments: dict[str, Any] | None = None, **more: Any) -> Interrupt:
    meta = {"tool_name": "pay", "arguments": {"amount": 90} if arguments is None else arguments, **more.pop("meta", {})}
    return Interrupt.parse({"id": "q", "status": "pending", "reason": "tool_approval", "meta": meta, **more})


def question(arguments: dict[str, Any]) -> Interrupt:
    """What `ask_user` asks."""
    return asking(arguments, reason="widget", answer_schema=ask.answer_schema(arguments), meta=arguments)


def held(dialogue: Generator[Step, Any, Any], *typed: Any) -> tuple[Any, str]:
    """The reply, and what was said: the input ends behind what is typed."""
    left, said, sent = list(typed), "", None
    while True:
        try:
            step = dialogue.send(sent)
        except StopIteration as end:
            assert not left, f"nobody asked for {left}; said:\n{said}"
            return end.value, said
        match step:
            case Prompt(text):
                said += f"{text}\n"
                sent = left.pop(0) if left else None
            case Say(lines):
                said += "".join("".join(text for text, _ in line) + "\n" for line in lines)
                sent = None
            case Edit():
                sent = left.pop(0)


@pytest.mark.parametrize(
    ("typed", "reply"),
    [
        (["a\n"], Reply(Word.APPROVE)),
        (["approve\n"], Reply(Word.APPROVE)),
        (["what?\n", "\n", "a\n"], Reply(Word.APPROVE)),
        (["r\n", " too much \n"], Reply(Word.REJECT, text="too much")),
        (["r\n", "\n"], Reply(Word.REJECT)),
        (["v\n", "done already\n"], Reply(Word.RESPOND, data="done already")),
        (["v\n", "\n", "s\n"], Reply(Word.SKIP)),
        (["q\n"], Reply(Word.QUIT)),
        ([], Reply(Word.QUIT)),
        (["r\n"], Reply(Word.QUIT)),
        (["e\n", "amount=100\n", "\n", "y\n"], Reply(Word.APPROVE, arguments={"amount": 100})),
        (["e\n", "amount=100\n", "\n", "n\n", "a\n"], Reply(Word.APPROVE)),
        (["e\n", "\n", "a\n"], Reply(Word.APPROVE)),
        (["e\n", "nonsense\n", "to.name=Ada\n", "\n", "y\n"],
         Reply(Word.APPROVE, arguments={"amount": 90, "to": {"name": "Ada"}})),
        (["A\n", "\n", "s\n"], Reply(Word.SKIP)),
    ],
    ids=["a", "word", "again", "reject", "no-reason", "respond", "no-response", "quit", "end", "end-at-reason", "edit",
         "edit-not-meant", "edit-nothing", "edit-typo", "always-not"],
)  # fmt: skip
def test_what_was_typed_decides(typed: list[str], reply: Reply) -> None:
    assert held(answer(asking()), *typed)[0] == reply


@pytest.mark.parametrize(("letter", "scope"), [("t", "tool"), ("e", "exact")])
def test_always_asks_how_far(letter: str, scope: str) -> None:
    reply, said = held(answer(asking()), "A\n", f"{letter}\n")
    assert (reply.word, reply.always.scope) == (Word.APPROVE, scope)
    assert "every call of pay in this chat" in said


def test_an_edit_is_shown_beside_what_it_was_before_anything_is_approved() -> None:
    _, said = held(answer(asking()), "e\n", "amount=100\n", "\n", "n\n", "s\n")
    assert "-amount: 90" in said and "+amount: 100" in said and "Approve with these arguments? [y/N]" in said


def test_an_edit_of_an_argument_that_the_tool_does_not_have_is_no_edit() -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"}}}
    known = asking(context={"input_schema": schema})
    reply, said = held(answer(known), "e\n", "ammount=1\n", "\n", "e\n", "to=Ada\n", "\n", "y\n")
    assert "there is no argument 'ammount'; there are amount, to" in said
    assert reply == Reply(Word.APPROVE, arguments={"amount": 90, "to": "Ada"})


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "object"},
        {"properties": {"amount": {}}, "additionalProperties": True},
        {"properties": {"amount": {}}, "patternProperties": {"^x-": {}}},
    ],
    ids=["unknown", "open", "more", "pattern"],
)
def test_a_tool_that_takes_more_than_it_names_gets_it(schema: dict[str, Any] | None) -> None:
    reply, _ = held(answer(asking(context={"input_schema": schema})), "e\n", "x-id=1\n", "\n", "y\n")
    assert reply == Reply(Word.APPROVE, arguments={"amount": 90, "x-id": 1})


def test_an_editor_is_opened_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "ed")
    assert held(answer(asking()), "e\n", {"amount": 1}, "y\n")[0] == Reply(Word.APPROVE, arguments={"amount": 1})
    assert held(answer(asking()), "e\n", None, "s\n")[0] == Reply(Word.SKIP)  # nothing usable was saved


def test_a_call_that_may_have_run_is_neither_edited_nor_allowed_for_ever() -> None:
    unknown = asking(meta={"unknown_outcome": True})
    reply, said = held(answer(unknown), "A\n", "e\n", "a\n")
    assert reply.word is Word.APPROVE and reply.always is None and reply.arguments is None
    assert "run it again" in said and "edit" not in said


# -- forms -----------------------------------------------------------------------------------------------------------


def test_a_choice_is_taken_by_its_number_or_its_name() -> None:
    colours = question({"question": "Which?", "choices": ["red", "green"]})
    assert held(answer(colours), "a\n", "2\n")[0] == Reply(Word.RESPOND, data="green")
    reply, said = held(answer(colours), "a\n", "pink\n", "red\n")
    assert reply.data == "red" and "'pink' is none of red, green" in said
    assert "1) red\n" in said and "2) green\n" in said


def test_several_choices_are_taken_with_commas() -> None:
    colours = question({"question": "Which?", "choices": ["red", "green", "blue"], "multiple": True})
    assert held(form(colours), "1, blue\n")[0].data == ["red", "blue"]


def test_a_choice_that_is_a_number_is_not_a_place() -> None:
    assert held(form(question({"question": "How many?", "choices": ["3", "2", "1"]})), "1\n")[0].data == "1"


def test_a_text_is_required() -> None:
    reply, said = held(form(question({"question": "Name?"})), "\n", "Ada\n")
    assert reply.data == "Ada" and "it is required" in said


def test_a_form_is_asked_field_by_field_with_defaults() -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "title": "City", "description": "Where to"},
            "nights": {"type": "integer", "default": 2},
            "breakfast": {"type": "boolean"},
            "notes": {"type": "string", "format": "multi-line"},
            "guests": {"type": "array", "items": {"type": "string"}},
            "budget": {"type": "number"},
        },
        "required": ["city"],
    }
    typed = ("Rome\n", "\n", "y\n", "late\n", "quiet\n", "\n", "Ada\n", "Ann\n", "\n", "few\n", "\n")
    reply, said = held(form(question({"question": "Trip?", "schema": schema})), *typed)
    assert reply.data == {
        "city": "Rome", "nights": 2, "breakfast": True, "notes": "late\nquiet", "guests": ["Ada", "Ann"],
    }  # fmt: skip
    assert "Where to\nCity: " in said and "nights (a number, may be left empty) [2]: " in said
    assert "'few' is no number" in said


def test_a_form_that_is_given_up_sends_nothing() -> None:
    assert held(form(question({"question": "Name?"})))[0] is None
    assert held(answer(question({"question": "Name?"})), "r\n", "none of your business\n")[0] == Reply(
        Word.REJECT, text="none of your business"
    )


WIDGET = {
    "type": "ui",
    "children": [
        {"type": "text", "value": "Your trip\x1b[2J"},
        {
            "type": "form",
            "onSubmitAction": {"type": "book"},
            "children": [
                {"type": "row", "children": [{"type": "input", "name": "city", "label": "City", "required": True}]},
                {"type": "select", "name": "class", "options": [{"label": "First", "value": "1"}]},
                {"type": "button", "label": "Book", "submit": True},
            ],
        },
    ],
    "actions": [{"label": "Not now", "action": {"type": "cancel"}}],
}


def test_a_widget_is_answered_with_one_of_its_actions() -> None:
    shown = asking(reason="widget", meta={"widget": WIDGET})
    reply, said = held(answer(shown), "a\n", "1\n", "Rome\n", "1\n")
    assert reply.data == {"action": {"type": "book"}, "form_data": {"city": "Rome", "class": "1"}}
    assert "Your trip\\x1b[2J" in said and "2) Not now" in said
    reply, _ = held(answer(shown), "a\n", "2\n")
    assert reply.data["action"]["type"] == "cancel" and "form_data" not in reply.data


def test_a_page_is_for_a_browser() -> None:
    page = asking(reason="widget", meta={"widget": {"type": "html", "html": "<b>"}})
    reply, said = held(answer(page), "a\n", "s\n")
    assert reply.word is Word.SKIP and "for a browser" in said
