"""Waiting outlives everything: processes that exit or are killed, days, stops and resets, and a second server."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx
import pytest

from agentkit import AgentKitError, AlreadyResolvedError, AsyncInference, async_inference, inference, tool
from agentkit.runtime.asking import notices
from agentkit.runtime.faults import Fault
from agentkit.runtime.fleet.liveness import Liveness
from agentkit.runtime.ports import Commit, ModelRequest, Reading
from agentkit.runtime.records import ChatRecord, InterruptRecord, InvocationRecord, RunRecord
from agentkit.testing import Scripted, call, error, gate
from agentkit.wire import Decide, RejectTool, ResolveInterrupt, SubmitToolResult
from tests.runtime.playing import client_tool
from tests.trust import payments
from tests.trust.clock import Clock
from tests.trust.lives import Lives
from tests.trust.served import Served, paying, served
from tests.trust.truth import AGENT, script
from tests.trust.world import ANN, OWNER, World, client_of, opened, payer

DAY: Final = 86_400.0
MINUTE: Final = 60.0
HEADERS: Final = {"X-API-Version": "2"}


def agent(**more: Any) -> dict[str, Any]:
    """An agent whose client tool asks a person first."""
    return {"core_app": {"ref": "scripted/model"}, "tools": [client_tool("pay", approval=True) | more]}


async def asked(world: World, **more: Any) -> InterruptRecord:
    """The question of a new chat, once its run is parked on it."""
    chat_id = await world.say(agent(**more))
    return await question_of(world, chat_id)


async def question_of(world: World, chat_id: str) -> InterruptRecord:
    """The chat's pending question, once its run is parked."""
    await parked(world, chat_id)
    [found] = await world.find(InterruptRecord, chat_id=chat_id, status="pending")
    return found


async def parked(world: World, chat_id: str) -> None:
    await world.until(lambda tx: tx.find(ChatRecord, id=chat_id, status="awaiting_input"))


async def idle(world: World, chat_id: str) -> None:
    await world.until(lambda tx: tx.find(ChatRecord, id=chat_id, status="idle"))


async def refusal(act: Any) -> Fault:
    with pytest.raises(Fault) as refused:
        await act
    return refused.value


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("approval:any-process")
async def test_a_program_that_exits_while_it_waits_is_resumed_days_later_by_another(tmp_path: Path) -> None:
    db, clock, paid = tmp_path / "agentkit.db", Clock(), list[str]()

    @tool(require_approval=True)
    def pay(q: str) -> str:
        """Pay."""
        paid.append(q)
        return f"paid {q}"

    config = {"core_app": {"ref": "scripted/model"}, "tools": [pay]}
    async with opened(db, clock=clock) as world, client_of(world) as client:
        first = await client.agent(config).stream("ten", when_parked="return").result()
        assert len(first.pending) == 1
    clock.forward(9 * DAY)
    async with opened(db, clock=clock) as world, client_of(world) as client:
        again = client.agents.resume(first.chat_id, tools=[pay])
        [question] = await again.pending()
        await again.approve(question.resource_id, note="at last")
        with pytest.raises(AlreadyResolvedError):
            await again.reject(question.resource_id)
        assert await again.resume().text() == "I read: paid ten"
        [record] = await world.questions(first.chat_id)
    assert paid == ["ten"]
    assert record.resolved_at is not None and record.resolved_at > "2030-01-10"


@pytest.mark.asyncio_only
@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.requirement("run:restart-parked")
@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_a_server_that_is_killed_while_a_run_is_parked_is_not_missed(tmp_path: Path, decision: str) -> None:
    db = tmp_path / "agentkit.db"
    with paying(tmp_path) as service:
        with served(db, service) as server:
            question = await ask_over(server, service.agent())
            server.kill()
        with served(db, service) as server, inference(base_url=server.url) as client:
            waiting = client.interrupts.list().items
            assert [each.id for each in waiting] == [question]
            client.interrupts.resolve(question, decision=decision)
            await idle_over(server, str(waiting[0].chat_id))
    assert len(service.ledger.lines()) == (1 if decision == "allow" else 0)


# -- two servers on one store ------------------------------------------------------------------------------------------


