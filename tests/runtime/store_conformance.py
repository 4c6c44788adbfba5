"""What every store must do, whatever it keeps its rows in: subclass `StoreConformance` and say how one is made.

class TestPostgres(StoreConformance):
    @pytest.fixture
    def make_store(self): return lambda clock: PostgresStore(..., clock=clock)
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import anyio
import pytest
from anyio import from_thread
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from agentkit.errors import StoreError, UsageError
from agentkit.runtime.ports import Commit, Reading, Stale, Store, StoredEvent, Wake, Writing
from agentkit.runtime.records import ChatRecord, KeyRecord, MessageRecord, Record, StoredFile
from agentkit.wire import AgentConfig, ChatMessageRole, ChatMessageStatus, ChatStatus

SECONDS = 10  # how long a test waits for what must happen
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class MakeStore(Protocol):
    """Makes a store that is not open yet, empty the first time."""

    def __call__(self, clock: Callable[[], datetime]) -> Store: ...


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> str:
        self.now += timedelta(seconds=seconds)
        return text(self.now)


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def file(id: str, **more: Any) -> StoredFile:
    return StoredFile(id=id, **{"owner": "ann", **more})


def message(id: str, **more: Any) -> MessageRecord:
    given = {"chat_id": "c", "run_id": "r", "order": 0, "role": ChatMessageRole.USER, "status": ChatMessageStatus.READY}
    return MessageRecord(id=id, **(given | more))


def ids(found: list[Any]) -> list[str]:
    return [record.id for record in found]


async def insert(store: Store, *records: Record) -> None:
    await store.write(lambda tx: [tx.insert(record) for record in records])


class StoreConformance:
    """The suite. Everything is seen through the port."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        raise NotImplementedError("say how a store is made")

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    async def store(self, make_store: MakeStore, clock: Clock) -> AsyncIterator[Store]:
        store = make_store(clock)
        await store.open()
        yield store
        await store.close()

    # -- records ---------------------------------------------------------------------------------------------------

    async def test_an_inserted_record_reads_back_with_its_version_and_times(self, store: Store, clock: Clock) -> None:
        told = await store.write(lambda tx: tx.insert(file("f1", filename="a.txt", size=3)))
        read = await store.read(lambda tx: tx.get(StoredFile, "f1"))
        assert read == told
        assert read == file("f1", filename="a.txt", size=3, version=1, created_at=text(EPOCH), updated_at=text(EPOCH))

    async def test_what_a_nested_object_never_set_stays_unset(self, store: Store) -> None:
        config = AgentConfig.parse({"name": "a", "tools": [], "newer_field": {"kept": True}})
        await insert(store, ChatRecord(id="c1", owner="ann", agent=config))
        read = await store.read(lambda tx: tx.get(ChatRecord, "c1"))
        assert read is not None
        assert read.agent.to_wire() == {"name": "a", "tools": [], "newer_field": {"kept": True}}
        assert read.status is ChatStatus.IDLE

    async def test_an_id_is_taken_once(self, store: Store) -> None:
        await insert(store, file("f1", filename="first"))
        with pytest.raises(Stale, match="f1"):
            await insert(store, file("f1", filename="second"))
        read = await store.read(lambda tx: tx.get(StoredFile, "f1"))
        assert read is not None and read.filename == "first"

    async def test_ids_of_different_kinds_do_not_meet(self, store: Store) -> None:
        await insert(store, file("x"), message("x"))
        assert await store.read(lambda tx: tx.get(KeyRecord, "x")) is None
        assert await store.read(lambda tx: tx.get(MessageRecord, "x")) is not None

    async def test_an_update_raises_the_version_and_keeps_when_it_was_created(self, store: Store, clock: Clock) -> None:
        first = await store.write(lambda tx: tx.insert(file("f1")))
        later = clock.advance(1)
        told = await store.write(lambda tx: tx.update(first.but(size=7)))
        assert (told.version, told.size, told.created_at, told.updated_at) == (2, 7, text(EPOCH), later)
        assert await store.read(lambda tx: tx.get(StoredFile, "f1")) == told

    async def test_an_update_of_an_older_version_is_stale(self, store: Store) -> None:
        first = await store.write(lambda tx: tx.insert(file("f1")))
        second = await store.write(lambda tx: tx.update(first.but(size=2)))
        with pytest.raises(Stale, match="version 1"):
            await store.write(lambda tx: tx.update(first.but(size=3)))
        assert await store.read(lambda tx: tx.get(StoredFile, "f1")) == second

    async def test_an_update_of_a_row_that_is_not_there_is_stale(self, store: Store) -> None:
        with pytest.raises(Stale):
            await store.write(lambda tx: tx.update(file("f1", version=1)))

    async def test_only_the_version_that_was_read_can_be_deleted(self, store: Store) -> None:
        first = await store.write(lambda tx: tx.insert(file("f1")))
        second = await store.write(lambda tx: tx.update(first))
        with pytest.raises(Stale):
            await store.write(lambda tx: tx.delete(first))
        await store.write(lambda tx: tx.delete(second))
        assert await store.read(lambda tx: tx.get(StoredFile, "f1")) is None
        with pytest.raises(Stale):
            await store.write(lambda tx: tx.delete(second))

    async def test_a_prefix_of_eight_or_more_characters_finds_its_record(self, store: Store) -> None:
        await insert(store, file("abcdefgh01"), file("abcdefgz02"), file("zzzzzzzz"))
        found = await store.read(lambda tx: [tx.get(StoredFile, id) for id in ("abcdefgh", "abcdefgh0", "zzzzzzzz")])
        assert [record and record.id for record in found] == ["abcdefgh01", "abcdefgh01", "zzzzzzzz"]

    async def test_a_prefix_that_is_too_short_or_fits_several_finds_nothing(self, store: Store) -> None:
        await insert(store, file("abcdefgh01"), file("abcdefgh02"), file("uniqueid03"))
        for prefix in ("abcdefgh", "uniquei", "", "nosuchid"):
            assert await store.read(lambda tx, prefix=prefix: tx.get(StoredFile, prefix)) is None

    async def test_a_full_id_wins_over_the_longer_ids_it_is_a_prefix_of(self, store: Store) -> None:
        await insert(store, file("abcdefgh"), file("abcdefgh01"))
        read = await store.read(lambda tx: tx.get(StoredFile, "abcdefgh"))
        assert read is not None and read.id == "abcdefgh"

    # -- finding ---------------------------------------------------------------------------------------------------

    async def test_find_takes_a_value_none_an_enum_or_any_of_a_tuple(self, store: Store) -> None:
        await insert(store, file("f1", sha256="a"), file("f2", sha256="b"), file("f3", owner="bob"))
        await insert(store, message("m1"), message("m2", status=ChatMessageStatus.FAILED, order=-1))

        def found(kind: type[Record], **equals: Any) -> Callable[[Reading], list[str]]:
            return lambda tx: ids(tx.find(kind, **equals))

        assert await store.read(found(StoredFile, owner="ann")) == ["f1", "f2"]
        assert await store.read(found(StoredFile, sha256=None)) == ["f3"]
        assert await store.read(found(StoredFile, sha256=("a", None))) == ["f1", "f3"]
        assert await store.read(found(StoredFile, sha256=("a", "b"), owner=("ann", "eve"))) == ["f1", "f2"]
        assert await store.read(found(StoredFile, sha256=())) == []
        assert await store.read(found(StoredFile, id=("f3", "f1"))) == ["f1", "f3"]
        assert await store.read(found(MessageRecord, status=ChatMessageStatus.FAILED)) == ["m2"]
        assert await store.read(found(MessageRecord, status=tuple(ChatMessageStatus), order=0)) == ["m1"]
        assert await store.read(found(MessageRecord, order="0")) == []  # a text is no number

    async def test_find_orders_by_a_column_and_breaks_ties_by_insertion(self, store: Store, clock: Clock) -> None:
        for id, order in (("m3", 1), ("m1", 0), ("m2", 1), ("m0", -1)):
            await insert(store, message(id, order=order))
        clock.advance(1)
        first = await store.read(lambda tx: tx.get(MessageRecord, "m3"))
        assert first is not None
        await store.write(lambda tx: tx.update(first))

        def order(**how: Any) -> Callable[[Reading], list[str]]:
            return lambda tx: ids(tx.find(MessageRecord, chat_id="c", **how))

        assert await store.read(order()) == ["m3", "m1", "m2", "m0"]
        assert await store.read(order(descending=True)) == ["m0", "m2", "m1", "m3"]
        assert await store.read(order(order_by="order")) == ["m0", "m1", "m3", "m2"]
        assert await store.read(order(order_by="order", descending=True)) == ["m2", "m3", "m1", "m0"]
        assert await store.read(order(order_by="id", limit=2)) == ["m0", "m1"]
        assert await store.read(order(order_by="updated_at")) == ["m1", "m2", "m0", "m3"]
        assert await store.read(order(limit=0)) == []

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("order_by", ["created_at", "sha256", "id"])
    async def test_pages_behind_an_id_visit_every_record_once_in_order(
        self, store: Store, order_by: str, descending: bool
    ) -> None:
        hashes = [None, "b", "a", None, "b", "c", "a", None]
        await insert(store, *(file(f"f{n}", sha256=value) for n, value in enumerate(hashes)))
        find = partial(dict, order_by=order_by, descending=descending)
        whole = await store.read(lambda tx: ids(tx.find(StoredFile, **find())))
        walked: list[str] = []

        def page(tx: Reading) -> list[str]:
            return ids(tx.find(StoredFile, **find(after_id=walked[-1] if walked else None, limit=3)))

        while found := await store.read(page):
            walked += found
        assert walked == whole
        assert len(walked) == len(hashes)

    async def test_a_page_behind_a_record_that_is_gone_is_empty(self, store: Store) -> None:
        await insert(store, file("f1"))
        assert await store.read(lambda tx: tx.find(StoredFile, after_id="gone")) == []

    @pytest.mark.parametrize("asked", [{"filename": "a.txt"}, {"order_by": "size"}, {"owner": "x", "no_such": 1}])
    async def test_find_refuses_a_field_that_is_no_column_and_names_it(self, store: Store, asked: Any) -> None:
        named = next(name for name in ("filename", "size", "no_such") if name in str(asked))
        with pytest.raises(UsageError, match=f"'{named}'.*sha256"):
            await store.read(lambda tx: tx.find(StoredFile, **asked))

    async def test_find_refuses_a_value_that_no_column_can_hold(self, store: Store) -> None:
        with pytest.raises(UsageError, match=r"file\.owner"):
            await store.read(lambda tx: tx.find(StoredFile, owner=["ann"]))

    # -- the log ---------------------------------------------------------------------------------------------------

    async def test_each_chat_counts_its_events_from_one_without_gaps(self, store: Store) -> None:
        seqs = [
            await store.write(lambda tx, chat=chat, n=n: tx.append(chat, "chats", {"n": n}))
            for n, chat in enumerate("aabab")
        ]
        assert seqs == [1, 2, 1, 3, 2]
        log = await store.read(lambda tx: tx.events("a"))
        assert log == [StoredEvent("a", seq, "chats", {"n": n}, text(EPOCH)) for seq, n in ((1, 0), (2, 1), (3, 3))]
        assert await store.read(lambda tx: tx.event_range("a")) == (1, 3)

    async def test_the_log_is_read_after_a_seq_and_up_to_a_limit(self, store: Store) -> None:
        await store.write(lambda tx: [tx.append("c", "chats", {}) for _ in range(5)])
        seqs = await store.read(lambda tx: [event.seq for event in tx.events("c", after=2, limit=2)])
        assert seqs == [3, 4]
        assert await store.read(lambda tx: tx.events("c", after=5)) == []

    async def test_a_seq_is_never_used_again_not_even_when_all_were_pruned(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.event_range("c")) == (1, 0)
        await store.write(lambda tx: [tx.append("c", "chats", {}) for _ in range(3)])
        await store.write(lambda tx: tx.prune_events("c", keep_from=3))
        assert await store.read(lambda tx: tx.event_range("c")) == (3, 3)
        await store.write(lambda tx: tx.prune_events("c", keep_from=99))
        assert await store.read(lambda tx: tx.event_range("c")) == (4, 3)
        assert await store.write(lambda tx: tx.append("c", "chats", {})) == 4
        assert await store.read(lambda tx: tx.event_range("c")) == (4, 4)

    async def test_an_event_that_is_no_json_is_refused_and_leaves_no_gap(self, store: Store) -> None:
        with pytest.raises(ValueError):
            await store.write(lambda tx: tx.append("c", "chats", {"half": "\ud800"}))
        assert await store.write(lambda tx: tx.append("c", "chats", {})) == 1

    # -- wake-ups --------------------------------------------------------------------------------------------------

    async def test_the_earlier_of_two_wake_ups_stays_and_now_is_earliest(self, store: Store) -> None:
        soon, late = "2030-01-01T00:00:05.000000Z", "2030-01-01T00:00:09.000000Z"
        await store.write(lambda tx: [tx.wake(chat, at=late) for chat in "abc"])
        await store.write(lambda tx: (tx.wake("a", at=soon), tx.wake("b")))
        assert await store.read(lambda tx: tx.wakes()) == [Wake("b"), Wake("a", soon), Wake("c", late)]
        await store.write(lambda tx: (tx.wake("a", at=late), tx.wake("b", at=soon), tx.clear_wake("c")))
        assert await store.read(lambda tx: tx.wakes()) == [Wake("b"), Wake("a", soon)]

    async def test_wake_up_times_are_compared_as_times_whatever_they_are_written_like(self, store: Store) -> None:
        await store.write(lambda tx: tx.wake("a", at="2030-01-01T01:00:00+02:00"))  # 23:00 the day before, in UTC
        await store.write(lambda tx: tx.wake("a", at="2030-01-01T00:00:00Z"))
        assert await store.read(lambda tx: tx.wakes()) == [Wake("a", "2029-12-31T23:00:00.000000Z")]

    async def test_a_wake_up_without_a_zone_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError, match="zone"):
            await store.write(lambda tx: tx.wake("a", at="2030-01-01T01:00:00"))

    # -- transactions ----------------------------------------------------------------------------------------------

    async def test_a_transaction_has_one_time_and_sees_its_own_changes(self, store: Store, clock: Clock) -> None:
        def change(tx: Writing) -> None:
            before = tx.now
            clock.advance(1)
            created = tx.insert(file("f1"))
            assert (created.created_at, tx.now) == (before, before)
            assert tx.get(StoredFile, "f1") == created
            tx.append("c", "chats", {})
            assert tx.event_range("c") == (1, 1)

        await store.write(change)

    async def test_an_exception_undoes_the_whole_change_and_tells_nobody(self, store: Store) -> None:
        commits: list[Commit] = []
        store.on_commit(commits.append)
        kept = await store.write(lambda tx: tx.insert(file("kept")))

        def change(tx: Writing) -> None:
            tx.insert(file("f1"))
            tx.update(kept.but(size=9))
            tx.append("c", "chats", {})
            tx.wake("c")
            raise LookupError("on second thoughts")

        with pytest.raises(LookupError, match="on second thoughts"):
            await store.write(change)
        assert await store.read(lambda tx: tx.find(StoredFile)) == [kept]
        assert await store.read(lambda tx: (tx.event_range("c"), tx.wakes())) == ((1, 0), [])
        assert await store.write(lambda tx: tx.append("c", "chats", {})) == 1
        assert [commit.events for commit in commits] == [{"c": 1}]

    async def test_a_commit_is_told_in_the_event_loop_before_its_writer_goes_on(self, store: Store) -> None:
        told: list[tuple[Commit, int]] = []
        store.on_commit(lambda commit: told.append((commit, threading.get_ident())))

        def change(tx: Writing) -> None:
            for chat in "aab":
                tx.append(chat, "chats", {})
            tx.wake("a", at="2030-01-01T00:00:09Z")
            tx.wake("b")
            tx.clear_wake("b")

        await store.write(change)
        expected = Commit(events={"a": 2, "b": 1}, wakes=(Wake("a", "2030-01-01T00:00:09.000000Z"),))
        assert told == [(expected, threading.get_ident())]

    async def test_a_commit_without_events_or_wake_ups_is_not_told(self, store: Store) -> None:
        commits: list[Commit] = []
        store.on_commit(commits.append)
        await insert(store, file("f1"))
        await store.write(lambda tx: tx.prune_events("c", keep_from=1))
        assert commits == []

    async def test_what_is_told_can_be_read_already(self, store: Store) -> None:
        seen: list[int] = []
        async with anyio.create_task_group() as group:

            async def look() -> None:
                seen.append((await store.read(lambda tx: tx.event_range("c")))[1])

            store.on_commit(lambda commit: group.start_soon(look))
            await store.write(lambda tx: tx.append("c", "chats", {}))
        assert seen == [1]

    async def test_commits_are_told_in_their_order_and_none_is_skipped(self, store: Store) -> None:
        highest: list[int] = []
        store.on_commit(lambda commit: highest.append(commit.events["c"]))
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(store.write, lambda tx: tx.append("c", "chats", {}))
        assert highest == sorted(set(highest))
        assert highest[-1] == 200

    async def test_a_callback_that_fails_is_logged_and_harms_nobody(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(commit: Commit) -> None:
            raise ZeroDivisionError("a broken watcher")

        commits: list[Commit] = []
        store.on_commit(broken)
        store.on_commit(commits.append)
        assert await store.write(lambda tx: tx.append("c", "chats", {})) == 1
        assert len(commits) == 1
        assert "a broken watcher" in caplog.text

    async def test_registering_a_callback_twice_tells_it_once(self, store: Store) -> None:
        commits: list[Commit] = []
        tell = commits.append
        store.on_commit(tell)
        store.on_commit(tell)
        await store.write(lambda tx: tx.wake("c"))
        assert len(commits) == 1

    async def test_a_reader_keeps_its_view_while_the_writer_goes_on(self, store: Store) -> None:
        await insert(store, file("f1"))
        has_looked, has_written = threading.Event(), threading.Event()

        def look(tx: Reading) -> tuple[list[str], list[str]]:
            before = ids(tx.find(StoredFile))
            has_looked.set()
            assert has_written.wait(SECONDS)
            return before, ids(tx.find(StoredFile))

        views: list[tuple[list[str], list[str]]] = []

        async def read() -> None:
            views.append(await store.read(look))

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.to_thread.run_sync(has_looked.wait, SECONDS)
                await insert(store, file("f2"))
                has_written.set()
        assert views == [(["f1"], ["f1"])]
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f1", "f2"]

    async def test_a_read_that_raises_leaves_the_store_readable(self, store: Store) -> None:
        def look(tx: Reading) -> None:
            raise LookupError("nothing to see")

        for _ in range(20):  # more often than there are readers
            with pytest.raises(LookupError):
                await store.read(look)
        assert await store.read(lambda tx: tx.find(StoredFile)) == []

    async def test_a_transaction_that_is_over_cannot_be_used(self, store: Store) -> None:
        kept: list[Any] = []
        await store.write(kept.append)
        await store.read(kept.append)
        for tx in kept:
            with pytest.raises(UsageError, match="over"):
                tx.find(StoredFile)

    async def test_an_async_change_is_refused_and_changes_nothing(self, store: Store) -> None:
        async def change(tx: Writing) -> None:
            tx.insert(file("f1"))

        with pytest.raises(UsageError, match="async"):
            await store.write(change)
        assert await store.read(lambda tx: tx.find(StoredFile)) == []

    # -- many at once ----------------------------------------------------------------------------------------------

    async def test_of_fifty_writers_with_the_same_version_one_wins(self, store: Store) -> None:
        record = await store.write(lambda tx: tx.insert(file("f1", size=-1)))
        for turn in range(5):
            outcomes: list[int | None] = []

            async def race(n: int, record: StoredFile = record, outcomes: list[int | None] = outcomes) -> None:
                try:
                    outcomes.append((await store.write(lambda tx: tx.update(record.but(size=n)))).size)
                except Stale:
                    outcomes.append(None)

            async with anyio.create_task_group() as group:
                for n in range(50):
                    group.start_soon(race, n)
            winners = [size for size in outcomes if size is not None]
            assert (len(winners), len(outcomes)) == (1, 50)
            read = await store.read(lambda tx: tx.get(StoredFile, "f1"))
            assert read is not None and (read.size, read.version) == (winners[0], turn + 2)
            record = read

    async def test_a_change_that_fails_leaves_those_committed_with_it_alone(self, store: Store) -> None:
        outcomes: dict[int, str] = {}

        def change(tx: Writing, n: int) -> None:
            tx.insert(file(f"f{n:02}"))
            tx.append("c", "chats", {"n": n})
            if n % 3 == 0:
                raise LookupError(f"no {n}")

        async def write(n: int) -> None:
            try:
                await store.write(partial(change, n=n))
                outcomes[n] = "done"
            except LookupError as error:
                outcomes[n] = str(error)

        async with anyio.create_task_group() as group:
            for n in range(60):
                group.start_soon(write, n)
        kept = [n for n in range(60) if n % 3]
        assert outcomes == {n: "done" if n in kept else f"no {n}" for n in range(60)}
        assert await store.read(lambda tx: ids(tx.find(StoredFile, order_by="id"))) == [f"f{n:02}" for n in kept]
        log = await store.read(lambda tx: tx.events("c"))
        assert [event.seq for event in log] == list(range(1, len(kept) + 1))
        assert sorted(event.data["n"] for event in log) == kept

    async def test_a_writer_that_is_cancelled_leaves_its_change_whole_or_undone(self, store: Store) -> None:
        def change(tx: Writing, n: int) -> None:
            tx.insert(file(f"f{n}"))
            tx.append("c", "chats", {"n": n})

        for n in range(30):
            async with anyio.create_task_group() as group:
                group.start_soon(store.write, partial(change, n=n))
                for _ in range(n % 4):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        await store.write(partial(change, n=99))  # after all that were accepted, and the store still works
        rows = await store.read(lambda tx: {record.id for record in tx.find(StoredFile)})
        log = await store.read(lambda tx: {f"f{event.data['n']}" for event in tx.events("c")})
        assert rows == log
        assert "f99" in rows

    async def test_a_writer_that_is_cancelled_beforehand_changes_nothing(self, store: Store) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await insert(store, file("f1"))
        await insert(store, file("f2"))
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f2"]

    # -- opening and closing ---------------------------------------------------------------------------------------

    async def test_closing_finishes_what_was_accepted(self, make_store: MakeStore, clock: Clock) -> None:
        store = make_store(clock)
        await store.open()
        done: list[int] = []

        async def write(n: int) -> None:
            done.append(await store.write(lambda tx: tx.append("c", "chats", {"n": n})))

        async with anyio.create_task_group() as group:
            for n in range(40):
                group.start_soon(write, n)
            await anyio.wait_all_tasks_blocked()
            await store.close()
        assert sorted(done) == list(range(1, 41))

    async def test_a_closed_store_refuses_and_says_what_comes_first(self, make_store: MakeStore, clock: Clock) -> None:
        store = make_store(clock)
        for _ in range(2):
            with pytest.raises(StoreError, match="open"):
                await store.write(lambda tx: None)
            with pytest.raises(StoreError, match="open"):
                await store.read(lambda tx: None)
            await store.open()
            await store.close()
            await store.close()

    async def test_opening_twice_is_refused_and_leaves_it_open(self, store: Store) -> None:
        with pytest.raises(UsageError, match="open already"):
            await store.open()
        assert await store.read(lambda tx: tx.find(StoredFile)) == []

    def test_another_event_loop_is_refused(self, make_store: MakeStore, clock: Clock) -> None:
        store = make_store(clock)
        with from_thread.start_blocking_portal() as one, from_thread.start_blocking_portal() as other:
            one.call(store.open)
            with pytest.raises(UsageError, match="another event loop"):
                other.call(store.read, lambda tx: tx.find(StoredFile))
            one.call(store.close)

    # -- any history -----------------------------------------------------------------------------------------------

    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.thorough)])
    def test_any_history_reads_like_that_of_a_plain_dict(self, make_store: MakeStore, backend: str) -> None:
        run_state_machine_as_test(
            lambda: History(make_store, backend), settings=settings(max_examples=60, stateful_step_count=30)
        )


