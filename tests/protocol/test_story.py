"""The story of a turn when the stream and the fetches overtake each other: nothing is told twice or taken back."""

from __future__ import annotations

from typing import Any

from agentkit.protocol.effects import Emit
from agentkit.protocol.events import MessageChanged, Story, TextDelta, ToolCalled, ToolFinished, TurnEvent

CALL = {"type": "client", "function": {"name": "look", "arguments": {}}, "result": "seen"}


def message(status: str, *, text: str = "", **calls: str) -> dict[str, Any]:
    """An assistant message of the run, with calls by id and status."""
    return {
        "id": "m1",
        "chat_id": "c1",
        "agent_run_id": "r1",
        "order": 1,
        "role": "assistant",
        "status": status,
        "content": [{"type": "text", "text": text}],
        "tool_invocations": [{**CALL, "id": id_, "status": state} for id_, state in calls.items()],
    }


def chat() -> dict[str, Any]:
    return {"id": "c1", "status": "busy", "active_run": {"id": "r1", "chat_id": "c1", "state": "working"}}


def told(*emits: tuple[str, dict[str, Any], bool]) -> list[TurnEvent]:
    """The events of these (name, data, fetched)."""
    story = Story(chat_id="c1")
    started = story.tell(Emit("wire", chat(), "chats"))
    return [
        *started,
        *(event for name, data, by in emits for event in story.tell(Emit("wire", data, name, fetched=by))),
    ]


def of(events: list[TurnEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_copy_from_before_the_result_is_not_told_after_it() -> None:
    settled, waiting = message("ready", i1="completed"), message("ready", i1="awaiting_input")
    events = told(
        ("chat_messages", waiting, False),
        ("chat_messages", settled, False),
        ("chat_messages", waiting, True),  # a fetch that was slow
        ("chats", chat(), True),
        ("chat_messages", settled, False),
    )
    assert [len(of(events, kind)) for kind in (ToolCalled, ToolFinished, MessageChanged)] == [1, 1, 2]
    assert of(events, MessageChanged)[-1].message.tool_invocations[0].status == "completed"


def test_a_log_that_lags_behind_a_fetch_takes_nothing_back() -> None:
    events = told(
        ("chat_messages", message("ready", text="Done.", i1="completed"), True),
        ("chats", chat(), True),
        ("chat_messages", message("pending", text="Do"), False),
        ("chat_messages", message("ready", text="Done.", i1="awaiting_input"), False),
        ("chat_messages", message("ready", text="Done.", i1="completed"), False),
    )
    assert [len(of(events, kind)) for kind in (ToolCalled, ToolFinished, MessageChanged)] == [1, 1, 1]
    assert [event.text for event in of(events, TextDelta)] == ["Done."]
