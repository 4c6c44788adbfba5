"""What the published wheel gets wrong (protocol.md 11.1), shown over the wire, and what this library does instead.

Each defect has a pair of tests with the same world: the wheel's behaviour first, then ours. Where a pair runs against
a crooked platform, the platform does what the real one may do: send an old state first, break a line, answer 204.

Not shown: the 300 s after which the asynchronous wheel drops a stream (too long for a test), and the empty body of an
empty dict (no public call of 0.7.8 sends one).
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from agentkit import APIError, RequirementsNotMetError, RunLostError, async_inference, inference, string, tool
from agentkit.testing import call, finish, gate
from tests.conformance.crooked import Crooked, Lines, Mark, Reply, Until, crooked, event, message
from tests.conformance.home import home
from tests.conformance.official import KEY, Sdk

STORED = {"acme/helper@abc123": {"core_app": {"ref": "scripted/helper"}, "system_prompt": "Help."}}
CONFIG: dict[str, Any] = {"core_app": {"ref": "scripted/helper"}}
RUN, STREAM, CHAT = "POST /agents/run", "GET /chats/c1/stream", "GET /chats/c1"


def taken(answer: str, run: str) -> Reply:
    """The answer to POST /agents/run, in the envelope that every SDK reads."""
    question = message(f"m{int(answer[1:]) - 1}", role="user", status="ready", text="hi")
    body = {"user_message": question, "assistant_message": message(answer, agent_run_id=run)}
    return Reply({"success": True, "status": 200, "data": body, "messages": []})


def chat(status: str, run: str, state: str, **more: Any) -> dict[str, Any]:
    """The chat c1."""
    return {"id": "c1", "status": status, "output": None, "active_run": {"id": run, "state": state},
            "pending_interrupts": [], **more}  # fmt: skip


def busy(run: str = "r1") -> dict[str, Any]:
    """The line that says the chat works on this run."""
    return event("chats", **chat("busy", run, "working"))


def idle(run: str = "r1") -> dict[str, Any]:
    """The line that says this run is over."""
    return event("chats", **chat("idle", run, "completed"))


def said(id_: str, text: str, run: str = "r1") -> dict[str, Any]:
    """The line with a finished message."""
    return event("chat_messages", **message(id_, text=text, status="ready", agent_run_id=run))


def fetched(*messages: dict[str, Any], run: str = "r1") -> list[Reply]:
    """The answers to GET /chats/c1: first a chat that works on its first run, later an idle one with these messages."""
    first = chat("busy", "r1", "working", chat_messages=[])
    later = chat("idle", run, "completed", chat_messages=list(messages))
    return [Reply({"success": True, "status": 200, "data": data, "messages": []}) for data in (first, later)]


FINAL = message("m2", text="Hello.", status="ready", agent_run_id="r1")

# -- order and end of a turn ---------------------------------------------------------------------------------------

TWO_TURNS = {
    RUN: [taken("m2", "r1"), taken("m4", "r2")],
    CHAT: fetched(FINAL, message("m4", text="Second.", status="ready", agent_run_id="r2"), run="r2"),
}
STALE_FIRST = [
    Lines(busy(), said("m2", "First."), idle()),
    Lines(idle(), Until(RUN, 2), busy("r2"), said("m4", "Second.", "r2"), idle("r2")),
]


def two_turns(platform: Crooked) -> list[str]:
    """Two turns of our client in one chat; what it answered."""
    with inference(api_key=KEY, base_url=platform.url) as client:
        agent = client.agent("acme/helper")
        return [agent.stream("one").text(), agent.stream("two").text()]


TWO_TURNS_OF_THE_WHEEL = """
agent = client.agents.create("acme/helper")
for question in ("one", "two"):
    seen = []
    agent.send_message(question, on_message=seen.append)
    tell(texts=[text(m) for m in seen])