@pytest.mark.asyncio_only
@pytest.mark.heavy
@pytest.mark.timeout(120)
async def test_what_one_server_asks_the_other_may_be_told(tmp_path: Path) -> None:
    db = tmp_path / "agentkit.db"
    with paying(tmp_path) as service, served(db, service) as one, served(db, service) as two:
        question = await ask_over(one, service.agent())
        async with async_inference(base_url=two.url) as client:
            [waiting] = (await client.interrupts.list()).items
            answered = await client.interrupts.approve(question, note="from the other side")
        assert (waiting.id, answered.decision) == (question, "approved")
        await idle_over(one, str(waiting.chat_id))
        await idle_over(two, str(waiting.chat_id))
    assert len(service.ledger.lines()) == 1


@pytest.mark.asyncio_only
@pytest.mark.heavy
@pytest.mark.timeout(120)
async def test_of_answers_at_both_servers_at_once_one_wins_and_the_tool_runs_once(tmp_path: Path) -> None:
    db, rounds = tmp_path / "agentkit.db", 5
    with paying(tmp_path) as service, served(db, service) as one, served(db, service) as two:
        async with async_inference(base_url=one.url) as ours, async_inference(base_url=two.url) as theirs:
            for number in range(rounds):
                question = await ask_over(one, service.agent())
                won, lost = await answered_by_ten(question, ours, theirs)
                assert len(won) == 1
                assert lost == won * 9
                found = await ours.interrupts.get(question)
                await idle_over(one, str(found.chat_id))
                assert len(service.ledger.lines()) == number + 1


@pytest.mark.requirement("approval:expires-denied")
async def test_an_expiry_that_two_servers_come_upon_denies_once(tmp_path: Path) -> None:
    async with two_worlds(tmp_path / "agentkit.db") as (one, two, clock):
        question = await asked(one, approval={"timeout": 10 * MINUTE})
        await both_forward(one, two, question.chat_id, clock, 11 * MINUTE)
        await idle(one, question.chat_id)
        [record] = await two.questions(question.chat_id)
        [made] = await two.calls(question.chat_id)
        assert (record.status.value, record.decision, made.status.value) == ("expired", "expired", "cancelled")
        assert await changes_of(one, record.id) == ["pending", "expired"]
        late = await refusal(two.platform.approvals.invoke(OWNER, made.id, Decide(), by=ANN))
        assert late.code == "already_resolved"


async def test_a_reminder_that_two_servers_come_upon_is_told_once(tmp_path: Path) -> None:
    async with two_worlds(tmp_path / "agentkit.db") as (one, two, clock):
        question = await asked(one, approval={"remind": 10 * MINUTE})
        for count in (1, 2):
            await both_forward(one, two, question.chat_id, clock, 10 * MINUTE)
            await one.until(lambda tx, count=count: tx.find(InterruptRecord)[0].reminders >= count)
            [record] = await two.questions(question.chat_id)
            assert record.reminders == count
        assert await changes_of(one, question.id) == ["pending"] * 3


async def test_a_question_is_escalated_once_although_two_servers_look(tmp_path: Path) -> None:
    policy = {"approvers": ["finance"], "escalate": 10 * MINUTE, "escalate_to": ["boss"]}
    async with two_worlds(tmp_path / "agentkit.db") as (one, two, clock):
        question = await asked(one, approval=policy)
        await both_forward(one, two, question.chat_id, clock, 10 * MINUTE)
        await one.until(lambda tx: tx.find(InterruptRecord)[0].is_escalated)
        assert await changes_of(one, question.id) == ["pending"] * 2


async def test_what_a_server_asked_that_is_gone_is_denied_in_time_by_the_other(tmp_path: Path) -> None:
    db, clock = tmp_path / "agentkit.db", Clock()
    async with opened(db, clock=clock, models=[payer()]) as two:
        async with opened(db, clock=clock) as one:
            question = await asked(one, approval={"timeout": 10 * MINUTE})
        clock.forward(9 * MINUTE)
        await two.platform._recovery.sweep()  # nothing is due yet
        assert [each.status.value for each in await two.questions(question.chat_id)] == ["pending"]
        clock.forward(2 * MINUTE)
        await two.platform._recovery.sweep()
        await idle(two, question.chat_id)
        [record] = await two.questions(question.chat_id)
        assert (record.status.value, record.decision) == ("expired", "expired")


