"""Who is next, and where: tables for the decisions, and random days of a pool against the promises it makes."""

from __future__ import annotations

import random
from collections import Counter, deque
from typing import Any

import pytest

from agentkit.runtime.fleet.pool import Assignment, Held, Pool
from agentkit.runtime.fleet.queue import Queue
from agentkit.runtime.ports import Ticket

DAYS = 20


def ticket(task_id: str, **more: Any) -> Ticket:
    fields: dict[str, Any] = {"lane": "lane", "version_id": "v1", "owner": "me", **more}
    return Ticket(task_id, **fields)


def pool_of(size: int, *tickets: Ticket) -> Pool:
    pool = Pool([f"w{number}" for number in range(1, size + 1)])
    for each in tickets:
        pool.queue.add(each)
    return pool


def finish(pool: Pool, assignment: Assignment) -> None:
    pool.free(assignment.place_id, Held.by(assignment.ticket))


def assign(pool: Pool) -> Assignment:
    found = pool.assign()
    assert found is not None
    return found


def place_with(pool: Pool, *tickets: Ticket) -> None:
    """Uses as many places, one after the other, and leaves their processes idle."""
    for each in tickets:
        pool.queue.add(each)
    for found in [assign(pool) for _ in tickets]:
        finish(pool, found)


# -- the queue -----------------------------------------------------------------------------------------------------


def test_lines_take_turns_and_each_keeps_its_order() -> None:
    queue = Queue()
    for number in range(4):
        queue.add(ticket(f"a{number}", lane="a"))
    for number in range(2):
        queue.add(ticket(f"b{number}", lane="b"))
    taken = [queue.take(lambda _: True) for _ in range(6)]
    assert [each.task_id for each in taken if each] == ["a0", "b0", "a1", "b1", "a2", "a3"]
    assert len(queue) == 0
    assert queue.take(lambda _: True) is None


def test_a_line_that_cannot_be_served_keeps_its_turn() -> None:
    queue = Queue()
    for name in ("a", "b", "c"):
        queue.add(ticket(f"{name}0", lane=name))
        queue.add(ticket(f"{name}1", lane=name))
    for _ in range(2):
        queue.take(lambda each: each.lane != "a")
    first = queue.take(lambda _: True)
    assert first is not None
    assert first.task_id == "a0"


def test_a_task_stands_in_line_once_and_can_leave_it() -> None:
    queue = Queue()
    assert queue.add(ticket("t1"))
    assert not queue.add(ticket("t1"))
    assert "t1" in queue
    removed = queue.remove("t1")
    assert removed is not None
    assert removed.task_id == "t1"
    assert queue.remove("t1") is None
    assert list(queue) == []


# -- the decisions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle", "wanted", "place", "warmth"),
    [
        ([], ticket("t"), "w1", "cold"),
        ([ticket("a", version_id="v2"), ticket("b")], ticket("t"), "w2", "warm"),
        ([ticket("a"), ticket("b")], ticket("t"), "w2", "warm"),  # the one used last
        ([ticket("a", setup_key="big"), ticket("b", version_id="v2")], ticket("t"), "w3", "cold"),  # an empty place
        (
            [ticket("a", version_id="v2"), ticket("b", setup_key="big"), ticket("c", version_id="v3")],
            ticket("t"),
            "w2",
            "set up again",
        ),
        ([ticket("a", version_id=f"v{number}") for number in (2, 3, 4)], ticket("t"), "w1", "cold"),  # idle for longest
        ([ticket("a")], ticket("t", workers=["w3"]), "w3", "cold"),
        ([ticket("a")], ticket("t", owner="you"), "w2", "cold"),  # an empty place rather than another owner's process
        ([ticket("a"), ticket("b", owner="you"), ticket("c")], ticket("t", owner="you"), "w2", "warm"),
        ([ticket("a"), ticket("b", version_id="v2"), ticket("c")], ticket("t", owner="you"), "w1", "cold"),
    ],
)
def test_where_a_ticket_goes(idle: list[Ticket], wanted: Ticket, place: str, warmth: str) -> None:
    pool = pool_of(3)
    place_with(pool, *[Ticket(f"idle{number}", *_rest(each)) for number, each in enumerate(idle)])
    pool.queue.add(wanted)
    found = assign(pool)
    assert (found.place_id, found.warmth) == (place, warmth)