"""


@pytest.mark.requirement("better:listen-first")
def test_the_wheel_listens_only_after_its_message_was_taken(published: Sdk) -> None:
    with crooked({**TWO_TURNS, STREAM: STALE_FIRST}) as platform:
        published.run(TWO_TURNS_OF_THE_WHEEL, url=platform.url)
        order = [each.method for each in platform.log if each.path in ("/agents/run", "/chats/c1/stream")]
    assert order == ["POST", "GET", "POST", "GET"]


@pytest.mark.requirement("better:listen-first")
def test_ours_listens_before_the_message_of_a_known_chat_is_sent() -> None:
    with crooked({**TWO_TURNS, STREAM: STALE_FIRST}) as platform:
        two_turns(platform)
        order = [each.method for each in platform.log if each.path in ("/agents/run", "/chats/c1/stream")]
    assert order == ["POST", "GET", "GET", "POST"]


@pytest.mark.requirement("better:stale-idle")
def test_the_wheel_takes_the_previous_turns_end_for_this_ones(published: Sdk) -> None:
    with crooked({**TWO_TURNS, STREAM: STALE_FIRST}) as platform:
        first, second = published.run(TWO_TURNS_OF_THE_WHEEL, url=platform.url)
    assert first["texts"] == ["First."]
    assert second["texts"] == []


@pytest.mark.requirement("better:stale-idle", "turn:stale-idle")
def test_ours_waits_for_the_end_of_its_own_run() -> None:
    with crooked({**TWO_TURNS, STREAM: STALE_FIRST}) as platform:
        assert two_turns(platform)[1] == "Second."


LATE_ANSWER = {
    **TWO_TURNS,
    RUN: [taken("m2", "r1"), replace(taken("m4", "r2"), after="everything")],
    STREAM: [
        STALE_FIRST[0],
        Lines(idle(), Until(RUN, 2), busy("r2"), said("m4", "Second.", "r2"), idle("r2"), Mark("everything")),
    ],
}


@pytest.mark.requirement("turn:late-ack")
def test_a_run_that_ends_before_its_post_answers_ends_the_turn_with_all_it_said() -> None:
    with crooked(LATE_ANSWER) as platform:
        assert two_turns(platform) == ["First.", "Second."]


@pytest.mark.requirement("turn:late-ack")
async def test_the_same_goes_for_the_asynchronous_client() -> None:
    with crooked(LATE_ANSWER) as platform:
        async with async_inference(api_key=KEY, base_url=platform.url) as client:
            agent = client.agent("acme/helper")
            answers = [await agent.send_message(question) for question in ("one", "two")]
    assert [each["content"][0]["text"] for each in answers if each] == ["First.", "Second."]


@pytest.mark.requirement("better:run-waits")
def test_the_wheels_run_returns_before_the_agent_has_answered(published: Sdk) -> None:
    hold = gate()
    program = f"""
    agent = client.agents.create({CONFIG | {"internal_tools": {"finish": True}}})
    tell(output=agent.run("Where?"))
    """
    with home([hold, finish("Paris")]) as there:
        assert published.run(program, url=there.url) == [{"output": None}]
        hold.open()


@pytest.mark.requirement("better:run-waits")
def test_ours_returns_what_the_agent_finished_with() -> None:
    with home(finish("Paris")) as there, there.client() as client:
        agent = client.agent({**CONFIG, "internal_tools": {"finish": True}})
        assert agent.run("Where?") == {"result": "Paris"}


@pytest.mark.requirement("better:streams-end")
def test_the_wheels_stream_messages_goes_on_after_the_turn(published: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    agent.send_message("hi", on_message=lambda m: None)
    seen = []
    reader = threading.Thread(target=lambda: [seen.append(text(m)) for m in agent.stream_messages()], daemon=True)
    reader.start()
    while not seen:
        time.sleep(0.01)
    reader.join(1.5)
    tell(texts=seen, waits=reader.is_alive())
    os._exit(0)
    """
    with home("Hello.", agents=STORED) as there:
        assert published.run(program, url=there.url) == [{"texts": ["Hello."], "waits": True}]


@pytest.mark.requirement("better:streams-end")
def test_our_stream_messages_ends_with_the_turn() -> None:
    with home("Hello.", agents=STORED) as there, there.client() as client:
        agent = client.agent("acme/helper")
        agent.send_message("hi")
        assert [each["content"][0]["text"] for each in agent.stream_messages()] == ["Hello."]


# -- one transport -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:says-who-it-is")
def test_the_wheels_agent_says_neither_version_nor_name(published: Sdk) -> None:
    with crooked({RUN: taken("m2", "r1")}) as platform:
        published.run('client.agents.create("a/b").send_message("hi")', url=platform.url)
        (asked,) = platform.asked(RUN)
    assert "x-api-version" not in asked.headers
    assert "inference" not in asked.headers["user-agent"]


