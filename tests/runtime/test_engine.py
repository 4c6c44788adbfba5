"""The local engine: every wake-up leads to an advance, one at a time per chat, whatever fails or is cancelled."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentkit.errors import UsageError
from agentkit.runtime.engine.local import LocalEngine
from agentkit.runtime.ports import Commit, Wake
from agentkit.runtime.store.sqlite import SqliteStore

SECONDS = 5  # how long a test waits for what must happen


class Timeline:
    """A clock and its sleep: time passes when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self._sleepers: list[tuple[datetime, anyio.Event]] = []

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self._sleepers.append((self.now + timedelta(seconds=seconds), event))
        await event.wait()

    def at(self, seconds: float) -> str:
        """So many seconds from now, as a wake-up says it."""
        return (self.now + timedelta(seconds=seconds)).isoformat()

    def set_forward(self, seconds: float) -> None:
        """Somebody corrects the clock: sleepers sleep as long as before."""
        self.now += timedelta(seconds=seconds)
        self._sleepers = [(due + timedelta(seconds=seconds), event) for due, event in self._sleepers]

    async def pass_by(self, seconds: float, *, step: float = 0.25) -> None:
        """Lets time pass, and everything happen that is due on the way."""
        until = self.now + timedelta(seconds=seconds)
        while self.now < until:
            self.now = min(until, self.now + timedelta(seconds=step))
            for due, event in self._sleepers:
                if due <= self.now:
                    event.set()
            self._sleepers = [each for each in self._sleepers if each[0] > self.now]
            await anyio.wait_all_tasks_blocked()


