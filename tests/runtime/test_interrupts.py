"""Approvals on the platform: asked once, answered once, whoever answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InterruptRecord
from agentkit.runtime.store.sqlite import SqliteStore
from agentkit.testing import call
from agentkit.wire import AlwaysAllow, Decide, RejectTool, ResolveInterrupt
from tests.runtime.asking.asked import LONG_AGO
from tests.runtime.playing import ANN, OWNER, Play, client_tool, invocations, playing, texts

ASK = call("pay", {"q": "ten"})
TOOLS = [client_tool("pay", approval=True)]


async def asked(play: Play) -> dict[str, Any]:
    """The interrupt, once the run is parked on it."""
    await play.say()
    chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
    assert chat["active_run"]["state"] == "input_required"
    [interrupt] = chat["pending_interrupts"]
    return interrupt


async def test_a_gated_call_parks_the_run_and_shows_what_is_asked() -> None:
    async with playing(ASK, tools=TOOLS) as play:
        interrupt = await asked(play)
        assert (interrupt["reason"], interrupt["status"]) == ("tool_approval", "pending")
        assert interrupt["meta"]["tool_name"] == "pay"
        assert interrupt["meta"]["arguments"] == {"q": "ten"}
        assert interrupt["arguments_hash"]


async def test_an_approved_client_call_is_handed_to_its_client() -> None:
    async with playing(ASK, "paid", tools=TOOLS) as play:
        interrupt = await asked(play)
        await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], Decide(), by=ANN)
        chat = await play.chat()
        assert (chat["status"], chat["active_run"]["state"]) == ("busy", "working")
        waiting = await play.waits_for("awaiting_input")
        await play.answer(waiting["id"], "ok")
        assert texts(await play.idle())[-1] == "paid"


@pytest.mark.requirement("approval:before-executor")
async def test_a_rejected_call_never_runs_and_the_model_reads_why() -> None:
    async with playing(ASK, "a pity", tools=TOOLS) as play:
        interrupt = await asked(play)
        body = RejectTool(reason="too dear")
        resolved = await play.platform.approvals.reject(OWNER, interrupt["resource_id"], body, by=ANN)
        assert (resolved["resolution"], resolved["resolved_by"], resolved["note"]) == ("deny", "ann", "too dear")
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "cancelled"
        assert "too dear" in play.model.requests[1].messages[-1].text
        with pytest.raises(Fault):
            await play.answer(interrupt["resource_id"])


@pytest.mark.requirement("approval:first-wins")
async def test_the_first_answer_wins_and_the_others_learn_who_won() -> None:
    async with playing(ASK, tools=TOOLS) as play:
        interrupt = await asked(play)
        won: list[str] = []
        lost: list[Fault] = []

        async def answer(name: str) -> None:
            try:
                await play.platform.approvals.resolve(
                    OWNER, interrupt["id"], ResolveInterrupt(decision="allow"), by=Approver(name)
                )
            except Fault as fault:
                lost.append(fault)
            else:
                won.append(name)

        async with anyio.create_task_group() as people:
            for number in range(20):
                people.start_soon(answer, f"person {number}")
        assert len(won) == 1
        assert len(lost) == 19
        assert {fault.code for fault in lost} == {"already_resolved"}
        assert {fault.members["winner"]["resolved_by"] for fault in lost} == set(won)


@pytest.mark.requirement("approval:bound-to-arguments")
async def test_edited_arguments_are_checked_and_replace_what_was_asked() -> None:
    async with playing(ASK, "paid", tools=TOOLS) as play:
        interrupt = await asked(play)
        with pytest.raises(Fault) as refused:
            await play.platform.approvals.invoke(
                OWNER, interrupt["resource_id"], Decide.parse({"arguments": {"q": 5}}), by=ANN
            )
        assert refused.value.code == "validation_error"
        assert refused.value.members["errors"][0]["path"] == "q"
        edited = Decide.parse({"arguments": {"q": "five"}})
        await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], edited, by=ANN)
        waiting = await play.waits_for("awaiting_input")
        assert waiting["function"]["arguments"] == {"q": "five"}


@pytest.mark.requirement("approval:bound-to-arguments")
async def test_an_answer_for_other_arguments_is_refused() -> None:
    async with playing(ASK, tools=TOOLS) as play:
        interrupt = await asked(play)
        stale = Decide.parse({"arguments_hash": "0" * 64})
        with pytest.raises(Fault) as refused:
            await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], stale, by=ANN)
        assert refused.value.code == "conflict"
        shown = Decide.parse({"arguments_hash": interrupt["arguments_hash"]})
        await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], shown, by=ANN)


async def test_always_allow_asks_no_more_in_this_chat() -> None:
    async with playing(ASK, ASK, "done", tools=TOOLS) as play:
        interrupt = await asked(play)
        assert play.chat_id is not None
        await play.platform.approvals.always_allow(
            OWNER, play.chat_id, interrupt["resource_id"], AlwaysAllow(tool_name="pay"), by=ANN
        )
        first = await play.waits_for("awaiting_input")
        await play.answer(first["id"])
        second = await play.waits_for("awaiting_input")
        await play.answer(second["id"])
        chat = await play.idle()
        assert chat["agent_data"]["always_allowed_tools"] == ["pay"]
        assert len(await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])) == 1


@pytest.mark.requirement("approval:expires-denied")
async def test_an_approval_that_nobody_answers_expires_to_denied() -> None:
    async with playing(ASK, "nobody came", tools=[client_tool("pay", approval=True, approval_timeout=0.05)]) as play:
        await asked(play)
        chat = await play.idle()
        assert invocations(chat)[0]["status"] == "cancelled"
        [interrupt] = await play.platform.approvals.run_interrupts(OWNER, chat["active_run"]["id"])
        assert (interrupt["status"], interrupt["resolution"]) == ("expired", "deny")
        with pytest.raises(Fault) as late:
            await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], Decide(), by=ANN)
        assert late.value.code == "already_resolved"


async def test_one_of_two_questions_may_be_answered_while_the_other_waits() -> None:
    async with playing([ASK, call("pay", {"q": "two"})], "done", tools=TOOLS) as play:
        await play.say()
        chat = await play.until(lambda chat: len(chat["pending_interrupts"]) == 2 and chat["status"] != "busy")
        first, second = chat["pending_interrupts"]
        await play.platform.approvals.reject(OWNER, first["resource_id"], RejectTool(), by=ANN)
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        assert [each["id"] for each in chat["pending_interrupts"]] == [second["id"]]
        await play.platform.approvals.reject(OWNER, second["resource_id"], RejectTool(), by=ANN)
        assert texts(await play.idle())[-1] == "done"


@pytest.mark.requirement("approval:any-process", "run:restart-parked")
async def test_a_question_survives_a_restart_and_is_answered_there(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(ASK, tools=TOOLS, db=db) as play:
        interrupt = await asked(play)
        chat_id = play.chat_id
    async with playing("paid", db=db) as play:
        play.chat_id = chat_id
        await play.platform.approvals.invoke(OWNER, interrupt["resource_id"], Decide(), by=ANN)
        waiting = await play.waits_for("awaiting_input")
        await play.answer(waiting["id"])
        assert texts(await play.idle())[-1] == "paid"


async def test_an_expiry_that_passed_while_nobody_ran_denies_at_the_start(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with playing(ASK, tools=[client_tool("pay", approval=True, approval_timeout=3600)], db=db) as play:
        interrupt = await asked(play)
        chat_id = play.chat_id
    store = SqliteStore(db)  # while nobody runs
    await store.open()

    def age(tx: Writing) -> None:
        record = tx.get(InterruptRecord, interrupt["id"])
        assert record is not None and chat_id is not None
        tx.update(record.but(expires_at=LONG_AGO))
        tx.clear_wake(chat_id)
        tx.wake(chat_id, at=LONG_AGO)

    await store.write(age)
    await store.close()
    async with playing("nobody came", db=db) as play:
        play.chat_id = chat_id
        assert texts(await play.idle())[-1] == "nobody came"


async def test_a_call_that_was_never_gated_cannot_be_approved() -> None:
    async with playing(ASK, tools=[client_tool("pay")]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        with pytest.raises(Fault) as refused:
            await play.platform.approvals.invoke(OWNER, waiting["id"], Decide(), by=ANN)
        assert refused.value.code == "invalid_transition"


@pytest.mark.requirement("approval:before-executor")
async def test_a_gated_call_takes_no_result() -> None:
    async with playing(ASK, tools=TOOLS) as play:
        interrupt = await asked(play)
        with pytest.raises(Fault) as refused:
            await play.answer(interrupt["resource_id"])
        assert refused.value.code == "invalid_transition"


async def test_while_a_client_tool_works_the_chat_stays_busy_though_a_question_waits() -> None:
    async with playing([ASK, call("look", {"q": "a"})], "done", tools=[*TOOLS, client_tool("look")]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        chat = await play.chat()
        assert (chat["status"], len(chat["pending_interrupts"])) == ("busy", 1)
        await play.answer(waiting["id"])
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        await play.platform.approvals.reject(OWNER, chat["pending_interrupts"][0]["resource_id"], RejectTool(), by=ANN)
        assert texts(await play.idle())[-1] == "done"