@pytest.mark.requirement("better:says-who-it-is")
def test_ours_asks_for_version_two_and_says_its_name() -> None:
    stream = Lines(busy(), said("m2", "Hello."), idle())
    with crooked({RUN: taken("m2", "r1"), STREAM: stream, CHAT: fetched(FINAL)}) as platform:
        with inference(api_key=KEY, base_url=platform.url) as client:
            client.agent("a/b").send_message("hi")
        heard = [each.headers for each in platform.log]
    assert {each["x-api-version"] for each in heard} == {"2"}
    assert all(each["user-agent"].startswith("agentkit/") for each in heard)


@pytest.mark.requirement("better:handlers-run")
def test_the_wheel_cannot_send_a_tool_that_has_a_handler(published: Sdk) -> None:
    program = f"""
    weather = inferencesh.tool("get_weather").param("city", inferencesh.string("City")).handler(lambda args: "18")
    agent = client.agents.create({{**{CONFIG}, "tools": [weather]}})
    tell(error=cut(lambda: agent.send_message("Weather?")))
    """
    with home("Hello.") as there:
        (told,) = published.run(program, url=there.url)
    assert told["error"] == ["TypeError", "Object of type function is not JSON serializable"]


@pytest.mark.requirement("better:handlers-run")
def test_ours_runs_the_handler_and_sends_the_schema_alone() -> None:
    weather = tool("get_weather").param("city", string("City")).handler(lambda args: f"18 in {args['city']}")
    with home(call("get_weather", {"city": "Paris"}), "Warm.") as there, there.client() as client:
        client.agent({**CONFIG, "tools": [weather]}).send_message("Weather?")
        assert there.model.requests[1].messages[-1].text == "18 in Paris"