class Chats:
    """What is advanced: every chat by what a test gave it to do, or by doing nothing."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.work: dict[str, Callable[[], Awaitable[None]]] = {}
        self.running: Counter[str] = Counter()
        self.most_at_once = 0

    async def advance(self, chat_id: str) -> None:
        self.began.append(chat_id)
        self.running[chat_id] += 1
        assert self.running[chat_id] == 1, f"{chat_id} is advanced twice at a time"
        self.most_at_once = max(self.most_at_once, self.running.total())
        try:
            await self.work.get(chat_id, checkpoint)()
            self.ended.append(chat_id)
        finally:
            self.running[chat_id] -= 1


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def engine(timeline: Timeline) -> LocalEngine:
    return LocalEngine(clock=timeline.clock, sleep=timeline.sleep)


@pytest.fixture
def chats() -> Chats:
    return Chats()


@asynccontextmanager
async def running(engine: LocalEngine, chats: Chats) -> AsyncIterator[None]:
    with anyio.fail_after(SECONDS):
        async with engine.run(chats.advance):
            await anyio.wait_all_tasks_blocked()
            yield


def wake(engine: LocalEngine, *chat_ids: str, at: str | None = None) -> None:
    for chat_id in chat_ids:
        engine.wake(Wake(chat_id, at))


# -- wake-ups ------------------------------------------------------------------------------------------------------


async def test_every_chat_that_is_woken_is_advanced_once(engine: LocalEngine, chats: Chats) -> None:
    async with running(engine, chats):
        wake(engine, "a", "b", "a")
        await anyio.wait_all_tasks_blocked()
        assert sorted(chats.ended) == ["a", "b"]
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert sorted(chats.ended) == ["a", "a", "b"]


async def test_wake_ups_from_before_it_runs_are_kept(engine: LocalEngine, chats: Chats, timeline: Timeline) -> None:
    wake(engine, "a", "a")
    wake(engine, "b", at=timeline.at(2))
    async with running(engine, chats):
        assert chats.ended == ["a"]
        await timeline.pass_by(2)
        assert chats.ended == ["a", "b"]


async def test_wake_ups_during_an_advance_lead_to_exactly_one_more(engine: LocalEngine, chats: Chats) -> None:
    may_end = anyio.Event()
    chats.work["a"] = may_end.wait
    async with running(engine, chats):
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        wake(engine, "a", "a", "a")
        await anyio.wait_all_tasks_blocked()
        assert chats.began == ["a"]
        may_end.set()
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a", "a"]


async def test_a_chat_that_waits_does_not_hold_up_the_others(engine: LocalEngine, chats: Chats) -> None:
    chats.work["slow"] = anyio.sleep_forever
    async with running(engine, chats):
        wake(engine, "slow", "quick")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["quick"]


async def test_after_any_storm_each_chat_was_advanced_after_its_last_wake_up(engine: LocalEngine, chats: Chats) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    facts: Counter[str] = Counter()  # what there is to see
    seen: Counter[str] = Counter()  # what an advance saw when it began

    def work(chat_id: str) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            seen[chat_id] = facts[chat_id]
            for _ in range(chance.randrange(4)):
                await checkpoint()
            if chance.random() < 0.1:
                engine.cancel(chat_id)

        return look

    chats.work = {chat_id: work(chat_id) for chat_id in "abcde"}
    async with running(engine, chats):
        for _ in range(1000):
            chat_id = chance.choice("abcde")
            facts[chat_id] += 1
            wake(engine, chat_id)
            if chance.random() < 0.5:
                await checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert seen == facts


async def test_the_commits_of_a_store_wake_its_chats(chats: Chats) -> None:
    store, engine = SqliteStore(), LocalEngine()

    def told(commit: Commit) -> None:
        for each in commit.wakes:
            engine.wake(each)

    async def consume() -> None:
        await store.write(lambda tx: tx.clear_wake("a"))
        is_done.set()

    is_done = anyio.Event()
    chats.work["a"] = consume
    await store.open()
    store.on_commit(told)
    try:
        async with running(engine, chats):
            await store.write(lambda tx: tx.wake("a"))
            await is_done.wait()
            assert await store.read(lambda tx: tx.wakes()) == []
            assert chats.began == ["a"]
    finally:
        await store.close()


# -- delayed wake-ups ----------------------------------------------------------------------------------------------


async def test_a_delayed_wake_up_comes_when_it_is_due_and_not_before(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    async with running(engine, chats):
        wake(engine, "b", at=timeline.at(90))
        wake(engine, "a", at=timeline.at(3))
        await timeline.pass_by(2.75)
        assert chats.ended == []
        await timeline.pass_by(0.25)
        assert chats.ended == ["a"]
        await timeline.pass_by(86.75, step=1)
        assert chats.ended == ["a"]
        await timeline.pass_by(0.25)
        assert chats.ended == ["a", "b"]


async def test_of_two_delayed_wake_ups_the_earlier_stays(engine: LocalEngine, chats: Chats, timeline: Timeline) -> None:
    async with running(engine, chats):
        wake(engine, "a", at=timeline.at(5))
        await anyio.wait_all_tasks_blocked()
        wake(engine, "a", at=timeline.at(2))
        wake(engine, "a", at=timeline.at(9))
        await timeline.pass_by(2)
        assert chats.ended == ["a"]
        await timeline.pass_by(10)
        assert chats.ended == ["a"]


async def test_a_wake_up_now_does_not_take_the_delayed_one_away(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    async with running(engine, chats):
        wake(engine, "a", at=timeline.at(5))
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]
        await timeline.pass_by(5)
        assert chats.ended == ["a", "a"]


async def test_a_delayed_wake_up_that_comes_during_an_advance_leads_to_one_more(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    async def work() -> None:
        await timeline.sleep(3)

    chats.work["a"] = work
    async with running(engine, chats):
        wake(engine, "a", at=timeline.at(1))
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        await timeline.pass_by(3)
        assert (chats.began, chats.ended) == (["a", "a"], ["a"])


@pytest.mark.parametrize("at", ["2029-12-31T23:59:59Z", "2030-01-01T00:00:00+00:00", "2030-01-01T01:00:00+01:00"])
async def test_a_time_that_is_over_is_now(engine: LocalEngine, chats: Chats, at: str) -> None:
    async with running(engine, chats):
        wake(engine, "a", at=at)
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]


async def test_what_is_no_time_wakes_now_and_is_logged(
    engine: LocalEngine, chats: Chats, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(engine, chats):
        wake(engine, "a", at="tomorrow")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]
    assert "chat a: 'tomorrow'" in caplog.text


async def test_a_clock_that_is_set_forward_is_noticed(engine: LocalEngine, chats: Chats, timeline: Timeline) -> None:
    async with running(engine, chats):
        wake(engine, "a", at=timeline.at(24 * 3600))
        await anyio.wait_all_tasks_blocked()
        timeline.set_forward(24 * 3600)
        await timeline.pass_by(30, step=10)
        assert chats.ended == ["a"]


async def test_the_default_clock_and_sleep_are_the_real_ones(chats: Chats) -> None:
    engine = LocalEngine()
    is_done = anyio.Event()

    async def work() -> None:
        is_done.set()

    chats.work["a"] = work
    due = datetime.now(UTC) + timedelta(seconds=0.05)
    async with running(engine, chats):
        wake(engine, "a", at=due.isoformat())
        await is_done.wait()
        assert datetime.now(UTC) >= due


# -- advances that fail --------------------------------------------------------------------------------------------


def failing(times: int) -> Callable[[], Awaitable[None]]:
    left = [times]

    async def work() -> None:
        await checkpoint()
        if left[0]:
            left[0] -= 1
            raise ZeroDivisionError("a bug")

    return work


async def test_an_advance_that_fails_is_logged_with_its_chat_and_tried_again_while_others_go_on(
    engine: LocalEngine, chats: Chats, timeline: Timeline, caplog: pytest.LogCaptureFixture
) -> None:
    chats.work["bad"] = failing(1)
    async with running(engine, chats):
        wake(engine, "bad", "good")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["good"]
        assert "chat bad" in caplog.text and "ZeroDivisionError: a bug" in caplog.text
        await timeline.pass_by(0.5)
        assert chats.ended == ["good", "bad"]
        await timeline.pass_by(100, step=1)
        assert sorted(chats.began) == ["bad", "bad", "good"]


async def test_the_pause_doubles_up_to_a_minute_and_starts_anew_after_a_success(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    async def tries(seconds: float) -> list[float]:
        started, moments = timeline.now, list[float]()
        while (timeline.now - started).total_seconds() < seconds:
            before = len(chats.began)
            await timeline.pass_by(0.5, step=0.5)
            moments += [(timeline.now - started).total_seconds()] * (len(chats.began) - before)
        return moments

    chats.work["a"] = failing(9)
    async with running(engine, chats):
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        # 0.5, 1, 2, 4, 8, 16, 32, 60, 60 after one another
        assert await tries(200) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 123.5, 183.5]
        assert chats.ended == ["a"]
        chats.work["a"] = failing(1)
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert await tries(5) == [0.5]


async def test_a_wake_up_during_the_pause_tries_at_once(engine: LocalEngine, chats: Chats, timeline: Timeline) -> None:
    chats.work["a"] = failing(3)
    async with running(engine, chats):
        wake(engine, "a")
        for tries in (1, 2, 3):
            await anyio.wait_all_tasks_blocked()
            assert len(chats.began) == tries
            wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]


async def test_an_advance_that_wakes_itself_and_fails_does_not_spin(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    async def work() -> None:
        wake(engine, "a")
        await checkpoint()
        raise ZeroDivisionError

    chats.work["a"] = work
    async with running(engine, chats):
        wake(engine, "a")
        await timeline.pass_by(10)
        assert len(chats.began) == 5  # at 0, 0.5, 1.5, 3.5, 7.5


# -- cancelling ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_advance_ends_and_is_not_repeated_until_woken(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    chats.work["a"] = anyio.sleep_forever
    async with running(engine, chats):
        wake(engine, "a", "b")
        await anyio.wait_all_tasks_blocked()
        engine.cancel("a")
        await timeline.pass_by(100, step=1)
        assert (sorted(chats.began), chats.running["a"]) == (["a", "b"], 0)
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert sorted(chats.began) == ["a", "a", "b"]


@pytest.mark.parametrize("order", ["wake, cancel", "cancel, wake"])
async def test_a_wake_up_around_the_cancelling_is_not_lost(engine: LocalEngine, chats: Chats, order: str) -> None:
    chats.work["a"] = anyio.sleep_forever
    async with running(engine, chats):
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        chats.work["a"] = checkpoint
        for act in order.split(", "):
            if act == "wake":
                wake(engine, "a")
            else:
                engine.cancel("a")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]


async def test_cancelling_a_chat_that_is_not_advanced_does_nothing(engine: LocalEngine, chats: Chats) -> None:
    engine.cancel("a")
    async with running(engine, chats):
        engine.cancel("a")
        wake(engine, "a")
        engine.cancel("a")
        await anyio.wait_all_tasks_blocked()
        engine.cancel("a")
        assert chats.ended == ["a"]


async def test_an_advance_that_fails_while_it_is_cancelled_is_logged_and_not_repeated(
    engine: LocalEngine, chats: Chats, timeline: Timeline, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ZeroDivisionError("while cleaning up")

    chats.work["a"] = work
    async with running(engine, chats):
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        engine.cancel("a")
        await timeline.pass_by(100, step=1)
        assert chats.began == ["a"]
    assert "while cleaning up" in caplog.text


# -- bounds --------------------------------------------------------------------------------------------------------


async def test_no_more_chats_advance_at_a_time_than_allowed_and_they_take_turns(
    timeline: Timeline, chats: Chats
) -> None:
    engine = LocalEngine(clock=timeline.clock, sleep=timeline.sleep, max_concurrent=2)
    names = [f"chat-{n}" for n in range(10)]

    async def work() -> None:
        await timeline.sleep(1)

    chats.work = dict.fromkeys(names, work)
    async with running(engine, chats):
        wake(engine, *names)
        await anyio.wait_all_tasks_blocked()
        assert sorted(chats.began) == names[:2]
        wake(engine, names[0])
        for turn in range(1, 6):
            assert sorted(chats.began[: 2 * turn]) == names[: 2 * turn]
            await timeline.pass_by(1)
        assert chats.began[10:] == [names[0]]  # behind those that waited
        assert (len(chats.ended), chats.most_at_once) == (10, 2)


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_that_lets_nothing_happen_is_refused(bound: int) -> None:
    with pytest.raises(UsageError, match="max_concurrent"):
        LocalEngine(max_concurrent=bound)


# -- entering and leaving ------------------------------------------------------------------------------------------


async def test_leaving_cancels_what_runs_and_waits_for_its_end(engine: LocalEngine, chats: Chats) -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await checkpoint()
            ends.append("cleaned up")

    chats.work["a"] = work
    async with running(engine, chats):
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
    assert ends == ["cleaned up"]


async def test_what_leaving_cut_off_is_delivered_by_the_next_run(
    engine: LocalEngine, chats: Chats, timeline: Timeline
) -> None:
    chats.work["a"] = anyio.sleep_forever
    async with running(engine, chats):
        wake(engine, "a", "b")
        wake(engine, "c", at=timeline.at(1))
        await anyio.wait_all_tasks_blocked()
    chats.work["a"] = checkpoint
    async with running(engine, chats):
        assert chats.ended == ["b", "a"]
        await timeline.pass_by(1)
        assert chats.ended == ["b", "a", "c"]


async def test_an_exception_of_the_body_is_raised_bare_after_everything_ended(
    engine: LocalEngine, chats: Chats
) -> None:
    chats.work["a"] = anyio.sleep_forever
    with pytest.raises(LookupError, match="of the body"):
        async with running(engine, chats):
            wake(engine, "a")
            await anyio.wait_all_tasks_blocked()
            raise LookupError("of the body")
    assert chats.running["a"] == 0


async def test_cancelling_around_it_ends_everything(engine: LocalEngine, chats: Chats) -> None:
    chats.work["a"] = anyio.sleep_forever
    with anyio.CancelScope() as scope:
        async with running(engine, chats):
            wake(engine, "a")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert chats.running["a"] == 0


async def test_it_runs_once_at_a_time(engine: LocalEngine, chats: Chats, caplog: pytest.LogCaptureFixture) -> None:
    async with running(engine, chats):
        with pytest.raises(UsageError, match="runs already"):
            async with engine.run(chats.advance):
                pass
        wake(engine, "a")
        await anyio.wait_all_tasks_blocked()
        assert chats.ended == ["a"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
