"""Looking on: streams of messages and of the chat, without sending and without running a tool."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from agentkit import UsageError, string, tool
from agentkit.testing import call, gate
from tests.client.conftest import Home
from tests.client.ways import play


def test_stream_messages_ends_with_the_run(home: Home) -> None:
    place = home("It is 18.")
    agent = place.agent()
    play(agent)
    seen = list(agent.stream_messages())
    assert seen[-1].content[0].text == "It is 18."
    assert {each.role for each in seen} == {"assistant"}


def test_stream_messages_follows_a_run_that_goes_on(home: Home) -> None:
    wait = gate()
    place = home(["One. ", wait, "Two."])
    agent = place.agent()
    with agent.stream("go") as turn:
        for event in turn:
            if event.kind == "run_started":
                break
    texts: list[str] = []
    for message in agent.stream_messages():
        texts.append("".join(part.text or "" for part in message.content))
        wait.open()
    assert texts[-1] == "One. Two."


def test_stream_chat_tells_the_chat_until_it_is_idle(home: Home) -> None:
    agent = home("It is 18.").agent()
    play(agent)
    chats = list(agent.stream_chat())
    assert chats[-1].status == "idle"
    assert all(each.id == agent.chat_id for each in chats)


def test_a_stream_that_is_left_leaves_nothing_behind(home: Home) -> None:
    place = home(["One. ", gate()])
    agent = place.agent()
    with agent.stream("go") as turn:
        for event in turn:
            if event.kind == "run_started":
                break
    before = threading.active_count()
    stream = agent.stream_chat()
    assert next(stream).status == "busy"
    stream.close() if hasattr(stream, "close") else stream.aclose()
    assert threading.active_count() <= before + 1
    agent.stop_chat()


def test_looking_on_runs_no_tool(home: Home) -> None:
    ran: list[Any] = []
    weather = tool("get_weather").describe("w").param("city", string("City"))
    place = home(call("get_weather", {"city": "Rome"}), "Done.")
    agent = place.agent(weather.build())
    play(agent, when_parked="return")
    onlooker = place.another_client().agents.resume(agent.chat_id, tools=[weather.handler(ran.append)])
    stream = onlooker.stream_messages()
    assert next(stream).tool_invocations[0].status == "awaiting_input"
    stream.close() if hasattr(stream, "close") else stream.aclose()
    assert ran == []
    onlooker.stream_all()
    assert ran == [{"city": "Rome"}]


def test_stream_all_calls_back_to_the_end(home: Home) -> None:
    place = home("It is 18.")
    agent = place.agent()
    play(agent)
    chats: list[Any] = []
    messages: list[Any] = []
    agent.stream_all(on_chat=chats.append, on_message=messages.append)
    assert chats[-1].status == "idle"
    assert messages[-1].content[0].text == "It is 18."


def test_looking_needs_a_chat(home: Home) -> None:
    agent = home().agent()
    for look in (lambda: list(agent.stream_messages()), agent.resume, agent.get_chat, agent.pending):
        with pytest.raises(UsageError, match="no chat yet"):
            look()
    agent.stop_chat()  # nothing to stop, nothing wrong