@pytest.mark.asyncio_only
@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.parametrize("dies", ["answered", "asking"])
async def test_what_a_server_was_at_when_it_was_killed_goes_on_at_the_other(tmp_path: Path, dies: str) -> None:
    db = tmp_path / "agentkit.db"
    with paying(tmp_path) as service:
        known = payments.secrets(ledger=service.ledger)
        async with opened(db, allow_hosts=[service.host], secrets=known) as two:
            with served(db, service, dies=dies) as one:
                question = await ask_over(one, service.agent())
                async with async_inference(base_url=one.url) as client:
                    with suppress(AgentKitError):  # it may die before it can say so
                        await client.interrupts.approve(question)
                await anyio.to_thread.run_sync(one.process.wait, 20)
            assert len(service.ledger.lines()) == (1 if dies == "asking" else 0)
            await two.platform._recovery.sweep()
            [record] = await two.find(InterruptRecord, id=question)
            await idle(two, record.chat_id)
            answer = (await two.platform.chats.get(OWNER, record.chat_id))["chat_messages"][-1]
            assert "I read: paid" in answer["content"][0]["text"]
        assert len(service.ledger.lines()) == 1


async def test_a_model_that_one_server_asks_is_not_asked_by_the_other_too(tmp_path: Path) -> None:
    db, clock, hold, idler = tmp_path / "agentkit.db", Clock(), gate(), payer()
    async with opened(db, clock=clock, models=[Scripted([[hold, "at last"]])]) as one:
        chat_id = await one.say(agent())
        await hold.reached.wait()
        async with opened(db, clock=clock, models=[idler]) as two:  # finds the wake-up as it opens
            await two.platform._recovery.sweep()
            await two.platform.advance(chat_id)
        hold.open()
        await idle(one, chat_id)
        assert [each.turns for each in await one.runs(chat_id)] == [1]
    assert idler.requests == []


async def test_a_server_that_closes_while_it_asks_a_model_leaves_that_to_the_other(tmp_path: Path) -> None:
    db, clock, hold = tmp_path / "agentkit.db", Clock(), gate()
    answering = Scripted(["I go on"])
    async with opened(db, clock=clock, models=[answering]) as two:
        async with opened(db, clock=clock, models=[Scripted([[hold, "too late"]])]) as one:
            chat_id = await one.say(agent())
            await hold.reached.wait()
            await two.platform.advance(chat_id)  # asks nobody, and will look again
            assert answering.requests == []
        clock.forward(3)
        await idle(two, chat_id)
        answer = (await two.platform.chats.get(OWNER, chat_id))["chat_messages"][-1]
        assert answer["content"][0]["text"] == "I go on"


async def test_of_servers_that_take_each_other_for_dead_the_first_answer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, clock, first, second = tmp_path / "agentkit.db", Clock(), gate(), gate()
    monkeypatch.setattr(Liveness, "is_alive", lambda self, engine_id: engine_id == self.claim())
    ours, theirs = Scripted([[first, "one"]]), Scripted([[second, "two"]])
    async with opened(db, clock=clock, models=[ours]) as one, opened(db, clock=clock, models=[theirs]) as two:
        chat_id = await one.say(agent())
        await first.reached.wait()
        await two.platform._recovery.sweep()
        await second.reached.wait()
        first.open()
        await idle(one, chat_id)
        second.open()
        answer = (await one.platform.chats.get(OWNER, chat_id))["chat_messages"][-1]
        assert answer["content"][0]["text"] == "one"
    assert [len(each.requests) for each in (ours, theirs)] == [1, 1]


