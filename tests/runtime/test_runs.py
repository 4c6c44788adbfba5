"""Runs from their message to their end, on a real store with a scripted model."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.answers import Limits
from agentkit.runtime.faults import Fault
from agentkit.testing import call, error, finish, gate
from tests.runtime.playing import EVE, OWNER, REPORT, client_tool, invocations, playing, texts


async def test_a_text_answer_ends_the_run_and_leaves_the_chat_idle() -> None:
    async with playing("Hello.") as play:
        reply = await play.say("Hi")
        assert reply["user_message"]["status"] == "ready"
        assert reply["assistant_message"]["status"] == "pending"
        chat = await play.idle()
        assert texts(chat) == ["Hello."]
        assert chat["active_run"]["state"] == "completed"
        assert [message["order"] for message in chat["chat_messages"]] == [0, 1]


async def test_the_chat_is_busy_before_the_post_is_answered() -> None:
    stop = gate()
    async with playing([stop, "Hello."]) as play:
        await play.say()
        chat = await play.chat()
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        stop.open()
        await play.idle()


async def test_a_model_error_fails_the_run_and_says_why_in_the_message() -> None:
    async with playing(error("the provider is down")) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "failed"
        assert chat["active_run"]["error"] == "the provider is down"
        last = chat["chat_messages"][-1]
        assert last["status"] == "failed"
        assert last["content"][-1]["error"] == "the provider is down"


async def test_a_message_to_a_busy_chat_waits_its_turn() -> None:
    stop = gate()
    async with playing([stop, "one"], "two", "three") as play:
        await play.say("1")
        second = await play.say("2")
        third = await play.say("3")
        assert [second["user_message"]["status"], third["user_message"]["status"]] == ["queued", "queued"]
        stop.open()
        chat = await play.until(lambda chat: texts(chat) == ["one", "two", "three"] and chat["status"] == "idle")
        assert texts(chat, "user") == ["1", "2", "3"]
        assert [message["order"] for message in chat["chat_messages"]] == list(range(6))


async def test_a_message_may_be_refused_by_a_busy_chat() -> None:
    stop = gate()
    async with playing([stop, "one"]) as play:
        await play.say()
        with pytest.raises(Fault) as refused:
            await play.say("2", on_busy="reject")
        assert refused.value.code == "chat_busy"
        stop.open()
        assert texts(await play.idle()) == ["one"]


async def test_a_message_may_interrupt_a_busy_chat() -> None:
    stop = gate()
    async with playing([stop, "never"], "two") as play:
        await play.say("1")
        await stop.reached.wait()
        await play.say("2", on_busy="interrupt")
        chat = await play.until(lambda chat: texts(chat)[-1:] == ["two"] and chat["status"] == "idle")
        assert [message["status"] for message in chat["chat_messages"]] == ["ready", "cancelled", "ready", "ready"]


async def test_stop_closes_everything_that_is_open_and_what_waits_behind_it() -> None:
    async with playing([call("look", {"q": "a"}), call("ask", {"q": "b"})], tools=[
        client_tool("look"), client_tool("ask", approval=True)
    ]) as play:  # fmt: skip
        await play.say()
        await play.waits_for("awaiting_approval")
        await play.say("behind")
        assert play.chat_id is not None
        await play.platform.chats.stop(OWNER, play.chat_id)
        chat = await play.chat()
        assert chat["status"] == "idle"
        assert chat["active_run"]["state"] == "canceled"
        assert {each["status"] for each in invocations(chat)} == {"cancelled"}
        assert chat["pending_interrupts"] == []
        assert {message["status"] for message in chat["chat_messages"][2:]} == {"cancelled"}
        await play.platform.chats.stop(OWNER, play.chat_id)  # nothing to stop: no error, no change
        assert (await play.chat())["updated_at"] == chat["updated_at"]


async def test_stop_ends_a_model_that_hangs_and_its_answer_is_dropped() -> None:
    stop = gate()
    async with playing([stop, "too late"], "next") as play:
        await play.say()
        await stop.reached.wait()
        assert play.chat_id is not None
        await play.platform.chats.stop(OWNER, play.chat_id)
        stop.open()
        await play.say("again")
        chat = await play.until(lambda chat: chat["active_run"]["state"] == "completed")
        assert texts(chat) == ["", "next"]


async def test_a_client_tool_waits_while_the_chat_stays_busy_and_the_status_says_so() -> None:
    async with playing(call("look", {"q": "a"}), "done", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        chat = await play.chat()
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        assert (await play.platform.chats.status(OWNER, chat["id"]))["status"] == "awaiting_input"
        await play.answer(waiting["id"], "found it")
        chat = await play.idle()
        assert texts(chat) == ["", "done"]
        assert texts(chat, "tool") == ["found it"]
        assert play.model.requests[1].messages[-1].text == "found it"


async def test_the_same_answer_twice_is_one_and_another_one_is_refused() -> None:
    async with playing(call("look", {"q": "a"}), "done", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await play.answer(waiting["id"], "first")
        await play.answer(waiting["id"], "first")
        with pytest.raises(Fault) as refused:
            await play.answer(waiting["id"], "second")
        assert refused.value.code == "already_submitted"
        assert invocations(await play.idle())[0]["result"] == "first"


async def test_an_unknown_tool_and_wrong_arguments_go_back_to_the_model() -> None:
    async with playing(
        [call("lok", {"q": "a"}), call("look", {"q": 1}), call("look", raw="{oops"), call("look", raw="[1]")],
        "sorry",
        tools=[client_tool()],
    ) as play:
        await play.say()
        chat = await play.idle()
        unknown, wrong, broken, no_object = (each["result"] for each in invocations(chat))
        assert "no tool 'lok'" in unknown and "look" in unknown
        assert "q: 1 is not of type 'string'" in wrong
        assert "not JSON" in broken
        assert "object" in no_object
        assert {each["status"] for each in invocations(chat)} == {"failed"}
        assert texts(chat)[-1] == "sorry"


async def test_nobody_is_asked_about_a_call_whose_arguments_do_not_fit() -> None:
    async with playing(call("look", {}), "sorry", tools=[client_tool(approval=True)]) as play:
        await play.say()
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "failed"
        assert await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"]) == []


async def test_two_calls_with_the_same_id_get_a_result_each() -> None:
    async with playing(
        [call("look", {"q": "a"}, id="c"), call("look", {"q": "b"}, id="c")], "done", tools=[client_tool()]
    ) as play:
        await play.say()
        await play.until(lambda chat: len(invocations(chat)) == 2)
        for each in invocations(await play.chat()):
            await play.answer(each["id"], each["function"]["arguments"]["q"])
        await play.idle()
        answers = [message for message in play.model.requests[1].messages if message.role == "tool"]
        assert [answer.text for answer in answers] == ["a", "b"]
        assert len({answer.call_id for answer in answers}) == 2


async def test_finish_hands_in_the_output_and_ends_the_run() -> None:
    async with playing(finish({"title": "T", "pages": 3}), output_schema=REPORT) as play:
        await play.say()
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 3}
        assert chat["active_run"]["output"] == {"title": "T", "pages": 3}


async def test_output_is_cleared_when_the_next_run_begins() -> None:
    async with playing(finish({"title": "T", "pages": 3}), "no", "no", output_schema=REPORT) as play:
        await play.say()
        await play.idle()
        await play.say("again")
        chat = await play.until(lambda chat: texts(chat)[-2:] == ["no", "no"] and chat["status"] == "idle")
        assert chat["output"] is None


async def test_a_result_that_misses_the_schema_goes_back_to_the_model_with_paths() -> None:
    async with playing(
        finish({"title": 1, "pages": 0}), finish({"title": "T", "pages": 2}), output_schema=REPORT
    ) as play:
        await play.say()
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 2}
        first = invocations(chat)[0]
        assert first["status"] == "failed"
        assert "title: 1 is not of type 'string'" in first["result"]
        assert "pages: 0 is less than the minimum of 1" in first["result"]


async def test_too_many_wrong_results_fail_the_run() -> None:
    wrong = finish({"title": "T"})
    async with playing(wrong, wrong, wrong, output_schema=REPORT) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "failed"
        assert "3 attempts" in chat["active_run"]["error"]
        assert "pages" in chat["active_run"]["error"]
        assert chat["output"] is None


async def test_an_agent_that_forgets_to_finish_is_reminded_once() -> None:
    async with playing("I am done.", finish({"title": "T", "pages": 1}), output_schema=REPORT) as play:
        await play.say()
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 1}
        assert "finish" in play.model.requests[1].messages[-1].text


async def test_an_agent_that_never_finishes_completes_without_an_output() -> None:
    async with playing("I am done.", "Really.", output_schema=REPORT) as play:
        await play.say()
        chat = await play.idle()
        assert (chat["active_run"]["state"], chat["output"]) == ("completed", None)


async def test_finish_waits_for_its_siblings() -> None:
    async with playing(
        [finish({"title": "T", "pages": 1}), call("look", {"q": "a"})], tools=[client_tool()], output_schema=REPORT
    ) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert (await play.chat())["output"] is None
        await play.answer(waiting["id"])
        chat = await play.idle()
        assert chat["output"] == {"title": "T", "pages": 1}
        assert {each["status"] for each in invocations(chat)} == {"completed"}


@pytest.mark.parametrize(
    ("internal_tools", "output_schema", "offered"),
    [
        (None, None, False),
        (None, REPORT, True),
        ({"finish": True}, None, True),
        ({"finish": False}, REPORT, False),
        ({"memory": True}, REPORT, True),
    ],
)
async def test_finish_is_offered_where_it_is_wanted(internal_tools: Any, output_schema: Any, offered: bool) -> None:
    async with playing("a", "b", internal_tools=internal_tools, output_schema=output_schema) as play:
        await play.say()
        await play.idle()
        names = {tool.name for tool in play.model.requests[0].tools}
        assert ("finish" in names) is offered
        assert {"plan_create", "memory_set"} <= names


async def test_plan_and_memory_are_kept_in_the_chat() -> None:
    async with playing(
        [call("plan_create", {"steps": ["read", {"title": "write", "description": "a page"}]}),
         call("memory_set", {"key": "color", "value": "red"}),
         call("memory_set", {"key": "size", "value": 3})],
        [call("plan_update", {"index": 0, "status": "completed"}),
         call("plan_update", {"index": 7, "status": "failed"}),
         call("memory_get", {"key": "color"}), call("memory_get", {"key": "shape"}), call("memory_getall")],
        [call("plan_update", {"index": 1, "status": "failed", "notes": "no ink"}), call("plan_load")],
        "done",
    ) as play:  # fmt: skip
        await play.say()
        chat = await play.idle()
        data = chat["agent_data"]
        assert [(step["title"], step["status"]) for step in data["plan_steps"]] == [
            ("read", "completed"),
            ("write", "cancelled"),
        ]
        assert data["memory"] == {"color": "red", "size": 3}
        results = {(each["function"]["name"], each["status"]): each["result"] for each in invocations(chat)}
        assert results["memory_get", "completed"] == "red"
        assert "'color'" in results["memory_get", "failed"]
        assert "no step 7" in results["plan_update", "failed"]
        assert "no ink" in results["plan_load", "completed"]


async def test_internal_tools_can_be_switched_off_one_by_one() -> None:
    async with playing("a", internal_tools={"plan": False}) as play:
        await play.say()
        await play.idle()
        names = {tool.name for tool in play.model.requests[0].tools}
        assert "memory_set" in names and "plan_create" not in names


async def test_a_run_that_asks_the_model_too_often_fails() -> None:
    again = call("memory_getall")
    async with playing(again, again, again, limits=Limits(turns=2)) as play:
        await play.say()
        chat = await play.idle()
        assert chat["active_run"]["state"] == "failed"
        assert "limit" in chat["active_run"]["error"]
        assert len(play.model.requests) == 2


async def test_usage_adds_up_over_the_run() -> None:
    async with playing(call("memory_getall"), "done") as play:
        await play.say()
        usage = (await play.idle())["active_run"]["metadata"]["usage"]
        assert usage["total_tokens"] > 0


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"input": {"text": ""}}, "invalid_request", "input.text"),
        ({"agent_config": None}, "invalid_request", "agent"),
        ({"agent": "a/b"}, "invalid_request", "not both"),
        ({"chat_id": "nope"}, "not_found", "nope"),
        ({"agent_config": {"core_app": {"ref": "nobody/here"}}}, "not_found", "nobody/here"),
        ({"agent_config": {"core_app": {"ref": "openai/gpt-5-mini"}}}, "requirements_not_met", "OPENAI_API_KEY"),
        ({"agent_config": {"tools": [client_tool(), client_tool()]}}, "invalid_request", "two tools"),
        ({"agent_config": {"tools": [client_tool("finish")]}}, "invalid_request", "finish"),
        ({"agent_config": {"tools": [{"name": "x", "type": "harness"}]}}, "not_configured", "'harness'"),
        ({"agent_config": {"output_schema": {"type": "objekt"}}}, "validation_error", "output_schema"),
        ({"on_busy": "perhaps"}, "invalid_request", "perhaps"),
    ],
)
async def test_a_message_that_cannot_run_is_refused_with_the_reason(change: Any, code: str, word: str) -> None:
    async with playing("never") as play:
        with pytest.raises(Fault) as refused:
            await play.say("hi", **change)
        assert refused.value.code == code
        assert word in refused.value.detail
        assert play.model.requests == []


async def test_context_variables_have_defaults_and_required_ones_are_asked_for() -> None:
    declared = [{"name": "tenant", "required": True}, {"name": "lang", "default": "en"}]
    async with playing("hi", context=declared) as play:
        with pytest.raises(Fault) as refused:
            await play.say()
        assert "tenant" in refused.value.detail
        await play.say(context={"tenant": "acme"})
        assert (await play.idle())["context"] == {"tenant": "acme", "lang": "en"}


async def test_another_owner_sees_nothing() -> None:
    async with playing(call("look", {"q": "a"}), tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert play.chat_id is not None
        for ask in (
            play.platform.chats.get("eve", play.chat_id),
            play.platform.chats.status("eve", play.chat_id),
            play.platform.chats.watch("eve", play.chat_id),
            play.platform.chats.stop("eve", play.chat_id),
            play.platform.chats.delete("eve", play.chat_id),
            play.platform.approvals.invoke("eve", waiting["id"], _decide(), by=EVE),
        ):
            with pytest.raises(Fault) as refused:
                await ask
            assert refused.value.code == "not_found"


def _decide() -> Any:
    from agentkit.wire import Decide

    return Decide()


async def test_a_deleted_chat_is_gone_with_everything_in_it() -> None:
    async with playing(call("look", {"q": "a"}), "x", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert play.chat_id is not None
        await play.platform.chats.delete(OWNER, play.chat_id)
        with pytest.raises(Fault):
            await play.chat()
        with pytest.raises(Fault):
            await play.answer(waiting["id"])


async def test_a_short_id_names_a_chat_as_well() -> None:
    async with playing("hi") as play:
        await play.say()
        chat = await play.idle()
        assert (await play.platform.chats.get(OWNER, chat["short_id"]))["id"] == chat["id"]


async def test_a_restart_goes_on_where_the_run_was(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(call("look", {"q": "a"}), tools=[client_tool()], db=db) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        chat_id = play.chat_id
    async with playing("after the restart", db=db) as play:
        play.chat_id = chat_id
        await play.answer(waiting["id"])
        chat = await play.idle()
        assert texts(chat) == ["", "after the restart"]


async def test_a_restart_in_the_middle_of_an_answer_asks_again(tmp_path: Path) -> None:
    db, stop = tmp_path / "a.db", gate()
    async with playing(["half a sen", stop], db=db) as play:
        await play.say()
        await stop.reached.wait()
        chat_id = play.chat_id
    async with playing("a whole sentence", db=db) as play:
        play.chat_id = chat_id
        chat = await play.idle()
        assert texts(chat) == ["a whole sentence"]


async def test_many_chats_run_side_by_side() -> None:
    async with playing(*[f"answer {number}" for number in range(30)]) as play:
        ids: list[str] = []
        for _ in range(30):
            play.chat_id = None
            await play.say()
            ids.append(str(play.chat_id))
        said: set[str] = set()
        for play.chat_id in ids:
            said.update(texts(await play.idle()))
        assert said == {f"answer {number}" for number in range(30)}


async def test_the_log_of_a_chat_is_gap_free_and_ends_with_the_idle_chat() -> None:
    async with playing(call("memory_getall"), "done") as play:
        await play.say()
        await play.idle()
        assert play.chat_id is not None
        seen: list[Any] = []
        with anyio.fail_after(5):
            async with aclosing(await play.platform.chats.watch(OWNER, play.chat_id, after=0)) as frames:
                async for frame in frames:
                    if frame.name is not None:
                        seen.append(frame)
                    if frame.name == "chats" and frame.data["status"] == "idle":
                        break
        assert [frame.id for frame in seen] == list(range(1, len(seen) + 1))
        assert [frame.name for frame in seen[:4]] == ["chats", "agent_runs", "chat_messages", "chat_messages"]
        assert [frame.name for frame in seen[-3:]] == ["chat_messages", "agent_runs", "chats"]


async def test_what_was_said_before_the_model_failed_is_kept() -> None:
    async with playing(["It is eigh", error("cut off")]) as play:
        await play.say()
        chat = await play.idle()
        assert texts(chat) == ["It is eigh"]
        assert chat["chat_messages"][-1]["content"][-1]["error"] == "cut off"


@pytest.mark.parametrize(
    "more",
    [{"skills": [{"name": "s", "skill_id": "k1"}]}, {"hooks": [{"event": "agent.pre_compact", "type": "gate"}]}],
)
async def test_what_this_runtime_would_leave_out_is_refused(more: Any) -> None:
    async with playing("never") as play:
        with pytest.raises(Fault) as refused:
            await play.say("hi", agent_config={**play.config, **more})
        assert refused.value.code == "not_configured"


async def test_a_tool_name_that_no_model_could_call_is_refused() -> None:
    async with playing("never") as play:
        with pytest.raises(Fault, match="tool name"):
            await play.say("hi", agent_config={**play.config, "tools": [client_tool("two words")]})


async def test_the_chat_changes_its_time_whenever_it_is_told_anew() -> None:
    async with playing(call("look", {"q": "a"}), tools=[client_tool(approval=True)]) as play:
        await play.say()
        await play.waits_for("awaiting_approval")
        assert play.chat_id is not None
        told: list[tuple[str, int]] = []
        with anyio.fail_after(5):
            async with aclosing(await play.platform.chats.watch(OWNER, play.chat_id, after=0)) as frames:
                async for frame in frames:
                    if frame.name == "chats":
                        told.append((frame.data["updated_at"], len(frame.data["pending_interrupts"])))
                    if frame.name == "chats" and frame.data["status"] == "awaiting_input":
                        break
        assert len({at for at, pending in told}) == len(told)
        assert [at for at, pending in told] == sorted(at for at, pending in told)