OWNERS = st.sampled_from(["ann", "bob"])
HASHES = st.sampled_from([None, "a", "b"])
CHATS = st.sampled_from(["c1", "c2"])


class History(RuleBasedStateMachine):
    """Random changes to a store and to a dict, which must always look the same."""

    records = Bundle("records")

    def __init__(self, make_store: MakeStore, backend: str) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = make_store(self.clock)
        self.portal_of = from_thread.start_blocking_portal(backend)
        self.portal = self.portal_of.__enter__()
        self.portal.call(self.store.open)
        # what the database of an earlier example left behind
        self.write(lambda tx: [tx.delete(record) for record in tx.find(StoredFile)])
        self.write(lambda tx: [tx.prune_events(chat, keep_from=10**9) for chat in ("c1", "c2")])
        self.write(lambda tx: [tx.clear_wake(chat) for chat in ("c1", "c2")])
        self.rows: dict[str, StoredFile] = {}  # in insertion order
        self.last = {chat: self.read(lambda tx, chat=chat: tx.event_range(chat))[1] for chat in ("c1", "c2")}
        self.log: dict[str, list[tuple[int, int]]] = {"c1": [], "c2": []}
        self.wakes: dict[str, str | None] = {}

    def write(self, change: Callable[[Writing], Any]) -> Any:
        return self.portal.call(self.store.write, change)

    def read(self, look: Callable[[Reading], Any]) -> Any:
        return self.portal.call(self.store.read, look)

    def is_current(self, record: StoredFile) -> bool:
        there = self.rows.get(record.id)
        return there is not None and there.version == record.version

    def teardown(self) -> None:
        self.portal.call(self.store.close)
        self.portal_of.__exit__(None, None, None)

    @rule(target=records, number=st.integers(0, 9), owner=OWNERS, sha256=HASHES)
    def insert(self, number: int, owner: str, sha256: str | None) -> Any:
        record = file(f"file-{number}", owner=owner, sha256=sha256)
        if record.id in self.rows:
            with pytest.raises(Stale):
                self.write(lambda tx: tx.insert(record))
            return multiple()
        self.rows[record.id] = self.write(lambda tx: tx.insert(record))
        return self.rows[record.id]

    @rule(target=records, record=records, sha256=HASHES)
    def update(self, record: StoredFile, sha256: str | None) -> Any:
        changed = record.but(sha256=sha256)
        if not self.is_current(record):
            with pytest.raises(Stale):
                self.write(lambda tx: tx.update(changed))
            return multiple()
        self.rows[record.id] = self.write(lambda tx: tx.update(changed))
        assert self.rows[record.id].version == record.version + 1
        return self.rows[record.id]

    @rule(record=records)
    def delete(self, record: StoredFile) -> None:
        if not self.is_current(record):
            with pytest.raises(Stale):
                self.write(lambda tx: tx.delete(record))
            return
        self.write(lambda tx: tx.delete(record))
        del self.rows[record.id]

    @rule(chat=CHATS, number=st.integers(0, 9), fails=st.booleans())
    def append(self, chat: str, number: int, fails: bool) -> None:
        def change(tx: Writing) -> int:
            seq = tx.append(chat, "chats", {"n": number})
            tx.wake(chat)
            if fails:
                raise LookupError
            return seq

        if fails:
            with pytest.raises(LookupError):
                self.write(change)
            return
        self.last[chat] += 1
        assert self.write(change) == self.last[chat]
        self.log[chat].append((self.last[chat], number))
        self.wakes[chat] = None

    @rule(chat=CHATS, kept=st.integers(0, 3))
    def prune(self, chat: str, kept: int) -> None:
        keep_from = self.last[chat] - kept + 1
        self.write(lambda tx: tx.prune_events(chat, keep_from=keep_from))
        self.log[chat] = [entry for entry in self.log[chat] if entry[0] >= keep_from]

    @rule(chat=CHATS, seconds=st.none() | st.integers(1, 9))
    def wake(self, chat: str, seconds: int | None) -> None:
        at = None if seconds is None else text(EPOCH + timedelta(seconds=seconds))
        self.write(lambda tx: tx.wake(chat, at=at))
        known = self.wakes.get(chat, at)
        self.wakes[chat] = None if at is None or known is None else min(at, known)

    @rule(chat=CHATS)
    def clear_wake(self, chat: str) -> None:
        self.write(lambda tx: tx.clear_wake(chat))
        self.wakes.pop(chat, None)

    @rule(seconds=st.integers(0, 2))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(
        order_by=st.sampled_from(["created_at", "updated_at", "id", "owner", "sha256"]),
        descending=st.booleans(),
        owner=st.none() | OWNERS,
        hashes=st.none() | HASHES | st.lists(HASHES, max_size=2).map(tuple),
        limit=st.none() | st.integers(0, 4),
        behind=st.none() | records.map(lambda record: record.id),
    )
    def find(
        self, order_by: str, descending: bool, owner: str | None, hashes: Any, limit: int | None, behind: str | None
    ) -> None:
        equals = ({"owner": owner} if owner else {}) | ({"sha256": hashes} if hashes is not None else {})
        wanted = self.sorted(order_by, descending=descending)
        if behind is not None:
            place = next((place for place, record in enumerate(wanted) if record.id == behind), len(wanted))
            wanted = wanted[place + 1 :]
        wanted = [record for record in wanted if all(fits(record, *each) for each in equals.items())][:limit]
        how = {"order_by": order_by, "descending": descending, "limit": limit, "after_id": behind}
        assert self.read(lambda tx: tx.find(StoredFile, **how, **equals)) == wanted

    def sorted(self, order_by: str, *, descending: bool) -> list[StoredFile]:
        def key(record: StoredFile) -> tuple[bool, str]:
            value = getattr(record, order_by)
            return value is not None, value or ""

        ascending = sorted(self.rows.values(), key=key)
        return ascending[::-1] if descending else ascending

    @invariant()
    def looks_the_same(self) -> None:
        rows, logs, ranges, wakes = self.read(
            lambda tx: (
                tx.find(StoredFile, order_by="id"),
                {chat: [(event.seq, event.data["n"]) for event in tx.events(chat)] for chat in self.log},
                {chat: tx.event_range(chat) for chat in self.log},
                {wake.chat_id: wake.at for wake in tx.wakes()},
            )
        )
        assert rows == self.sorted("id", descending=False)
        assert logs == self.log
        for chat, last in self.last.items():
            assert ranges[chat] == (self.log[chat][0][0] if self.log[chat] else last + 1, last)
        assert wakes == self.wakes


def fits(record: StoredFile, field: str, wanted: Any) -> bool:
    value = getattr(record, field)
    return value in wanted if isinstance(wanted, tuple) else value == wanted
