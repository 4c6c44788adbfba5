"""Every way to answer an approval: what becomes of the call, of the record, and of what the model reads."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.faults import Fault
from agentkit.testing import call
from agentkit.wire import AlwaysAllow, RejectTool, SubmitToolResult
from tests.runtime.asking.asked import LONG_AGO, aged, asking, invoke, lost, paying, question, resolve, row
from tests.runtime.playing import ADA, ANN, EVE, OWNER, Play, invocations, playing, texts


async def refused(code: str, play: Play, asked: dict[str, Any], **body: Any) -> Fault:
    """The fault of an answer that is none, after which the question is as it was."""
    before = await row(play, asked)
    with pytest.raises(Fault) as fault:
        await resolve(play, asked, **body)
    assert fault.value.code == code, fault.value
    assert await row(play, asked) == before
    return fault.value


def last_read(play: Play) -> str:
    """What the model read last."""
    return str(play.model.requests[-1].messages[-1].text)


async def test_an_approval_says_who_gave_it_as_whom_and_what_was_shown() -> None:
    async with asking("paid") as (play, asked):
        assert (asked["decision"], asked["chat_path"], asked["is_escalated"]) == (None, [play.chat_id], False)
        answer = await resolve(play, asked, decision="allow", note="fine", by=" Ann of Finance ")
        assert (answer["decision"], answer["resolution"], answer["status"]) == ("approved", "allow", "resolved")
        assert (answer["resolved_by"], answer["resolved_as"], answer["note"]) == ("ann", "Ann of Finance", "fine")
        waiting = await play.waits_for("awaiting_input")
        assert waiting["approved_by"] == "ann"
        record = await row(play, asked)
        assert (record.owner, record.tool_name, record.edited_from) == (OWNER, "pay", None)


async def test_edited_arguments_are_what_runs_and_the_record_keeps_both() -> None:
    async with asking("paid") as (play, asked):
        answer = await invoke(play, asked, arguments={"q": "five"}, arguments_hash=asked["arguments_hash"])
        assert (answer["decision"], answer["resolution"]) == ("edited", "allow")
        assert answer["edited_from"] == {"q": "ten"} and answer["meta"]["arguments"] == {"q": "ten"}
        assert answer["arguments_hash"] == asked["arguments_hash"]  # what was shown
        waiting = await play.waits_for("awaiting_input")
        assert waiting["function"]["arguments"] == {"q": "five"}


async def test_arguments_that_say_what_was_shown_are_no_edit() -> None:
    async with asking("paid") as (play, asked):
        answer = await invoke(play, asked, arguments={"q": "ten"})
        assert (answer["decision"], answer["edited_from"]) == ("approved", None)


async def test_edited_arguments_that_do_not_fit_change_nothing() -> None:
    async with asking("paid") as (play, asked):
        fault = await refused("validation_error", play, asked, decision="allow", arguments={"q": 5})
        assert fault.members["errors"][0]["path"] == "q"
        assert invocations(await play.chat())[0]["status"] == "awaiting_approval"


async def test_the_model_reads_why_a_call_was_rejected_and_no_note_of_an_approval() -> None:
    async with asking("a pity", call("pay", {"q": "one"}), "thanks") as (play, asked):
        body = RejectTool(reason="too dear", arguments_hash=asked["arguments_hash"], by="Ann")
        answer = await play.platform.approvals.reject(OWNER, asked["resource_id"], body, by=ANN)
        assert (answer["decision"], answer["resolution"], answer["resolved_as"]) == ("rejected", "deny", "Ann")
        await play.idle()
        assert last_read(play) == "the user rejected this call: too dear"
        await play.say("again")
        await invoke(play, await question(play), note="secret remark")
        await play.answer((await play.waits_for("awaiting_input"))["id"], "ok")
        await play.idle()
        assert "secret remark" not in str(play.model.requests)


@pytest.mark.parametrize(
    ("data", "text", "kept"),
    [
        pytest.param("he paid in cash", "he paid in cash", None, id="text"),
        pytest.param({"paid": True}, '{"paid":true}', {"paid": True}, id="object"),
        pytest.param([1, "two"], '[1,"two"]', [1, "two"], id="list"),
        pytest.param(False, "false", False, id="false"),
        pytest.param(0, "0", 0, id="zero"),
    ],
)
async def test_a_response_is_the_result_of_a_call_that_does_not_run(data: Any, text: str, kept: Any) -> None:
    async with asking("so be it") as (play, asked):
        answer = await resolve(play, asked, decision="respond", data=data)
        assert (answer["decision"], answer["resolution"], answer["resolved_data"]) == ("responded", "allow", data)
        chat = await play.idle()
        [invocation] = invocations(chat)
        assert (invocation["status"], invocation["result"], invocation["data"]) == ("completed", text, kept)
        assert (invocation["approved_by"], invocation["attempt"]) == (None, 0)  # it was not run
        assert last_read(play) == text and texts(chat)[-1] == "so be it"
        with pytest.raises(Fault, match="already has a result"):
            await play.answer(invocation["id"], "another")


async def test_a_server_side_call_that_is_responded_to_runs_nothing() -> None:
    http = {
        "name": "pay",
        "type": "http",
        "require_approval": True,
        "http": {"url": "http://127.0.0.1:9/pay", "input_schema": {"type": "object"}},
    }
    async with asking("ok", tools=[http]) as (play, asked):
        await resolve(play, asked, decision="respond", data="done by hand")
        [invocation] = invocations(await play.idle())
        assert (invocation["status"], invocation["result"]) == ("completed", "done by hand")
        assert (invocation["attempt"], invocation["journal"]) == (0, [])  # nobody was there to answer it


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        pytest.param("conflict", {"decision": "allow", "arguments_hash": "0" * 64}, "read it again", id="hash"),
        pytest.param("conflict", {"decision": "deny", "arguments_hash": "0" * 64}, "read it again", id="hash-deny"),
        pytest.param("invalid_request", {"decision": "maybe"}, "allow, deny or respond", id="unknown"),
        pytest.param("invalid_request", {"decision": "respond"}, "needs `data`", id="respond-nothing"),
        pytest.param(
            "invalid_request", {"decision": "allow", "data": "it is 5"}, "with decision respond", id="allow-data"
        ),
        pytest.param("invalid_request", {"decision": "deny", "arguments": {"q": "x"}}, "allowed", id="edit-deny"),
        pytest.param("invalid_request", {"decision": "respond", "data": "x", "arguments": {}}, "allowed", id="edit"),
        pytest.param("invalid_request", {"decision": "deny", "always": {}}, "`always` goes", id="always-deny"),
        pytest.param("invalid_request", {"decision": "respond", "data": 1, "always": {}}, "`always`", id="always-say"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_changes_nothing(code: str, body: dict[str, Any], said: str) -> None:
    async with asking("paid") as (play, asked):
        assert said in str(await refused(code, play, asked, **body))


@pytest.mark.requirement("approval:first-wins")
async def test_one_of_many_different_answers_at_once_wins_and_the_record_is_its() -> None:
    bodies: list[dict[str, Any]] = [
        {"decision": "allow"},
        {"decision": "deny", "note": "no"},
        {"decision": "respond", "data": "by hand"},
        {"decision": "allow", "arguments": {"q": "five"}},
    ] * 8
    async with asking("over") as (play, asked):
        won, lost_to = list[dict[str, Any]](), list[dict[str, Any]]()

        async def answer(number: int, body: dict[str, Any]) -> None:
            try:
                won.append(await resolve(play, asked, Approver(f"person {number}"), **body))
            except Fault as fault:
                assert fault.code == "already_resolved"
                lost_to.append(fault.members["winner"])

        async with anyio.create_task_group() as people:
            for number, body in enumerate(bodies):
                people.start_soon(answer, number, body)
        assert len(won) == 1 and len(lost_to) == len(bodies) - 1
        told = {(each["resolved_by"], each["decision"]) for each in [*won, *lost_to]}
        assert len(told) == 1
        record = await row(play, asked)
        assert told == {(record.resolved_by, record.decision)}


async def test_other_questions_stay_open_when_one_is_answered() -> None:
    step = [call("pay", {"q": "one"}), call("pay", {"q": "two"})]
    async with playing(step, "done", tools=[paying()]) as play:
        await play.say()
        chat = await play.until(lambda chat: len(chat["pending_interrupts"]) == 2)
        first, second = chat["pending_interrupts"]
        await resolve(play, first, decision="respond", data="first")
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        assert [each["id"] for each in chat["pending_interrupts"]] == [second["id"]]
        assert chat["active_run"]["state"] == "input_required"
        await resolve(play, second, decision="deny")
        assert [each["status"] for each in invocations(await play.idle())] == ["completed", "cancelled"]


async def test_a_late_answer_is_told_that_time_decided_before_anybody_noticed() -> None:
    async with playing(call("pay", {"q": "ten"}), "nobody came", tools=[paying(approval_timeout=3600)]) as play:
        await play.say()
        asked = await question(play)
        record = await row(play, asked)
        await play.platform._store.write(lambda tx: tx.update(record.but(expires_at=LONG_AGO)))  # nobody is woken
        with pytest.raises(Fault) as late:
            await resolve(play, asked, decision="allow")
        assert late.value.code == "already_resolved"
        winner = late.value.members["winner"]
        assert (winner["status"], winner["decision"], winner["resolved_by"]) == ("expired", "expired", "expiry")
        await aged(play, asked)  # and now somebody is
        [invocation] = invocations(await play.idle())
        assert (invocation["status"], invocation["result"]) == ("cancelled", "nobody approved this call in time")
        assert (await row(play, asked)).decision == "expired"


async def test_always_allow_over_its_endpoint_takes_an_option() -> None:
    async with asking("paid") as (play, asked):
        approvals, chat_id = play.platform.approvals, str(play.chat_id)
        for option in ({"scope": 5}, "folder", {"scope": "exact", "seconds": "soon"}):
            with pytest.raises(Fault) as wrong:
                await approvals.always_allow(OWNER, chat_id, asked["resource_id"], AlwaysAllow(option=option), by=ANN)
            assert wrong.value.code == "invalid_request"
        with pytest.raises(Fault, match="calls 'pay', not 'spend'") as other:
            await approvals.always_allow(OWNER, chat_id, asked["resource_id"], AlwaysAllow(tool_name="spend"), by=ANN)
        assert other.value.code == "conflict"
        exact = AlwaysAllow(option={"scope": "exact"}, by="Ann")
        answer = await approvals.always_allow(OWNER, chat_id, asked["resource_id"], exact, by=ANN)
        assert (answer["decision"], answer["resolved_as"]) == ("approved", "Ann")
        assert [each["scope"] for each in (await play.chat())["agent_data"]["allow_rules"]] == ["exact"]


async def test_an_invalid_call_bothers_nobody() -> None:
    async with playing(call("pay", {"q": 5}), "sorry", tools=[paying()]) as play:
        await play.say()
        chat = await play.idle()
        assert await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"]) == []
        assert "do not fit the tool's schema" in last_read(play)


# -- calls with an unknown outcome -----------------------------------------------------------------------------------


async def approved_and_lost(play: Play) -> tuple[dict[str, Any], dict[str, Any]]:
    """The question that was answered, and the one about what became of the call."""
    first = await question(play)
    await invoke(play, first, arguments_hash=first["arguments_hash"])
    waiting = await play.waits_for("awaiting_input")
    return first, await lost(play, waiting["id"])


async def test_a_call_that_may_have_run_is_run_again_only_when_a_person_says_so() -> None:
    async with asking("paid") as (play, _):
        first, second = await approved_and_lost(play)
        assert second["id"] != first["id"] and second["reason"] == "tool_approval"
        assert (second["meta"]["unknown_outcome"], second["meta"]["why"]) == (True, "its client is gone")
        await resolve(play, second, EVE, decision="allow", arguments_hash=second["arguments_hash"])
        again = await play.waits_for("awaiting_input")
        assert (again["id"], again["attempt"], again["approved_by"]) == (first["resource_id"], 2, "eve")


@pytest.mark.requirement("approval:bound-to-arguments")
async def test_an_approval_that_is_sent_again_after_the_crash_does_not_run_the_call_twice() -> None:
    async with asking("paid") as (play, _):
        first, second = await approved_and_lost(play)
        with pytest.raises(Fault) as repeated:
            await invoke(play, first, arguments_hash=first["arguments_hash"])
        assert repeated.value.code == "conflict"
        assert (await row(play, second)).status == "pending"


async def test_a_call_that_may_have_run_can_be_left_or_answered() -> None:
    async with asking("I see") as (play, _):
        _, second = await approved_and_lost(play)
        await resolve(play, second, decision="deny", note="it arrived")
        [invocation] = invocations(await play.idle())
        assert invocation["status"] == "cancelled" and invocation["attempt"] == 1
        assert "unknown outcome" in last_read(play) and "it arrived" in last_read(play)
    async with asking("I see") as (play, _):
        _, second = await approved_and_lost(play)
        await resolve(play, second, decision="respond", data="it was paid")
        [invocation] = invocations(await play.idle())
        assert (invocation["status"], invocation["result"], invocation["attempt"]) == ("completed", "it was paid", 1)


async def test_no_rule_answers_for_a_call_that_may_have_run() -> None:
    async with asking("paid") as (play, asked):
        await invoke(play, asked, always={"scope": "tool"})
        second = await lost(play, (await play.waits_for("awaiting_input"))["id"])
        assert second["meta"]["unknown_outcome"]  # although every call of the tool is allowed
        assert "asked every time" in str(
            await refused("invalid_request", play, second, decision="allow", always={"scope": "exact"})
        )
        options = await play.platform.approvals.always_allow_options(OWNER, str(play.chat_id), second["resource_id"])
        assert options == []


# -- other questions through the same record -------------------------------------------------------------------------


async def test_a_widget_is_answered_once_through_the_same_record() -> None:
    sure = {"type": "ui", "title": "Sure?", "actions": [{"label": "Go", "action": {"type": "go"}}], "interactive": True}
    async with playing(call("widget", sure), "thanks") as play:
        await play.say()
        chat = await play.until(lambda chat: chat["pending_interrupts"])
        [asked] = chat["pending_interrupts"]
        answer = await resolve(play, asked, ADA, decision="deny", note="later")
        assert (answer["decision"], answer["resolution"], answer["resolved_by"]) == ("rejected", "deny", "ada")
        with pytest.raises(Fault, match="was resolved by ada"):
            await resolve(play, asked, decision="allow", data={"action": {"type": "go"}})


async def test_a_widget_is_not_answered_with_the_calls_result_once_time_is_over() -> None:
    sure = {"type": "ui", "title": "Sure?", "actions": [{"label": "Go", "action": {"type": "go"}}], "interactive": True}
    async with playing(call("widget", sure), "nobody came") as play:
        await play.say()
        asked = await question(play)
        record = await row(play, asked)
        await play.platform._store.write(lambda tx: tx.update(record.but(expires_at=LONG_AGO)))  # nobody is woken
        said = SubmitToolResult.parse({"action": {"type": "go"}})
        with pytest.raises(Fault, match="expired at") as late:
            await play.platform.chats.submit_result(OWNER, asked["resource_id"], said)
        assert late.value.code == "invalid_transition"
        await aged(play, asked)  # and now somebody is
        [invocation] = invocations(await play.idle())
        assert (invocation["status"], (await row(play, asked)).decision) == ("failed", "expired")
