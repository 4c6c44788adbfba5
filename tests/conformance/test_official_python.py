"""The official Python SDK, published and newest, drives the server: agents and files, several turns in one chat."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.errors import ModelError
from agentkit.testing import call, error, finish, gate, hang
from tests.conformance.home import home
from tests.conformance.official import Sdk

STORED = {"acme/helper@abc123": {"core_app": {"ref": "scripted/helper"}, "system_prompt": "Help."}}
WEATHER = """
tools = [inferencesh.tool("get_weather").describe("Weather").param("city", inferencesh.string("City")).build()]
agent = client.agents.create({"core_app": {"ref": "scripted/helper"}, "system_prompt": "Be kind.", "tools": tools})
"""
ANSWERING = """
def answer(call):
    tell(id=call.id, name=call.name, args=call.args)
    agent.submit_tool_result(call.id, json.dumps({"temp_c": 18}))
"""


def only(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The one thing a program told."""
    assert len(facts) == 1, facts
    return facts[0]


# -- streaming -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:streams")
def test_a_stored_agent_streams_three_turns_of_one_chat_to_their_ends(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper@abc123")
    for question in ("one?", "two?", "three?"):
        seen = []
        reply = agent.send_message(question, on_message=lambda m: seen.append(m))
        tell(chat=agent.chat_id, replied=reply["chat_id"], roles=sorted({m["role"] for m in seen}),
             text=text(seen[-1]), status=seen[-1]["status"], mine=seen[-1]["id"] == reply["id"])
    chat = agent.get_chat()
    tell(status=chat["status"], texts=[text(m) for m in chat["chat_messages"]],
         orders=[m["order"] for m in chat["chat_messages"]])
    """
    with home("It is one.", "It is two.", "It is three.", agents=STORED) as there:
        *turns, chat = wheel.run(program, url=there.url)
    assert [turn["text"] for turn in turns] == ["It is one.", "It is two.", "It is three."]
    for turn in turns:
        assert turn["chat"] == turn["replied"] == turns[0]["chat"]
        assert (turn["roles"], turn["status"], turn["mine"]) == (["assistant"], "ready", True)
    assert chat["status"] == "idle"
    assert chat["texts"] == ["one?", "It is one.", "two?", "It is two.", "three?", "It is three."]
    assert chat["orders"] == sorted(chat["orders"])


@pytest.mark.requirement("sdk:streams")
def test_a_text_of_signs_that_split_lines_arrives_whole(wheel: Sdk) -> None:
    said = "Grüße\u2028aus\u0085Zürich\u000b\u000c 🌍 " + "x" * 3000
    program = """
    agent = client.agents.create("acme/helper")
    seen = []
    agent.send_message("hi", on_message=lambda m: seen.append(text(m)))
    tell(text=seen[-1], grew=all(later.startswith(each) for each, later in zip(seen, seen[1:])))
    """
    with home(said, agents=STORED) as there:
        told = only(wheel.run(program, url=there.url))
    assert told["text"] == said
    assert told["grew"]


@pytest.mark.requirement("sdk:seed-loop")
def test_the_documents_loop_over_stream_messages_ends_at_the_agents_ready_message(wheel: Sdk) -> None:
    program = """
    from inferencesh import is_message_ready
    agent = client.agents.create("acme/helper")
    agent.send_message("hi")
    for message in agent.stream_messages():
        if is_message_ready(message.get("status")):
            break
    tell(role=message["role"], text=text(message))
    for chat in agent.stream_chat():
        if chat["status"] == "idle":
            break
    tell(state=chat["active_run"]["state"], output=chat["output"])
    """
    with home("Hello.", agents=STORED) as there:
        message, chat = wheel.run(program, url=there.url)
    assert message == {"role": "assistant", "text": "Hello."}
    assert chat == {"state": "completed", "output": None}


@pytest.mark.requirement("sdk:deltas")
def test_the_newest_wheel_merges_deltas_to_the_final_text(newest: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    deltas, seen = [], []
    def watch(message):
        if not seen:
            tell(listening=True)
        seen.append(message)
    def merge(delta):
        deltas.append(delta)
        if (delta.delta.get("response") or "").endswith("dog."):
            tell(merged=delta.output["response"])
    agent.send_message("hi", on_message=watch, on_delta=merge)
    tell(text=text(seen[-1]), ids=sorted({d.message_id for d in deltas}),
         mine=seen[-1]["id"], seqs=[d.seq for d in deltas])
    """
    fox, heard, merged = "The quick brown fox jumps over the lazy dog.", gate(), gate()
    with (
        home([heard, fox, merged], agents=STORED) as there,
        newest.start(program, url=there.url) as running,
    ):
        assert running.fact() == {"listening": True}  # deltas are live only: whoever comes later misses them
        heard.open()
        assert running.fact() == {"merged": fox}
        merged.open()
        told = only(running.facts())
    assert told["text"] == fox
    assert told["ids"] == [told["mine"]]
    assert told["seqs"] == sorted(set(told["seqs"]))


# -- tools ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:client-tools")
def test_a_client_tool_is_called_once_and_its_result_reaches_the_model(wheel: Sdk) -> None:
    program = f"""{WEATHER}{ANSWERING}
for city in ("Paris", "Rome"):
    seen = []
    agent.send_message("Weather in " + city + "?", on_message=seen.append, on_tool_call=answer)
    tell(text=text(seen[-1]), status=agent.get_chat()["status"])
"""
    steps = [
        call("get_weather", {"city": "Paris"}),
        "18 in Paris.",
        call("get_weather", {"city": "Rome"}),
        "18 in Rome.",
    ]
    with home(*steps) as there:
        first, paris, second, rome = wheel.run(program, url=there.url)
        results = [request.messages[-1].text for request in there.model.requests[1::2]]
    assert (first["name"], first["args"], second["args"]) == ("get_weather", {"city": "Paris"}, {"city": "Rome"})
    assert first["id"] != second["id"]
    assert paris == {"text": "18 in Paris.", "status": "idle"}
    assert rome == {"text": "18 in Rome.", "status": "idle"}
    assert results == ['{"temp_c": 18}'] * 2


@pytest.mark.requirement("sdk:client-tools")
def test_two_calls_of_one_message_are_both_answered_before_the_model_goes_on(wheel: Sdk) -> None:
    program = f"""{WEATHER}{ANSWERING}
seen = []
agent.send_message("Both?", on_message=seen.append, on_tool_call=answer)
tell(text=text(seen[-1]))
"""
    both = [call("get_weather", {"city": "Paris"}), call("get_weather", {"city": "Rome"})]
    with home(both, "Both 18.") as there:
        *calls, end = wheel.run(program, url=there.url)
        roles = [message.role for message in there.model.requests[1].messages]
    assert sorted(each["args"]["city"] for each in calls) == ["Paris", "Rome"]
    assert end == {"text": "Both 18."}
    assert roles[-2:] == ["tool", "tool"]


@pytest.mark.requirement("sdk:widget-answers")
def test_an_answer_in_the_form_of_a_widget_action_is_taken(wheel: Sdk) -> None:
    program = f"""{WEATHER}
def answer(call):
    agent.submit_tool_result(call.id, {{"action": {{"type": "confirm"}}, "form_data": {{"name": "Jo"}}}})
agent.send_message("Well?", on_tool_call=answer)
tell(status=agent.get_chat()["status"])
"""
    with home(call("get_weather", {"city": "Paris"}), "Thanks, Jo.") as there:
        told = only(wheel.run(program, url=there.url))
        answered = there.model.requests[1].messages[-1].text
    assert told == {"status": "idle"}
    assert '"confirm"' in answered and '"Jo"' in answered


# -- approvals -----------------------------------------------------------------------------------------------------

GATED = """
tools = [inferencesh.tool("pay").param("amount", inferencesh.integer("EUR")).require_approval().build()]
agent = client.agents.create({"core_app": {"ref": "scripted/helper"}, "tools": tools})
"""


@pytest.mark.requirement("sdk:approvals")
def test_the_published_wheel_keeps_waiting_while_somebody_else_approves(published: Sdk) -> None:
    program = f"""{GATED}
seen = []
def pay(call):
    tell(paying=call.args)
    agent.submit_tool_result(call.id, "paid")
def watch(chat):
    if chat["status"] == "awaiting_input":
        tell(chat=agent.chat_id, waits=chat["pending_interrupts"][0]["meta"]["tool_name"])
agent.send_message("Pay.")
agent.stream_all(on_chat=watch, on_message=seen.append, on_tool_call=pay)
tell(text=text(seen[-1]))
"""
    with (
        home(call("pay", {"amount": 5}), "Done.") as there,
        published.start(program, url=there.url) as running,
        there.client() as ours,
    ):
        waiting = running.fact()
        (pending,) = ours.agents.resume(waiting["chat"]).pending()
        ours.agents.resume(waiting["chat"]).approve(str(pending.resource_id))
        assert waiting["waits"] == "pay"
        assert running.facts() == [{"paying": {"amount": 5}}, {"text": "Done."}]


@pytest.mark.requirement("sdk:approvals")
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_the_newest_wheel_approves_and_rejects_by_itself(newest: Sdk, decision: str) -> None:
    program = f"""{GATED}
from inferencesh.agent import pending_approvals
agent.send_message("Pay.", on_message=lambda m: None)
(item,) = pending_approvals(agent.get_chat())
tell(tool=item.tool_name, args=item.arguments)
if "{decision}" == "approve":
    agent.approve_tool(item.tool_invocation_id)
else:
    agent.reject_tool(item.tool_invocation_id, "too much")
seen = []
agent.stream_all(on_message=seen.append, on_tool_call=lambda c: agent.submit_tool_result(c.id, "paid"))
tell(text=text(seen[-1]), left=pending_approvals(agent.get_chat()))
"""
    with home(call("pay", {"amount": 5}), "Done.") as there:
        waiting, end = newest.run(program, url=there.url)
        answered = there.model.requests[1].messages[-1].text
    assert waiting == {"tool": "pay", "args": {"amount": 5}}
    assert end == {"text": "Done.", "left": []}
    assert ("too much" in answered) is (decision == "reject")
    assert (answered == "paid") is (decision == "approve")


# -- output, stop, reset, failure ----------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:output")
def test_run_with_a_callback_returns_the_output_and_the_next_run_clears_it(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create({"core_app": {"ref": "scripted/helper"}, "internal_tools": {"finish": True}})
    tell(output=agent.run("Where?", on_message=lambda m: None))
    tell(output=agent.run("And now?", on_message=lambda m: None))
    """
    with home(finish("Paris"), "I do not know.") as there:
        first, second = wheel.run(program, url=there.url)
    assert first == {"output": {"result": "Paris"}}
    assert second == {"output": None}


@pytest.mark.requirement("sdk:stop")
def test_stop_chat_ends_the_turn_with_a_cancelled_message(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    seen = []
    def watch(message):
        seen.append(message)
        if text(message) and message["status"] == "pending":
            agent.stop_chat()
    agent.send_message("Count.", on_message=watch)
    chat = agent.get_chat()
    tell(last=seen[-1]["status"], text=text(seen[-1]), status=chat["status"], state=chat["active_run"]["state"])
    agent.stop_chat()
    agent.send_message("Again.", on_message=seen.append)
    tell(last=seen[-1]["status"], text=text(seen[-1]))
    """
    with home(["One, ", hang()], "Two.", agents=STORED) as there:
        stopped, again = wheel.run(program, url=there.url)
    assert stopped == {"last": "cancelled", "text": "One, ", "status": "idle", "state": "canceled"}
    assert again == {"last": "ready", "text": "Two."}


@pytest.mark.requirement("sdk:reset")
def test_reset_starts_a_new_chat_that_knows_nothing_of_the_old_one(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    for question in ("one?", "two?"):
        agent.send_message(question, on_message=lambda m: None)
        tell(chat=agent.chat_id)
        agent.reset()
        tell(chat=agent.chat_id)
    """
    with home("One.", "Two.", agents=STORED) as there:
        first, nothing, second, _ = wheel.run(program, url=there.url)
        heard = [[each.text for each in request.messages if each.role == "user"] for request in there.model.requests]
    assert nothing == {"chat": None}
    assert first["chat"] != second["chat"]
    assert heard == [["one?"], ["two?"]]


@pytest.mark.requirement("sdk:failure")
def test_a_model_that_fails_ends_the_turn_with_a_failed_message_that_says_why(wheel: Sdk) -> None:
    program = """
    agent = client.agents.create("acme/helper")
    seen = []
    agent.send_message("hi", on_message=seen.append)
    chat = agent.get_chat()
    tell(last=seen[-1]["status"], errors=[part.get("error") for part in seen[-1]["content"]],
         status=chat["status"], state=chat["active_run"]["state"])
    """
    with home(error(ModelError("the model is on holiday")), agents=STORED) as there:
        told = only(wheel.run(program, url=there.url))
    assert (told["last"], told["status"], told["state"]) == ("failed", "idle", "failed")
    assert any("on holiday" in (each or "") for each in told["errors"])


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:refusals")
def test_refusals_are_sentences_in_every_layer_of_the_wheel(wheel: Sdk) -> None:
    program = """
    tell(error=cut(lambda: client.agents.create("acme/nobody").send_message("hi")))
    stranger = inference(api_key="inf_wrong", base_url=URL)
    tell(error=cut(lambda: stranger.agents.create("acme/helper").send_message("hi")))
    tell(error=cut(lambda: stranger.files.upload(b"x")))
    tell(error=cut(lambda: client.agents.create({"core_app": {"ref": "openai/gpt-5"}}).send_message("hi")))
    tell(error=cut(lambda: client.agents.create("acme/helper").submit_tool_result("nothing", "x")))
    """
    with home("Hello.", agents=STORED) as there:
        unknown, wrong, wrong_file, unset, nothing = (told["error"][1] for told in wheel.run(program, url=there.url))
    assert "acme/nobody" in unknown
    assert "key" in wrong and "unknown" in wrong
    assert "401" in wrong_file and "unknown" in wrong_file
    assert "OPENAI_API_KEY" in unset
    assert "nothing" in nothing


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("sdk:files")
def test_files_of_every_form_are_uploaded_and_reach_the_model(wheel: Sdk) -> None:
    program = """
    import tempfile
    agent = client.agents.create("acme/helper")
    image = "data:image/png;base64,iVBORw0KGgo="
    agent.send_message("Look.", files=[b"plain bytes", image], on_message=lambda m: None)
    parts = agent.get_chat()["chat_messages"][0]["content"]
    tell(uris=[part.get("file") or part.get("image") for part in parts if part["type"] != "text"])
    ref = agent.upload_file(b"notes", filename="notes.txt")
    tell(**ref)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(b"a,b")
        file.flush()
        record = client.files.upload(file.name)
    tell(uri=record["uri"], type=record["content_type"])
    options = inferencesh.UploadFileOptions(filename="data.bin", content_type="application/x-data", public=True)
    record = client.files.upload(b"raw", options)
    tell(uri=record["uri"], type=record["content_type"], filename=record["filename"])
    """
    with home("I see.", agents=STORED) as there:
        message, ref, from_path, public = wheel.run(program, url=there.url)
        contents = [there.content(uri) for uri in (*message["uris"], ref["uri"], from_path["uri"])]
        assert there.content(public["uri"], public=True) == b"raw"
        heard = there.model.requests[0].messages[-1]
    assert sorted(contents[:2]) == sorted([b"plain bytes", b"\x89PNG\r\n\x1a\n"])
    assert contents[2:] == [b"notes", b"a,b"]
    assert (ref["filename"], ref["size"]) == ("notes.txt", 5)
    assert from_path["type"] == "text/csv"
    assert (public["type"], public["filename"]) == ("application/x-data", "data.bin")
    assert "Look." in heard.text


# -- async ---------------------------------------------------------------------------------------------------------

ASYNC = """
import asyncio
from inferencesh import is_message_ready

async def main():
    client = async_inference(api_key=KEY, base_url=URL)
"""


@pytest.mark.requirement("sdk:async")
def test_the_async_agent_sends_streams_answers_tools_stops_and_resets(wheel: Sdk) -> None:
    program = f"""{ASYNC}
    tools = [inferencesh.tool("get_weather").param("city", inferencesh.string("City")).build()]
    agent = client.agents.create({{"core_app": {{"ref": "scripted/helper"}}, "tools": tools}})
    await agent.send_message("Weather?")
    answered = set()
    async for message in agent.stream_messages():
        for call in message.get("tool_invocations") or []:
            if call["status"] == "awaiting_input" and call["id"] not in answered:
                answered.add(call["id"])
                await agent.submit_tool_result(call["id"], "18")
        if is_message_ready(message["status"]) and text(message):
            break
    tell(text=text(message), calls=len(answered))
    async for chat in agent.stream_chat():
        if chat["status"] == "idle":
            break
    await agent.send_message("Count.")
    async for message in agent.stream_messages():
        if text(message):
            break
    await agent.stop_chat()
    chat = await agent.get_chat()
    tell(status=chat["status"], state=chat["active_run"]["state"])
    before = agent.chat_id
    agent.reset()
    await agent.send_message("Anew.")
    tell(fresh=agent.chat_id != before)

asyncio.run(main())
"""
    steps = [call("get_weather", {"city": "Paris"}), "18 degrees.", ["One, ", hang()], "Anew it is."]
    with home(*steps) as there:
        answer, stopped, anew = wheel.run(program, url=there.url)
    assert answer == {"text": "18 degrees.", "calls": 1}
    assert stopped == {"status": "idle", "state": "canceled"}
    assert anew == {"fresh": True}


@pytest.mark.requirement("sdk:async")
def test_the_async_client_uploads_bytes_and_an_agent_takes_the_reference(wheel: Sdk) -> None:
    program = f"""{ASYNC}
    options = inferencesh.UploadFileOptions(filename="a.txt", content_type="text/plain")
    record = await client.files.upload(b"async bytes", options)
    ref = {{name: record.get(name) for name in ("id", "uri", "filename", "content_type", "size")}}
    agent = client.agents.create("acme/helper")
    await agent.send_message("Read it.", attachments=[ref])
    async for message in agent.stream_messages():
        if is_message_ready(message["status"]):
            break
    parts = (await agent.get_chat())["chat_messages"][0]["content"]
    tell(uri=record["uri"], files=[part["file"] for part in parts if part["type"] == "file"])

asyncio.run(main())
"""
    with home("Read.", agents=STORED) as there:
        told = only(wheel.run(program, url=there.url))
        assert there.content(told["uri"]) == b"async bytes"
    assert told["files"] == [told["uri"]]


@pytest.mark.requirement("sdk:async")
def test_the_newest_async_agent_has_callbacks_that_work(newest: Sdk) -> None:
    program = f"""{ASYNC}
    tools = [inferencesh.tool("get_weather").param("city", inferencesh.string("City")).build()]
    agent = client.agents.create({{"core_app": {{"ref": "scripted/helper"}}, "tools": tools}})
    async def answer(call):
        await agent.submit_tool_result(call.id, "18")
    for question in ("Weather?", "Again?"):
        seen = []
        await agent.send_message(question, on_message=seen.append, on_tool_call=answer)
        tell(text=text(seen[-1]))

asyncio.run(main())
"""
    with home(call("get_weather", {"city": "Paris"}), "18 degrees.", "Still 18.") as there:
        assert newest.run(program, url=there.url) == [{"text": "18 degrees."}, {"text": "Still 18."}]
