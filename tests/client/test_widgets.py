"""Widgets as a program sees them: told as a question, listed, answered once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkit import ApprovalNeededError, ApprovalRequested, ApprovalResolved, ToolFinished
from agentkit.errors import ConflictError, InvalidInputError
from agentkit.testing import call
from tests.client.conftest import Home
from tests.client.ways import play

FORM: dict[str, Any] = {
    "type": "ui",
    "title": "Your trip",
    "children": [
        {
            "type": "form",
            "onSubmitAction": {"type": "book"},
            "children": [{"type": "input", "name": "city", "required": True}],
        }
    ],
    "actions": [{"label": "No", "action": {"type": "cancel"}}],
}
ASK = call("widget", FORM)


def test_a_widget_is_a_question_of_the_turn_and_the_answer_is_its_result(home: Home) -> None:
    place = home(ASK, "Booked.")
    agent = place.agent()

    def answer(event: Any) -> None:
        if isinstance(event, ApprovalRequested):
            assert event.interrupt.reason == "widget"
            assert event.interrupt.widget is not None and event.interrupt.widget.title == "Your trip"
            agent.respond(event.interrupt.resource_id, "book", {"city": "Rome"})

    told = play(agent, then=answer)
    assert told.result.text == "Booked."
    (resolved,), (finished,) = told.of(ApprovalResolved), told.of(ToolFinished)
    assert resolved.interrupt.resource_id == finished.invocation.id
    assert finished.invocation.data == {"action": {"type": "book"}, "form_data": {"city": "Rome"}}
    assert finished.invocation.widget.interactive is True
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert json.loads(result) == finished.invocation.data


def test_it_is_listed_among_what_waits_and_answered_after_the_turn(home: Home) -> None:
    place = home(ASK, "Fine.")
    agent = place.agent()
    (waiting,) = agent.stream("go", when_parked="return").result().pending
    (listed,) = agent.pending()
    assert listed.id == waiting.id and listed.tool_name == "widget"
    with pytest.raises(InvalidInputError, match=r"form_data\.city: it is required"):
        agent.respond(listed.resource_id, "book", {"city": ""})
    agent.respond(listed.resource_id, {"type": "cancel", "payload": {"why": "ill"}})
    assert agent.resume().text() == "Fine."
    with pytest.raises(ConflictError):
        agent.respond(listed.resource_id, "book", {"city": "Rome"})
    assert agent.pending() == []


def test_it_is_closed_without_an_answer(home: Home) -> None:
    place = home(ASK, "Another time.")
    agent = place.agent()
    agent.send_message("go", when_parked="return")
    agent.reject(agent.pending()[0].resource_id, "later")
    assert agent.resume().text() == "Another time."
    (result,) = [text for role, text in place.last_request() if role == "tool"]
    assert result == "the user closed the widget without an answer: later"


def test_a_program_that_must_not_wait_is_told_how_to_answer(home: Home) -> None:
    agent = home(ASK, "never").agent()
    with pytest.raises(ApprovalNeededError, match=r"widget \(.*agent\.respond") as raised:
        agent.send_message("go", when_parked="raise")
    assert [each.reason for each in raised.value.pending] == ["widget"]


def test_what_is_only_shown_parks_nothing(home: Home) -> None:
    agent = home(call("widget", {"type": "html", "html": "<b>Hi</b>"}), "Seen?").agent()
    told = play(agent)
    (finished,) = told.of(ToolFinished)
    assert (told.result.text, finished.invocation.widget.html) == ("Seen?", "<b>Hi</b>")
    assert not told.of(ApprovalRequested)