@pytest.mark.requirement("better:empty-success")
@pytest.mark.parametrize("body", [Reply(status=204), Reply(["done"])], ids=["no-content", "a-list"])
def test_the_wheel_fails_on_a_success_without_its_envelope(published: Sdk, body: Reply) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    agent.send_message("hi")
    tell(error=cut(agent.stop_chat))
    """
    with crooked({RUN: taken("m2", "r1"), "POST /chats/c1/stop": body}) as platform:
        (told,) = published.run(program, url=platform.url)
    assert told["error"] in (
        ["RuntimeError", "Request failed"],
        ["AttributeError", "'list' object has no attribute 'get'"],
    )


@pytest.mark.requirement("better:empty-success")
@pytest.mark.parametrize("body", [Reply(status=204), Reply(["done"])], ids=["no-content", "a-list"])
def test_ours_takes_every_success_for_one(body: Reply) -> None:
    with (
        crooked({"POST /chats/c1/stop": body}) as platform,
        inference(api_key=KEY, base_url=platform.url) as client,
    ):
        client.agent("acme/helper").stop_chat("c1")
        assert len(platform.asked("POST /chats/c1/stop")) == 1


UNSET = {"core_app": {"ref": "openai/gpt-5"}}


@pytest.mark.requirement("better:typed-errors")
def test_the_wheel_loses_what_is_missing_and_the_status(published: Sdk) -> None:
    program = f"""
    agent = client.agents.create({UNSET})
    try:
        agent.send_message("hi")
    except Exception as error:
        tell(type=type(error).__name__, errors=hasattr(error, "errors"), status=hasattr(error, "status_code"))
    """
    with home() as there:
        assert published.run(program, url=there.url) == [{"type": "RuntimeError", "errors": False, "status": False}]


@pytest.mark.requirement("better:typed-errors")
def test_ours_raises_the_missing_requirements() -> None:
    with home() as there, there.client() as client, pytest.raises(RequirementsNotMetError) as caught:
        client.agent(UNSET).send_message("hi")
    assert caught.value.status_code == 412
    assert [(each.type, each.key) for each in caught.value.errors] == [("secret", "OPENAI_API_KEY")]


PROBLEM = Reply({"type": "about:blank", "title": "Teapot", "status": 418, "detail": "I am a teapot"}, 418,
                "application/problem+json")  # fmt: skip


@pytest.mark.requirement("better:problem-details")
def test_the_asynchronous_wheel_does_not_read_problem_documents(published: Sdk) -> None:
    program = """
    import asyncio
    async def main():
        agent = async_inference(api_key=KEY, base_url=URL).agents.create("acme/helper")
        try:
            await agent.send_message("hi")
        except Exception as error:
            tell(error=str(error))
    asyncio.run(main())
    """
    with crooked({RUN: PROBLEM}) as platform:
        assert published.run(program, url=platform.url) == [{"error": "Request failed"}]


@pytest.mark.requirement("better:problem-details")
async def test_ours_says_what_the_problem_document_says() -> None:
    with crooked({RUN: PROBLEM}) as platform:
        async with async_inference(api_key=KEY, base_url=platform.url) as client:
            with pytest.raises(APIError, match="I am a teapot") as caught:
                await client.agent("acme/helper").send_message("hi")
    assert caught.value.status_code == 418


# -- reading the stream --------------------------------------------------------------------------------------------

TELLS = """
agent = client.agents.create("acme/helper")
seen = []
agent.send_message("hi", on_message=lambda m: seen.append(text(m)))
tell(texts=seen)
"""


def one_turn(platform: Crooked) -> tuple[str, list[Any]]:
    """A turn of our client: the text it ends with, and all its events."""
    with (
        inference(api_key=KEY, base_url=platform.url) as client,
        client.agent("acme/helper").stream("hi") as turn,
    ):
        events = list(turn)
        return turn.text(), events


REFUSED_STREAM = {RUN: taken("m2", "r1"), STREAM: Reply({"detail": "gone"}, 404), CHAT: fetched(FINAL)}


@pytest.mark.requirement("better:stream-status")
def test_the_wheel_takes_a_refused_stream_for_the_end_of_the_turn(published: Sdk) -> None:
    with crooked(REFUSED_STREAM) as platform:
        assert published.run(TELLS, url=platform.url) == [{"texts": []}]


@pytest.mark.requirement("better:stream-status")
def test_ours_says_that_it_lost_sight_of_the_run_and_why() -> None:
    with crooked(REFUSED_STREAM) as platform, pytest.raises(RunLostError, match="HTTP 404: gone") as caught:
        one_turn(platform)
    assert caught.value.chat_id == "c1"


BROKEN = '{"event": "chat_messages", "data": {"id": "m2", '
BROKEN_LINE = {RUN: taken("m2", "r1"), STREAM: Lines(busy(), BROKEN, idle()), CHAT: fetched(FINAL)}


@pytest.mark.requirement("better:broken-lines")
def test_the_wheel_drops_a_line_it_cannot_read_in_silence(published: Sdk) -> None:
    with crooked(BROKEN_LINE) as platform:
        assert published.run(TELLS, url=platform.url) == [{"texts": []}]


@pytest.mark.requirement("better:broken-lines")
def test_ours_says_so_and_fetches_what_the_line_held() -> None:
    with crooked(BROKEN_LINE) as platform:
        text, events = one_turn(platform)
    assert text == "Hello."
    assert [each.kind for each in events].count("fault") == 1


SEPARATED = "one\u2028two\u0085three"
SPLIT = {
    RUN: taken("m2", "r1"),
    STREAM: Lines(busy(), said("m2", SEPARATED), idle(), content_type="application/x-ndjson; charset=utf-8"),
    CHAT: fetched(message("m2", text=SEPARATED, status="ready", agent_run_id="r1")),
}


@pytest.mark.requirement("better:line-ends")
def test_the_wheel_tears_a_message_at_a_line_separator(published: Sdk) -> None:
    with crooked(SPLIT) as platform:
        assert published.run(TELLS, url=platform.url) == [{"texts": []}]


@pytest.mark.requirement("better:line-ends")
def test_ours_ends_a_line_at_its_line_end_alone() -> None:
    with crooked(SPLIT) as platform:
        text, events = one_turn(platform)
    assert text == SEPARATED
    assert "fault" not in [each.kind for each in events]


# -- client tools --------------------------------------------------------------------------------------------------

BOTH = [call("get_weather", {"city": "Paris"}), call("get_weather", {"city": "Rome"})]
WEATHER = f"""
tools = [inferencesh.tool("get_weather").param("city", inferencesh.string("City")).build()]
agent = client.agents.create({{**{CONFIG}, "tools": tools}})
"""


@pytest.mark.requirement("better:tools-in-parallel")
def test_the_wheel_calls_tools_one_after_the_other_on_its_reader(published: Sdk) -> None:
    program = f"""{WEATHER}