async def test_a_failure_of_a_server_that_was_taken_for_dead_is_not_the_run_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, clock, first, again, second = tmp_path / "agentkit.db", Clock(), gate(), gate(), gate()
    monkeypatch.setattr(Liveness, "is_alive", lambda self, engine_id: engine_id == self.claim())
    failing = Scripted([[first, error("cut")], [again, "never said"]])
    async with (
        opened(db, clock=clock, models=[failing]) as one,
        opened(db, clock=clock, models=[Scripted([[second, "two"]])]) as two,
    ):
        chat_id = await one.say(agent())
        await first.reached.wait()
        await two.platform._recovery.sweep()
        await second.reached.wait()
        first.open()
        await again.reached.wait()
        second.open()
        await idle(two, chat_id)
        [run] = await two.runs(chat_id)
        assert (run.state.value, run.error) == ("completed", None)


async def test_a_stop_at_the_other_server_drops_the_answer_and_the_next_message_is_answered_there(
    tmp_path: Path,
) -> None:
    db, clock, hold = tmp_path / "agentkit.db", Clock(), gate()
    answering = Scripted(["hello"])
    async with opened(db, clock=clock, models=[Scripted([[hold, "unheard"]])]) as one:
        chat_id = await one.say(agent())
        await hold.reached.wait()
        async with opened(db, clock=clock, models=[answering]) as two:
            await two.platform.chats.stop(OWNER, chat_id)
            await two.say(agent(), "and now?", chat_id=chat_id)
            await two.until(lambda tx: len(tx.find(RunRecord, state="completed")) == 1)
            hold.open()
            messages = (await two.platform.chats.get(OWNER, chat_id))["chat_messages"]
            said = [part["text"] for each in messages for part in each["content"]]
    assert said == ["ten", "and now?", "hello"]


# -- sub-agents --------------------------------------------------------------------------------------------------------


async def test_what_a_sub_agent_two_levels_below_asks_is_answered_from_the_top_days_later(tmp_path: Path) -> None:
    db, clock = tmp_path / "agentkit.db", Clock()
    async with opened(db, clock=clock, models=[lines()]) as world:
        chat_id = await world.say(asking(asking(agent())), "ten")
        await parked(world, chat_id)
        [waiting] = (await world.platform.chats.get(OWNER, chat_id))["pending_interrupts"]
        assert waiting["chat_path"][0] == chat_id and len(waiting["chat_path"]) == 3
    clock.forward(30 * DAY)
    async with opened(db, clock=clock, models=[lines()]) as world:
        [again] = (await world.platform.chats.get(OWNER, chat_id))["pending_interrupts"]
        assert again["id"] == waiting["id"]
        body = ResolveInterrupt(decision="respond", data="paid by hand", arguments_hash=again["arguments_hash"])
        await world.platform.approvals.resolve(OWNER, again["id"], body, by=ANN)
        await idle(world, chat_id)
        assert {each.status.value for each in await world.find(ChatRecord)} == {"idle"}
        answer = (await world.platform.chats.get(OWNER, chat_id))["chat_messages"][-1]
        assert "paid by hand" in answer["content"][0]["text"]


async def test_what_a_sub_agent_asks_expires_while_nobody_runs(tmp_path: Path) -> None:
    db, clock = tmp_path / "agentkit.db", Clock()
    async with opened(db, clock=clock, models=[lines()]) as world:
        chat_id = await world.say(asking(asking(agent(approval_timeout=MINUTE))), "ten")
        await parked(world, chat_id)
    clock.forward(DAY)
    async with opened(db, clock=clock, models=[lines()]) as world:
        await idle(world, chat_id)
        [record] = await world.find(InterruptRecord)
        assert record.decision == "expired"


# -- stops and resets --------------------------------------------------------------------------------------------------


async def test_a_run_that_is_stopped_while_parked_takes_its_question_back() -> None:
    async with opened(":memory:") as world:
        question = await asked(world)
        await world.platform.chats.stop(OWNER, question.chat_id)
        [record] = await world.questions(question.chat_id)
        [made] = await world.calls(question.chat_id)
        [run] = await world.runs(question.chat_id)
        assert (record.status.value, made.status.value, run.state.value) == ("cancelled", "cancelled", "canceled")
        late = await refusal(world.platform.approvals.invoke(OWNER, made.id, Decide(), by=ANN))
        assert late.code == "already_resolved"
        second = await world.say(agent(), "twenty", chat_id=question.chat_id)
        await parked(world, second)
        assert [each.status.value for each in await world.questions(second)] == ["cancelled", "pending"]