def _rest(each: Ticket) -> tuple[Any, ...]:
    return each.lane, each.version_id, each.owner, each.setup_key, each.session_id, each.workers


def test_a_pool_that_is_busy_gives_out_nothing() -> None:
    pool = pool_of(1, ticket("t1"), ticket("t2"))
    first = assign(pool)
    assert pool.assign() is None
    assert not pool.occupy("w1")
    finish(pool, first)
    assert assign(pool).ticket.task_id == "t2"


def test_a_session_is_served_by_its_place_only_and_that_serves_nobody_else() -> None:
    pool = pool_of(2)
    place_with(pool, ticket("t0"), ticket("t0b"))
    assert pool.lease("s1")
    pool.queue.add(ticket("t1", session_id="s1"))
    first = assign(pool)
    assert first.warmth == "cold", "nobody else's process"
    pool.queue.add(ticket("t2", session_id="s1"))
    assert pool.assign() is None
    finish(pool, first)
    pool.queue.add(ticket("t3"))
    second = assign(pool)
    assert (second.ticket.task_id, second.place_id, second.warmth) == ("t2", first.place_id, "warm")
    assert assign(pool).place_id != first.place_id
    finish(pool, second)
    pool.queue.add(ticket("t4"))
    assert pool.assign() is None
    assert pool.release("s1") == first.place_id
    assert assign(pool).warmth == "cold", "the session's process is not for others"


def test_a_lease_is_refused_where_the_others_could_not_all_be_seated() -> None:
    pool = pool_of(3)
    assert pool.lease("s1", ["w1", "w2"])
    assert pool.lease("s2", ["w1"])
    assert not pool.lease("s3", ["w1", "w2"])
    assert pool.lease("s4")
    assert not pool.lease("s5")
    assert not pool.lease("s6", ["elsewhere"])
    pool.queue.add(ticket("t1", session_id="s1"))
    pool.queue.add(ticket("t2", session_id="s2"))
    pool.queue.add(ticket("t4", session_id="s4"))
    seats = {found.ticket.session_id: found.place_id for found in [assign(pool) for _ in range(3)]}
    assert seats == {"s1": "w2", "s2": "w1", "s4": "w3"}, "s1 may not take the only place of s2"


def test_tickets_that_nobody_will_ever_serve_are_told_so() -> None:
    pool = pool_of(1, ticket("t1", session_id="gone"), ticket("t2", workers=["w9"]), ticket("t3"))
    reasons = {each.task_id: why for each, why in pool.stranded()}
    assert reasons == {"t1": "the session's worker is gone", "t2": "there is no worker w9; there are w1"}
    assert [each.task_id for each in pool.queue] == ["t3"]


# -- random days ---------------------------------------------------------------------------------------------------


