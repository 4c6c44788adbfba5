"""A call is made once: attempts are recorded before they act; where nobody knows what came of one, people are asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from agentkit.errors import StoreError
from agentkit.runtime import journal
from agentkit.runtime.asking import outcomes
from agentkit.runtime.executors import Execution, Produced, ToolDesk, ToolFailure
from agentkit.runtime.faults import Fault
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InterruptRecord, InvocationRecord
from agentkit.runtime.work import Work
from agentkit.testing import call
from agentkit.wire import Decide, RejectTool, ResolveInterrupt, UnknownOutcome
from tests.runtime.bench_executor import BenchExecutor, bench_tool
from tests.runtime.playing import ADA, OWNER, Play, client_tool, invocations, playing
from tests.runtime.serving import BARE, in_process

pytestmark = pytest.mark.heavy

T = TypeVar("T")


def works(*does: str) -> list[Any]:
    """What a model asks for in one message."""
    return [call("work", {"do": do, "n": number}) for number, do in enumerate(does)]


async def made(play: Play) -> dict[str, Any]:
    """The call, once the run is over."""
    (only,) = invocations(await play.idle())
    return only


async def asked(play: Play) -> dict[str, Any]:
    """The question that the run waits for."""
    chat = await play.until(lambda chat: chat["status"] == "awaiting_input" and chat["pending_interrupts"])
    (only,) = chat["pending_interrupts"]
    return dict(only)


def ends(invocation: dict[str, Any]) -> list[str | None]:
    """How its attempts ended."""
    return [each.get("end") for each in invocation["journal"]]


async def read(play: Play, invocation_id: str) -> InvocationRecord:
    """The row, as it is in the store."""
    found: InvocationRecord | None = await store(play).read(lambda tx: tx.get(InvocationRecord, invocation_id))
    assert found is not None
    return found


def store(play: Play) -> Any:
    return play.platform._store  # pyright: ignore[reportPrivateUsage]  # what a dead process leaves is made by hand


async def allow(play: Play, question: dict[str, Any], **body: Any) -> None:
    given = Decide.parse({"arguments_hash": question["arguments_hash"], **body})
    await play.platform.approvals.invoke(OWNER, question["resource_id"], given, by=ADA)


async def quick(call: Execution, desk: ToolDesk) -> Produced:
    return Produced(f"at {call.attempt}")


@asynccontextmanager
async def after_death(folder: Path, *, bench: BenchExecutor | None = None, **tool: Any) -> AsyncGenerator[Play]:
    """A platform that finds a call begun by one that is gone, which did not say what came of it."""
    db, begun = folder / "chats.db", anyio.Event()
    agent = tool.pop("agent", {})

    async def wait(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    dying = BenchExecutor(wait=wait)
    async with playing(works("wait"), db=db, executors=[dying], tools=[bench_tool(**tool)], **agent) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        chat_id, config = play.chat_id, play.config
    async with playing("told", db=db, executors=[bench or BenchExecutor(wait=quick)]) as play:
        play.chat_id, play.config = chat_id, config
        yield play


# -- the journal -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("tool:journal")
async def test_an_attempt_is_recorded_before_it_acts_and_committed_with_its_result() -> None:
    seen: list[InvocationRecord] = []

    async def look(call: Execution, desk: ToolDesk) -> Produced:
        seen.append(await read(play, call.invocation_id))
        return Produced("looked")

    async with playing(works("look"), "ok", executors=[BenchExecutor(look=look)], tools=[bench_tool()]) as play:
        await play.say()
        told = await made(play)
        (before,) = seen[0].journal
        assert (seen[0].attempt, before["attempt"], "end" in before) == (1, 1, False)
        (after,) = told["journal"]
        assert after == {**before, "ended_at": after["ended_at"], "end": "committed"}
        assert after["started_at"] <= after["ended_at"]
        assert (told["attempt"], told["approved_by"]) == (1, None)


@pytest.mark.requirement("tool:journal")
async def test_each_retry_is_recorded_before_it_begins() -> None:
    seen: list[tuple[int, list[str | None]]] = []

    async def flaky(call: Execution, desk: ToolDesk) -> Produced:
        row = await read(play, call.invocation_id)
        seen.append((row.attempt, [each.get("end") for each in row.journal]))
        if call.attempt < 3:
            raise ToolFailure("busy", is_transient=True)
        return Produced(f"at {call.attempt}")

    bench = BenchExecutor(flaky=flaky)
    async with playing(works("flaky"), "ok", executors=[bench], tools=[bench_tool(idempotent=True)]) as play:
        await play.say()
        told = await made(play)
        assert seen == [(1, [None]), (2, ["failed", None]), (3, ["failed", "failed", None])]
        assert (told["result"], told["attempt"], ends(told)) == ("at 3", 3, ["failed", "failed", "committed"])


async def test_a_retry_that_cannot_be_recorded_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(call: Execution, desk: ToolDesk) -> Produced:
        whole, failures = store(play).write, [1]

        async def write(change: Callable[[Writing], Any]) -> Any:
            if failures:
                failures.pop()
                raise StoreError("the disk is full")
            return await whole(change)

        monkeypatch.setattr(store(play), "write", write)
        raise ToolFailure("busy", is_transient=True)

    bench = BenchExecutor(busy=busy)
    async with playing(works("busy"), "ok", executors=[bench], tools=[bench_tool(idempotent=True)]) as play:
        await play.say()
        told = await made(play)
        assert (told["status"], told["result"], ends(told)) == ("failed", "busy", ["failed"])
        assert len(bench.calls) == 1


async def test_a_retry_of_a_call_that_another_process_has_by_now_is_not_begun() -> None:
    failed = anyio.Event()

    async def busy(call: Execution, desk: ToolDesk) -> Produced:
        def take(tx: Writing) -> None:
            row = tx.get(InvocationRecord, call.invocation_id)
            assert row is not None
            tx.update(row.but(engine_id="another", attempt=row.attempt + 1))

        await store(play).write(take)
        failed.set()
        raise ToolFailure("busy", is_transient=True, had_effect=False)

    bench = BenchExecutor(busy=busy)
    async with playing(works("busy"), executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        with anyio.fail_after(5):
            await failed.wait()
        with anyio.fail_after(5):
            while play.platform._executions._in_lane:  # pyright: ignore[reportPrivateUsage]  # until it let go of it
                await anyio.sleep(0.01)
        (row,) = invocations(await play.chat())
        assert (len(bench.calls), row["status"], row["attempt"]) == (1, "in_progress", 2)


async def test_the_journal_of_a_stopped_call_says_so() -> None:
    begun = anyio.Event()

    async def wait(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async with playing(works("wait"), executors=[BenchExecutor(wait=wait)], tools=[bench_tool()]) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        await play.platform.chats.stop(OWNER, str(play.chat_id))
        assert ends(await made(play)) == ["cancelled"]


# -- unknown outcome -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("tool:unknown-outcome")
async def test_a_call_that_a_process_died_in_is_asked_about_and_made_again_only_when_allowed(tmp_path: Path) -> None:
    bench = BenchExecutor(wait=quick)
    async with after_death(tmp_path, bench=bench) as play:
        question = await asked(play)
        assert (question["reason"], question["meta"]["unknown_outcome"]) == ("tool_approval", True)
        assert question["meta"]["why"].startswith("the server stopped while this call was running")
        assert (question["meta"]["attempt"], question["meta"]["tool_name"]) == (1, "work")
        (waiting,) = invocations(await play.chat())
        assert (waiting["status"], ends(waiting), bench.calls) == ("awaiting_approval", ["unknown"], [])
        await allow(play, question, arguments_hash=question["arguments_hash"])
        told = await made(play)
        assert (told["status"], told["result"]) == ("completed", "at 2")
        assert ends(told) == ["unknown", "committed"]
        (again,) = bench.calls
        assert again.idempotency_key.startswith(again.invocation_id)


@pytest.mark.requirement("tool:unknown-outcome")
async def test_denied_it_is_not_made_again_and_the_model_reads_that_nobody_knows(tmp_path: Path) -> None:
    bench = BenchExecutor(wait=quick)
    async with after_death(tmp_path, bench=bench) as play:
        question = await asked(play)
        await play.platform.approvals.reject(OWNER, question["resource_id"], RejectTool(reason="I look first"), by=ADA)
        told = await made(play)
        assert (told["status"], ends(told), bench.calls) == ("cancelled", ["unknown"], [])
        assert told["result"].startswith("unknown outcome: ") and "I look first" in told["result"]
        assert [each.text for each in play.model.requests[-1].messages if each.role == "tool"] == [told["result"]]


async def test_what_a_person_knows_is_the_result_and_nothing_runs(tmp_path: Path) -> None:
    bench = BenchExecutor(wait=quick)
    async with after_death(tmp_path, bench=bench) as play:
        question = await asked(play)
        body = ResolveInterrupt.parse({"decision": "respond", "data": "it was paid at noon"})
        await play.platform.approvals.resolve(OWNER, question["id"], body, by=ADA)
        told = await made(play)
        assert (told["status"], told["result"], bench.calls) == ("completed", "it was paid at noon", [])
        assert ends(told) == ["unknown"]


async def test_the_agents_policy_says_who_is_asked_and_how_long(tmp_path: Path) -> None:
    policy = {"approvers": ["finance"], "timeout": 0.3}
    bench = BenchExecutor(wait=quick)
    async with after_death(tmp_path, bench=bench, agent={"approval": policy}) as play:
        told = await made(play)
        (question,) = await store(play).read(lambda tx: tx.find(InterruptRecord, resource_id=told["id"]))
        assert (question.approvers, question.status.value) == (["finance"], "expired")
        assert told["status"] == "cancelled" and "did not answer in time" in told["result"] and bench.calls == []


async def test_an_idempotent_call_is_made_again_unasked_until_it_took_too_many_processes_with_it(
    tmp_path: Path,
) -> None:
    bench = BenchExecutor(wait=quick)
    async with after_death(tmp_path, bench=bench, idempotent=True) as play:
        told = await made(play)
        assert (told["result"], ends(told)) == ("at 2", ["unknown", "committed"])
    db = tmp_path / "again.db"
    async with playing(works("sweep"), "ok", db=db, tools=[bench_tool(idempotent=True, require_approval=True)]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        chat_id, config = play.chat_id, play.config

        def died_often(tx: Writing) -> None:
            row = tx.get(InvocationRecord, waiting["id"])
            assert row is not None
            journal = [{"attempt": number, "started_at": tx.now, "engine_id": "x"} for number in range(1, 6)]
            ended = [{**each, "ended_at": tx.now, "end": "unknown"} for each in journal[:-1]]
            status = type(row.status).IN_PROGRESS
            tx.update(row.but(status=status, engine_id="gone", attempt=5, journal=[*ended, journal[-1]]))
            for question in tx.find(InterruptRecord, resource_id=row.id):
                tx.delete(question)
            tx.wake(f"tool:{row.id}")

        await store(play).write(died_often)
        play.chat_id, play.config = chat_id, config
        question = (await play.until(lambda chat: [_unknown(each) for each in chat["pending_interrupts"]] == [True]))[
            "pending_interrupts"
        ][0]
        assert "stopped 5 times" in question["meta"]["why"]


def _unknown(question: dict[str, Any]) -> bool:
    return question["meta"].get("unknown_outcome") is True


@pytest.mark.parametrize("fails", [False, True], ids=["result", "failure"])
async def test_a_process_that_was_slow_and_not_gone_settles_the_call_and_the_question(fails: bool) -> None:
    begun, release = anyio.Event(), anyio.Event()

    async def slow(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await release.wait()
        if fails:
            raise ToolFailure("refused")
        return Produced("done after all")

    async with playing(works("slow"), "ok", executors=[BenchExecutor(slow=slow)], tools=[bench_tool()]) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        (row,) = invocations(await play.chat())
        await believe_lost(play, row["id"])
        question = await asked(play)
        release.set()
        told = await made(play)
        assert told["result"] == ("refused" if fails else "done after all")
        assert (told["status"], ends(told)) == (("failed", ["failed"]) if fails else ("completed", ["committed"]))
        assert (await read_question(play, question["id"])).status.value == "cancelled"
        with pytest.raises(Fault, match="was resolved"):
            await allow(play, question)


@asynccontextmanager
async def believed_lost() -> AsyncGenerator[tuple[Play, BenchExecutor, anyio.Event, str]]:
    """A call that is carried out still, though a person was asked about it and allowed it again; the event ends it."""
    begun, release = anyio.Event(), anyio.Event()

    async def late(call: Execution, desk: ToolDesk) -> Produced:
        begun.set()
        await release.wait()
        return Produced("the first, late")

    bench = BenchExecutor(late=late)
    async with playing(works("late"), "ok", executors=[bench], tools=[bench_tool()]) as play:
        await play.say()
        with anyio.fail_after(5):
            await begun.wait()
        (row,) = invocations(await play.chat())
        await believe_lost(play, row["id"])
        await allow(play, await asked(play))
        yield play, bench, release, row["id"]


async def test_a_late_result_counts_though_it_was_allowed_again_as_long_as_that_has_not_begun() -> None:
    async with believed_lost() as (play, bench, release, _):
        release.set()
        told = await made(play)
        assert (told["result"], ends(told), len(bench.calls)) == ("the first, late", ["committed"], 1)


async def test_a_late_result_is_nobodys_once_the_next_attempt_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async with believed_lost() as (play, bench, release, invocation_id):
        executions: Any = play.platform._executions  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(executions, "_is_alive", lambda engine_id: engine_id == "another")

        def claimed(tx: Writing) -> None:
            """As another process does it."""
            row = tx.get(InvocationRecord, invocation_id)
            assert row is not None
            tx.update(row.but(**journal.begin(row, at=tx.now, engine_id="another")))
            tx.clear_wake(f"tool:{row.id}")

        await store(play).write(claimed)
        release.set()
        with anyio.fail_after(5):
            while bench.now or executions._in_lane:
                await anyio.sleep(0.01)
        row = await read(play, invocation_id)
        assert (row.result, row.attempt) == (None, 2)
        assert [each.get("end") for each in row.journal] == ["unknown", None]


async def believe_lost(play: Play, invocation_id: str) -> None:
    """As another process does that sees no sign of life of this one."""

    def change(tx: Writing) -> None:
        row = tx.get(InvocationRecord, invocation_id)
        work = Work.of(tx, row.chat_id) if row else None
        assert row is not None and work is not None
        outcomes.ask(work, row, "no sign of life")

    await store(play).write(change)


async def read_question(play: Play, interrupt_id: str) -> InterruptRecord:
    found: InterruptRecord | None = await store(play).read(lambda tx: tx.get(InterruptRecord, interrupt_id))
    assert found is not None
    return found


# -- client tools ----------------------------------------------------------------------------------------------------


def looks() -> list[Any]:
    return [call("look", {"q": "x"})]


async def report(play: Play, invocation_id: str, attempt: int = 1, note: str | None = None) -> dict[str, Any]:
    body = UnknownOutcome(attempt=attempt, note=note)
    return await play.platform.chats.report_unknown(OWNER, invocation_id, body)


@pytest.mark.requirement("tool:unknown-client")
async def test_a_client_that_cannot_tell_has_a_person_asked_and_gets_the_call_again_when_allowed() -> None:
    async with playing(looks(), "ok", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        assert (waiting["attempt"], ends(waiting)) == (1, ["handed_over"])
        told = await report(play, waiting["id"], note="the power went")
        assert (told["status"], await report(play, waiting["id"])) == ("awaiting_approval", told)
        question = await asked(play)
        assert question["meta"]["why"].endswith(": the power went") and question["meta"]["unknown_outcome"] is True
        await allow(play, question)
        again = await play.waits_for("awaiting_input")
        assert (again["attempt"], ends(again)) == (2, ["unknown", "handed_over"])
        with pytest.raises(Fault, match="attempt 1 is over"):
            await report(play, waiting["id"], attempt=1)
        await play.answer(waiting["id"])
        settled = await made(play)
        assert (settled["result"], ends(settled)) == ("found", ["unknown", "committed"])
        with pytest.raises(Fault, match="is completed: no client has it"):
            await report(play, waiting["id"], attempt=2)


async def test_a_result_that_comes_while_a_person_is_asked_counts_and_the_question_is_withdrawn() -> None:
    async with playing(looks(), "ok", tools=[client_tool()]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_input")
        await report(play, waiting["id"])
        question = await asked(play)
        await play.answer(waiting["id"], "it was in the journal")
        settled = await made(play)
        assert (settled["status"], settled["result"]) == ("completed", "it was in the journal")
        assert ends(settled) == ["committed"]
        assert (await read_question(play, question["id"])).status.value == "cancelled"


async def test_an_approval_is_no_unknown_outcome_and_takes_no_result() -> None:
    async with playing(looks(), "ok", tools=[client_tool(approval=True)]) as play:
        await play.say()
        waiting = await play.waits_for("awaiting_approval")
        with pytest.raises(Fault, match="is awaiting_approval, not awaiting_input"):
            await play.answer(waiting["id"])
        with pytest.raises(Fault, match="no client has it"):
            await report(play, waiting["id"], attempt=0)


async def test_only_calls_of_client_tools_can_be_reported() -> None:
    async with playing(works("hang"), executors=[BenchExecutor()], tools=[bench_tool()]) as play:
        await play.say()
        running = await play.waits_for("in_progress")
        with pytest.raises(Fault, match="is no client tool"):
            await report(play, running["id"])


async def test_the_report_over_http_names_the_attempt_and_a_wrong_one_is_a_conflict() -> None:
    async with in_process(looks(), "ok") as desk:
        body = {"agent_config": {"core_app": {"ref": "scripted/model"}, "tools": [client_tool()]}}
        reply = await desk.post("/agents/run", {**body, "input": {"text": "go"}})
        chat_id = reply["assistant_message"]["chat_id"]
        with anyio.fail_after(10):
            while not (found := invocations(await desk.get(f"/chats/{chat_id}"))):
                await anyio.sleep(0.01)
        path = f"/tools/{found[0]['id']}/unknown"
        refused = await desk.client.post(path, json={"attempt": 7}, headers=BARE)
        assert (refused.status_code, "attempt 7 is over" in refused.text) == (409, True)
        assert (await desk.post(path, {"attempt": 1}))["status"] == "awaiting_approval"
        (question,) = (await desk.get(f"/chats/{chat_id}"))["pending_interrupts"]
        assert question["meta"]["unknown_outcome"] is True