async def test_after_a_reset_the_old_question_is_there_and_the_new_chat_is_not_touched_by_its_answer() -> None:
    paid = list[str]()

    @tool(require_approval=True)
    def pay(q: str) -> str:
        """Pay."""
        paid.append(q)
        return f"paid {q}"

    config = {"core_app": {"ref": "scripted/model"}, "tools": [pay]}
    async with opened(":memory:") as world, client_of(world) as client:
        payer_ = client.agent(config)
        old = await payer_.stream("ten", when_parked="return").result()
        payer_.reset()
        new = await payer_.stream("twenty", when_parked="return").result()
        assert new.chat_id != old.chat_id
        before = (await world.chat(new.chat_id)).version
        waiting = {each.chat_id: each for each in (await client.interrupts.list()).items}
        await client.interrupts.reject(waiting[old.chat_id].id, "too late")
        await idle(world, old.chat_id)
        assert (await world.chat(new.chat_id)).version == before
        await payer_.approve(new.pending[0].resource_id)
        assert await payer_.resume().text() == "I read: paid twenty"
    assert paid == ["twenty"]


# -- tampering ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("approval:bound-to-arguments")
@pytest.mark.parametrize("way", ["invoke", "resolve"])
async def test_a_call_that_was_changed_in_the_store_while_it_waited_is_not_approved(tmp_path: Path, way: str) -> None:
    async with opened(tmp_path / "agentkit.db") as world:
        question = await asked(world)
        [made] = await world.calls(question.chat_id)
        await world.store.write(lambda tx: tx.update(made.but(arguments={"q": "a million"})))
        approvals = world.platform.approvals
        if way == "invoke":
            refused = await refusal(approvals.invoke(OWNER, made.id, Decide(), by=ANN))
        else:
            refused = await refusal(approvals.resolve(OWNER, question.id, ResolveInterrupt(decision="allow"), by=ANN))
        assert refused.code == "conflict"
        assert "changed" in refused.detail
        [still] = await world.questions(question.chat_id)
        assert still.status == "pending"
        await approvals.reject(OWNER, made.id, RejectTool(reason="not what I saw"), by=ANN)
        await idle(world, question.chat_id)


async def test_a_call_that_was_changed_between_its_approval_and_its_begin_is_not_carried_out(tmp_path: Path) -> None:
    db = tmp_path / "agentkit.db"
    is_approved = False

    def told(commit: Commit) -> None:  # what is durable is told here before anybody acts upon it
        if is_approved:
            with closing(sqlite3.connect(db)) as other, other:
                other.execute("""UPDATE invocation SET body = replace(body, '"ten"', '"a million"')""")

    with paying(tmp_path) as service:
        hosts, told_secrets = [f"127.0.0.1:{service.port}"], payments.secrets(ledger=service.ledger)
        async with opened(db, allow_hosts=hosts, secrets=told_secrets, told=told) as world:
            chat_id = await world.say(service.agent())
            question = await question_of(world, chat_id)
            is_approved = True
            await world.platform.approvals.invoke(OWNER, question.resource_id, Decide(), by=ANN)
            await idle(world, chat_id)
            [made] = await world.calls(chat_id)
    assert service.ledger.lines() == []
    assert made.status == "failed" and "changed in the store" in str(made.result)


def test_no_client_gives_the_result_of_a_call_that_the_server_itself_began_and_lost(tmp_path: Path) -> None:
    lives = Lives(tmp_path, Clock(), script)
    try:
        lives.do(lambda world: world.say(AGENT, "wait:ten"))
        lives.do(lambda world: world.until(lambda tx: lives.ledger))
        lives.restart(in_order=False)
        [made] = lives.do(lambda world: world.until(lambda tx: tx.find(InvocationRecord, status="awaiting_approval")))
        body = SubmitToolResult(result="sneaked in")
        with pytest.raises(Fault, match="is awaiting_approval, not awaiting_input"):
            lives.do(lambda world: world.platform.chats.submit_result(OWNER, made.id, body))
        [question] = lives.do(lambda world: world.find(InterruptRecord))
        assert question.status == "pending" and question.meta["unknown_outcome"]
        assert [each.attempt for each in lives.ledger] == [1]
    finally:
        lives.close()


