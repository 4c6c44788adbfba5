"""What is due while nobody answers: told again, open to others, denied; once each, however late it is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime.asking.approvers import Approver
from agentkit.runtime.faults import Fault
from agentkit.runtime.moments import later
from agentkit.runtime.ports import Writing
from agentkit.runtime.records import InterruptRecord
from agentkit.testing import call
from tests.runtime.asking.asked import ASK, LONG_AGO, aged, asking, paying, resolve, row
from tests.runtime.executors.asking import agent_tool, ask, child, parked_below
from tests.runtime.playing import Play, invocations, playing

pytestmark = pytest.mark.heavy  # what it proves has nothing to do with the event loop

POLICY = {
    "approvers": ["finance"],
    "timeout": 86_400,
    "remind": 3600,
    "escalate": 7200,
    "escalate_to": ["managers"],
}
FINANCE, MANAGER = Approver("ann", frozenset({"finance"})), Approver("max", frozenset({"managers"}))


def due() -> list[dict[str, Any]]:
    """A tool with every deadline there is."""
    return [{**paying(), "approval": POLICY}]


async def changed(play: Play, asked: dict[str, Any]) -> dict[str, Any]:
    """The question once it was told again, or is open to others."""

    def is_new(chat: dict[str, Any]) -> bool:
        [now] = chat["pending_interrupts"]
        return (now["reminders"], now["is_escalated"]) != (asked["reminders"], asked["is_escalated"])

    [now] = (await play.until(is_new))["pending_interrupts"]
    return dict(now)


async def wake_up_of(play: Play) -> str | None:
    """When the chat is woken next."""
    wakes = await play.platform._store.read(lambda tx: tx.wakes())
    return next((each.at for each in wakes if each.chat_id == play.chat_id), None)


async def test_a_question_has_its_moments_from_the_policy() -> None:
    async with asking(tools=due()) as (_, asked):
        assert asked["created_at"] < asked["remind_at"] < asked["escalate_at"] < asked["expires_at"]
        assert (asked["approvers"], asked["reminders"], asked["is_escalated"]) == (["finance"], 0, False)


async def test_a_reminder_is_counted_and_the_next_one_set() -> None:
    async with asking(tools=due()) as (play, asked):
        await aged(play, asked, remind_at=asked["created_at"])
        now = await changed(play, asked)
        assert (now["reminders"], now["status"]) == (1, "pending")
        assert now["remind_at"] > asked["remind_at"]  # an hour from now
        assert (await play.chat())["status"] == "awaiting_input"


async def test_reminders_leave_time_for_other_things() -> None:
    async with asking(tools=[{**paying(), "approval": {"remind": 1e-7}}]) as (play, asked):
        now = await changed(play, {**asked, "reminders": 0})
        record = await row(play, asked)
        assert now["reminders"] >= 1
        assert record.remind_at == later(record.updated_at, 1.0)


async def test_reminders_that_were_missed_count_once() -> None:
    async with asking(tools=due()) as (play, asked):
        await aged(play, asked, remind_at=LONG_AGO)
        assert (await changed(play, asked))["reminders"] == 1


async def test_after_escalation_others_may_answer_too() -> None:
    async with asking(tools=due()) as (play, asked):
        with pytest.raises(Fault) as early:
            await resolve(play, asked, MANAGER, decision="allow")
        assert early.value.code == "forbidden"
        await aged(play, asked, escalate_at=asked["created_at"])
        now = await changed(play, asked)
        assert (now["is_escalated"], now["approvers"]) == (True, ["finance", "managers"])
        answer = await resolve(play, asked, MANAGER, decision="allow")
        assert (answer["resolved_by"], answer["is_escalated"]) == ("max", True)


async def test_escalation_counts_before_anybody_noticed_it() -> None:
    async with asking(tools=due()) as (play, asked):

        def age(tx: Writing) -> None:
            tx.update(_record(tx, asked).but(escalate_at=LONG_AGO))  # and nobody is woken

        await play.platform._store.write(age)
        assert (await resolve(play, asked, MANAGER, decision="deny"))["resolved_by"] == "max"


async def test_those_who_could_answer_first_may_still_after_escalation() -> None:
    async with asking(tools=due()) as (play, asked):
        await aged(play, asked, escalate_at=LONG_AGO)
        await changed(play, asked)
        assert (await resolve(play, asked, FINANCE, decision="deny"))["resolved_by"] == "ann"


async def test_everything_that_is_due_at_once_is_a_denial_and_no_more() -> None:
    async with asking("nobody", tools=due()) as (play, asked):
        await aged(play, asked, remind_at=LONG_AGO, escalate_at=LONG_AGO, expires_at=LONG_AGO)
        [made] = invocations(await play.idle())
        assert (made["status"], made["result"]) == ("cancelled", "nobody approved this call in time")
        record = await row(play, asked)
        assert (record.status, record.decision, record.resolved_by) == ("expired", "expired", "expiry")
        assert (record.reminders, record.is_escalated) == (0, False)


async def test_an_expired_question_below_carries_on_the_chat_above() -> None:
    async with parked_below(approval_timeout=3600) as (play, asked):
        assert (await row(play, asked)).chat_path == [play.chat_id, asked["chat_id"]]
        await aged(play, asked, expires_at=LONG_AGO)
        [made] = invocations(await play.idle())
        assert made["result"] == "ok"


async def test_a_reminder_below_is_told_above() -> None:
    below = child(tools=[{**paying(), "approval": {"remind": 3600}}])
    async with asking(step=ask(), tools=[agent_tool(below)], scripts={"model": [ask()], "child": [ASK]}) as (
        play,
        asked,
    ):
        assert asked["chat_id"] != play.chat_id
        await aged(play, asked, remind_at=LONG_AGO)
        now = await changed(play, asked)
        assert (now["id"], now["reminders"]) == (asked["id"], 1)


async def test_what_came_due_while_no_server_ran_is_met_when_one_does(tmp_path: Path) -> None:
    db = tmp_path / "work.db"
    async with asking(tools=due(), db=db) as (play, asked):
        chat_id = play.chat_id

        def age(tx: Writing) -> None:
            record = _record(tx, asked)
            tx.update(record.but(remind_at=LONG_AGO, escalate_at=LONG_AGO))
            tx.wake(record.chat_id, at=LONG_AGO)

        await play.platform._store.write(age)
    async with playing("never", db=db) as again:
        again.chat_id = chat_id
        chat = await again.until(lambda chat: chat["pending_interrupts"][0]["is_escalated"])
        [now] = chat["pending_interrupts"]
        assert (now["id"], now["reminders"], now["approvers"]) == (asked["id"], 1, ["finance", "managers"])


async def test_the_chat_is_woken_at_the_earliest_of_all() -> None:
    async with playing([ASK, call("pay", {"q": "two"})], tools=due()) as play:
        await play.say()
        chat = await play.until(lambda chat: chat["status"] == "awaiting_input")
        reminders = sorted(each["remind_at"] for each in chat["pending_interrupts"])
        assert await wake_up_of(play) == reminders[0]


# -- parts -----------------------------------------------------------------------------------------------------------


def _record(tx: Writing, asked: dict[str, Any]) -> InterruptRecord:
    found = tx.get(InterruptRecord, asked["id"])
    assert found is not None
    return found