reader, running, most = threading.current_thread(), [], []
def answer(call):
    running.append(call.id)
    most.append((len(running), threading.current_thread() is reader))
    time.sleep(0.05)
    running.remove(call.id)
    agent.submit_tool_result(call.id, "18")
agent.send_message("Both?", on_tool_call=answer)
tell(most=most)
"""
    with home(BOTH, "Both 18.") as there:
        assert published.run(program, url=there.url) == [{"most": [[1, True], [1, True]]}]


@pytest.mark.requirement("better:tools-in-parallel")
def test_ours_runs_them_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def answer(args: Any) -> str:
        meeting.wait()  # passes only where both are running
        return f"18 in {args['city']}"

    weather = tool("get_weather").param("city", string("City")).handler(answer)
    with home(BOTH, "Both 18.") as there, there.client() as client:
        assert client.agent({**CONFIG, "tools": [weather]}).stream("Both?").text() == "Both 18."


@pytest.mark.requirement("better:tool-errors")
def test_an_exception_in_the_wheels_callback_leaves_the_agent_waiting(published: Sdk) -> None:
    program = f"""{WEATHER}
def answer(call):
    raise ValueError("no such city")
tell(error=cut(lambda: agent.send_message("Paris?", on_tool_call=answer)))
tell(status=agent.get_chat()["status"])
"""
    with home(BOTH[0], "Warm.") as there:
        error, after = published.run(program, url=there.url)
    assert error == {"error": ["ValueError", "no such city"]}
    assert after == {"status": "busy"}


@pytest.mark.requirement("better:tool-errors")
def test_an_exception_in_our_handler_is_a_result_that_the_model_reads() -> None:
    def answer(args: Any) -> str:
        raise ValueError(f"no such city: {args['city']}")

    weather = tool("get_weather").param("city", string("City")).handler(answer)
    with home(BOTH[0], "I cannot tell.") as there, there.client() as client:
        assert client.agent({**CONFIG, "tools": [weather]}).stream("Paris?").text() == "I cannot tell."
        assert "no such city: Paris" in there.model.requests[1].messages[-1].text


ASKING = {
    "id": "i1", "type": "client", "status": "awaiting_input",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}  # fmt: skip
ASKS = event("chat_messages", **message("m2", status="ready", agent_run_id="r1", tool_invocations=[ASKING]))
ANSWERED = Reply({"success": True, "status": 200, "data": None, "messages": []})
AS_TEXT = {
    RUN: taken("m2", "r1"),
    STREAM: Lines(busy(), ASKS, Until("POST /tools/i1"), said("m3", "Warm."), idle()),
    CHAT: fetched(message("m3", text="Warm.", status="ready", agent_run_id="r1")),
    "POST /tools/i1": ANSWERED,
}


@pytest.mark.requirement("better:arguments-decoded")
def test_the_wheel_hands_over_arguments_as_they_came(published: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    agent.send_message("hi", on_tool_call=lambda c: (tell(args=c.args), agent.submit_tool_result(c.id, "18")))
    """
    with crooked(AS_TEXT) as platform:
        assert published.run(program, url=platform.url) == [{"args": '{"city": "Paris"}'}]


@pytest.mark.requirement("better:arguments-decoded")
def test_ours_decodes_arguments_that_came_as_text() -> None:
    heard: list[Any] = []
    weather = tool("get_weather").param("city", string("City")).handler(lambda args: heard.append(dict(args)))
    with (
        crooked(AS_TEXT) as platform,
        inference(api_key=KEY, base_url=platform.url) as client,
    ):
        client.agent({**CONFIG, "tools": [weather]}).send_message("hi")
    assert heard == [{"city": "Paris"}]


REPLAYED = {
    RUN: [taken("m2", "r1"), taken("m4", "r2")],
    STREAM: [
        Lines(busy(), ASKS, Until("POST /tools/i1"), idle()),
        Lines(Until(RUN, 2), busy("r2"), ASKS, said("m4", "Warm.", "r2"), idle("r2")),
    ],
    CHAT: fetched(message("m4", text="Warm.", status="ready", agent_run_id="r2"), run="r2"),
    "POST /tools/i1": ANSWERED,
}  # fmt: skip