# -- parts -------------------------------------------------------------------------------------------------------------


def lines() -> Scripted:
    """A model on every level: it hands down what it was asked, and up what it heard."""

    def step(request: ModelRequest) -> Any:
        last, names = request.messages[-1], [each.name for each in request.tools]
        if last.role == "tool":
            return f"I read: {last.text}"
        return call("ask", {"message": last.text}) if "ask" in names else call("pay", {"q": last.text})

    return Scripted([step] * 50)


def asking(below: Mapping[str, Any]) -> dict[str, Any]:
    """An agent whose tool is another one."""
    tools = [{"name": "ask", "type": "agent", "agent": {"config": dict(below)}}]
    return {"core_app": {"ref": "scripted/model"}, "tools": tools}


@asynccontextmanager
async def two_worlds(db: Path) -> AsyncGenerator[tuple[World, World, Clock]]:
    """Two platforms over one file, by one clock."""
    clock = Clock()
    async with opened(db, clock=clock) as one, opened(db, clock=clock, models=[payer()]) as two:
        yield one, two, clock


async def both_forward(one: World, two: World, chat_id: str, clock: Clock, seconds: float) -> None:
    """Time passes, and both servers come to look after the chat at the same moment."""
    clock.forward(seconds)
    async with anyio.create_task_group() as servers:
        for each in (one, two):
            servers.start_soon(each.platform.advance, chat_id)


async def changes_of(world: World, interrupt_id: str) -> list[str]:
    """The statuses of a question as the inbox was told of them, one after the other."""

    def look(tx: Reading) -> list[str]:
        told = [each.data["interrupt"] for each in tx.events(notices.log_of(OWNER), limit=1000)]
        return [each["status"] for each in told if each["id"] == interrupt_id]

    return await world.store.read(look)


async def answered_by_ten(question_id: str, *clients: AsyncInference) -> tuple[list[str], list[str]]:
    """Ten people approve, in turn at these servers and at once: who won, and who the others were told."""
    won, lost = list[str](), list[str]()

    async def answer(client: AsyncInference, name: str) -> None:
        try:
            won.append(str((await client.interrupts.approve(question_id, by=name)).resolved_as))
        except AlreadyResolvedError as error:
            lost.append(str((error.winner or {})["resolved_as"]))

    async with anyio.create_task_group() as people:
        for place in range(10):
            people.start_soon(answer, clients[place % len(clients)], f"person {place}")
    return won, lost


async def ask_over(server: Served, config: Mapping[str, Any]) -> str:
    """The id of the question of a new chat, over HTTP, once its run is parked."""
    async with httpx.AsyncClient(base_url=server.url, headers=HEADERS, timeout=30) as client:
        body = {"agent_config": dict(config), "input": {"text": "ten"}}
        reply = (await client.post("/agents/run", json=body)).raise_for_status().json()
        chat_id = reply["assistant_message"]["chat_id"]
        await until_over(server, chat_id, "awaiting_input")
        chat = (await client.get(f"/chats/{chat_id}")).raise_for_status().json()
        return str(chat["pending_interrupts"][0]["id"])


async def idle_over(server: Served, chat_id: str) -> None:
    """Returns once the chat is idle, seen by this server."""
    await until_over(server, chat_id, "idle")


async def until_over(server: Served, chat_id: str, status: str) -> None:
    async with (
        httpx.AsyncClient(
            base_url=server.url, headers={**HEADERS, "Accept": "text/event-stream"}, timeout=30
        ) as client,
        client.stream("GET", f"/chats/{chat_id}/stream") as stream,
    ):
        with anyio.fail_after(30):
            async for line in stream.aiter_lines():
                if '"chats"' in line or '"status"' in line:
                    chat = await client.get(f"/chats/{chat_id}", headers={"Accept": "application/json"})
                    if chat.json()["status"] == status:
                        return
    raise AssertionError(f"the stream ended before the chat was {status}")