class Day:
    """A pool under random load, and what must hold at every step of it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.size = self.chance.randrange(1, 6)
        self.pool = pool_of(self.size)
        self.working: dict[str, Assignment] = {}  # by place
        self.waiting: dict[Any, deque[str]] = {}  # by line, in order
        self.passed: Counter[Any] = Counter()  # how often a line was passed over with its place free
        self.sessions: set[str] = set()
        self.ended = 0
        self.submitted = 0

    def submit(self) -> None:
        lane = f"lane{self.chance.randrange(4)}"
        session = self.chance.choice([None, None, *self.sessions])
        ids = list(self.pool.places)
        workers = tuple(self.chance.sample(ids, self.chance.randrange(1, self.size + 1))) if not session else ()
        workers = workers if self.chance.random() < 0.3 else ()
        each = ticket(
            f"t{self.submitted}",
            lane=lane,
            version_id=f"v{self.chance.randrange(3)}",
            session_id=session,
            workers=workers,
        )
        self.submitted += 1
        self.pool.queue.add(each)
        self.waiting.setdefault(self.line(each), deque()).append(each.task_id)

    def line(self, each: Ticket) -> Any:
        return each.lane, each.session_id, frozenset(each.workers)

    def lease(self) -> None:
        name = f"s{self.chance.randrange(8)}"
        had = name in self.sessions
        if self.pool.lease(name):
            self.sessions.add(name)
        assert had or (name in self.sessions) == (len(self.sessions) <= self.size and name in self.sessions)
        assert len(self.sessions) <= self.size

    def release(self) -> None:
        idle = [name for name in self.sessions if not any(key[1] == name and ids for key, ids in self.waiting.items())]
        if idle:
            name = self.chance.choice(sorted(idle))
            self.sessions.discard(name)
            self.pool.release(name)

    def finish(self) -> None:
        if self.working:
            place_id = self.chance.choice(sorted(self.working))
            given = self.working.pop(place_id).ticket
            is_alive = self.chance.random() < 0.8
            held = Held.by(given) if is_alive else None
            self.pool.free(place_id, held)
            self.ended += 1

    def assign(self) -> None:
        while (found := self.pool.assign()) is not None:
            each = found.ticket
            place = self.pool.places[found.place_id]
            assert found.place_id not in self.working, "one task at a time"
            assert not each.workers or found.place_id in each.workers
            assert place.session_id == each.session_id, "a session's place is its own"
            line = self.line(each)
            assert self.waiting[line].popleft() == each.task_id, "first come, first served"
            self.working[found.place_id] = found
            self.count_passed(line)
        assert len(self.working) <= self.size

    def count_passed(self, served: Any) -> None:
        """A line may be passed over by each other line once, before a place of its own."""
        place_id = next(reversed(self.working))
        for line, ids in self.waiting.items():
            lane, session, workers = line
            could = ids and session is None and self.pool.places[place_id].session_id is None
            if line != served and could and (not workers or place_id in workers):
                self.passed[line] += 1
                assert self.passed[line] <= len(self.waiting), f"{lane} {workers} starves"
        self.passed[served] = 0


@pytest.mark.parametrize("number", range(DAYS))
@pytest.mark.requirement("fleet:fair")
def test_a_random_day_keeps_every_promise(number: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    day = Day(seed)
    steps = [day.submit, day.submit, day.finish, day.finish, day.lease, day.release]
    for _ in range(1500):
        day.chance.choice(steps)()
        day.assign()
    for _ in range(3 * day.submitted):
        day.finish()
        day.assign()
        if day.ended == day.submitted:
            break
        if not day.working:
            day.release()
    left = [each for each in day.pool.queue if each.session_id is None]
    if len(day.sessions) < day.size:
        assert not [each for each in left if not each.workers], "nobody waits while there is a place"
    for name in list(day.sessions):
        day.sessions.discard(name)
        day.pool.release(name)
    while day.working or len(day.pool.queue):
        before = day.ended
        day.pool.stranded()
        day.finish()
        day.assign()
        assert day.ended > before or day.working or not len(day.pool.queue)


def test_a_ticket_waits_for_a_busy_worker_of_its_app_before_another_apps_process_is_ended_for_it() -> None:
    pool = Pool(["w1", "w2"])
    for task_id, version in (("t1", "a"), ("t2", "b")):
        pool.queue.add(ticket(task_id, lane=version, version_id=version))
    first, second = assign(pool), assign(pool)
    pool.free(first.place_id, Held.by(first.ticket))  # app a's is idle, app b's busy
    pool.queue.add(ticket("t3", lane="b", version_id="b"))
    assert pool.assign(lambda _: False) is None
    pool.queue.add(ticket("t4", lane="a", version_id="a"))
    passed = pool.assign(lambda _: False)
    assert passed is not None and (passed.ticket.task_id, passed.warmth) == ("t4", "warm")
    pool.free(second.place_id, Held.by(second.ticket))
    warm = pool.assign(lambda _: False)
    assert warm is not None and (warm.ticket.task_id, warm.place_id, warm.warmth) == ("t3", second.place_id, "warm")


def test_a_ticket_that_has_waited_long_enough_gets_another_apps_place() -> None:
    pool = Pool(["w1", "w2"])
    for task_id, version in (("t1", "a"), ("t2", "b")):
        pool.queue.add(ticket(task_id, lane=version, version_id=version))
    first, _ = assign(pool), assign(pool)
    pool.free(first.place_id, Held.by(first.ticket))
    pool.queue.add(ticket("t3", lane="b", version_id="b"))
    found = pool.assign(lambda _: True)
    assert found is not None and (found.place_id, found.warmth) == (first.place_id, "cold")