@pytest.mark.requirement("better:tools-once")
def test_the_wheel_calls_a_tool_again_when_the_next_turn_shows_it_again(published: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    for question in ("one", "two"):
        agent.send_message(question, on_tool_call=lambda c: (tell(id=c.id), agent.submit_tool_result(c.id, "18")))
    """
    with crooked(REPLAYED) as platform:
        assert published.run(program, url=platform.url) == [{"id": "i1"}, {"id": "i1"}]


@pytest.mark.requirement("better:tools-once", "turn:handler-once")
def test_ours_runs_a_handler_once_per_call_of_the_chat() -> None:
    heard: list[Any] = []
    weather = tool("get_weather").param("city", string("City")).handler(lambda args: heard.append(dict(args)))
    with (
        crooked(REPLAYED) as platform,
        inference(api_key=KEY, base_url=platform.url) as client,
    ):
        agent = client.agent({**CONFIG, "tools": [weather]})
        agent.send_message("one")
        agent.send_message("two")
        assert len(platform.asked("POST /tools/i1")) == 1
    assert heard == [{"city": "Paris"}]


# -- arguments and files -------------------------------------------------------------------------------------------


@pytest.mark.requirement("better:chat-id")
def test_the_wheel_takes_no_chat_id_where_its_document_shows_one(published: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    tell(error=cut(lambda: agent.stop_chat("c1")))
    tell(error=cut(lambda: list(agent.stream_messages("c1"))))
    """
    with crooked({}) as platform:
        stop, stream = (told["error"] for told in published.run(program, url=platform.url))
    assert stop == ["TypeError", "Agent.stop_chat() takes 1 positional argument but 2 were given"]
    assert stream == ["RuntimeError", "No active chat - send a message first"]


@pytest.mark.requirement("better:chat-id")
def test_ours_stops_and_follows_a_chat_by_its_id() -> None:
    with home("Hello.", agents=STORED) as there, there.client() as client:
        first = client.agent("acme/helper")
        first.send_message("hi")
        other = client.agent("acme/helper")
        assert [each["status"] for each in other.stream_messages(first.chat_id)] == ["ready"]
        other.stop_chat(first.chat_id)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


@pytest.mark.requirement("better:content-types")
def test_the_wheel_says_of_no_bytes_what_they_are(published: Sdk) -> None:
    program = f"""
    agent = client.agents.create("acme/helper")
    tell(types=[agent.upload_file({PNG!r})["content_type"],
                agent.upload_file(b"a,b", filename="table.csv")["content_type"]])
    """
    with home(agents=STORED) as there:
        assert published.run(program, url=there.url) == [{"types": ["application/octet-stream"] * 2}]


@pytest.mark.requirement("better:content-types")
def test_ours_knows_bytes_by_their_beginning_or_their_name() -> None:
    with home(agents=STORED) as there, there.client() as client:
        agent = client.agent("acme/helper")
        assert agent.upload_file(PNG)["content_type"] == "image/png"
        assert agent.upload_file(b"a,b", filename="table.csv")["content_type"] == "text/csv"


@pytest.mark.requirement("better:async-parity")
def test_the_asynchronous_wheel_lacks_files_callbacks_and_uploads(published: Sdk) -> None:
    program = """
    import asyncio
    agent = async_inference(api_key=KEY, base_url=URL).agents.create("acme/helper")
    missing = [name for name in ("stream_all", "upload_file") if not hasattr(agent, name)]
    for name in ("files", "on_message", "on_tool_call"):
        try:
            asyncio.run(agent.send_message("hi", **{name: []}))
        except TypeError:
            missing.append(name)
    tell(missing=missing)
    """
    with home("Hello.", agents=STORED) as there:
        (told,) = published.run(program, url=there.url)
    assert told["missing"] == ["stream_all", "upload_file", "files", "on_message", "on_tool_call"]


@pytest.mark.requirement("better:async-parity")
async def test_ours_takes_them_in_both_worlds() -> None:
    seen: list[Any] = []
    with home("Hello.", agents=STORED) as there:
        async with async_inference(api_key=KEY, base_url=there.url) as client:
            agent = client.agent("acme/helper")
            await agent.send_message("Look.", files=[b"bytes"], on_message=seen.append)
            await agent.stream_all(on_message=seen.append)
            ref = await agent.upload_file(b"notes", filename="notes.txt")
    assert [each["content"][0]["text"] for each in seen if each["status"] == "ready"] == ["Hello.", "Hello."]
    assert ref["filename"] == "notes.txt"
