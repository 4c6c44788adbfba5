"""The SQLite store: the suite of every store, its file, its migrations, and what it says when something is wrong."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from pydantic import Field

from agentkit.errors import StoreError, UsageError
from agentkit.runtime.ports import Store, Writing
from agentkit.runtime.records import RECORDS, KeyRecord, Record, StoredFile
from agentkit.runtime.store import _database
from agentkit.runtime.store.sqlite import SqliteStore
from tests.runtime.store_conformance import MakeStore, StoreConformance, file, ids, insert

NOBODY = 65534


class TestSqliteFile(StoreConformance):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda clock: SqliteStore(tmp_path / "agentkit.db", clock=clock, synchronous="OFF")


class TestSqliteMemory(StoreConformance):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock: SqliteStore(clock=clock)


@asynccontextmanager
async def opened(path: str | Path, **settings: Any) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agentkit.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(sql).fetchall()
        db.commit()
        return found


# -- what is kept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL", "OFF"])
async def test_what_was_written_is_there_when_it_is_opened_again(path: Path, synchronous: Any) -> None:
    async with opened(path, synchronous=synchronous) as store:
        await insert(store, file("f1"))
        await store.write(lambda tx: (tx.append("c", "chats", {"n": 1}), tx.wake("c")))
    async with opened(path) as store:
        found = await store.read(lambda tx: (ids(tx.find(StoredFile)), tx.event_range("c"), len(tx.wakes())))
        assert found == (["f1"], (1, 1), 1)


async def test_a_trace_hears_of_every_statement_of_a_write_and_of_no_read(path: Path) -> None:
    heard: list[str] = []
    async with opened(path, trace=heard.append) as store:
        await store.read(lambda tx: tx.find(KeyRecord))
        assert heard == []
        await store.write(lambda tx: tx.insert(KeyRecord(id="key-0001", sha256="s", owner="o")))
        verbs = [each.split()[0] for each in heard]
        assert verbs == ["BEGIN", "SAVEPOINT", "INSERT", "RELEASE", "COMMIT"]
        assert "'key-0001'" in heard[2]


async def test_a_path_with_the_signs_of_a_url_is_taken_literally(tmp_path: Path) -> None:
    odd = tmp_path / "a?mode=memory#b %41.db"
    async with opened(odd) as store:
        await insert(store, file("f1"))
    assert odd.stat().st_size > 0
    async with opened(str(odd)) as store:
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f1"]


async def test_two_stores_on_one_file_see_each_other_and_race_fairly(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        first = await one.write(lambda tx: tx.insert(file("f1")))
        assert await other.read(lambda tx: tx.get(StoredFile, "f1")) == first
        await other.write(lambda tx: tx.update(first.but(size=1)))
        async with anyio.create_task_group() as group:
            for store in (one, other) * 20:
                group.start_soon(store.write, lambda tx: tx.append("c", "chats", {}))
        assert await one.read(lambda tx: tx.event_range("c")) == (1, 40)


async def test_a_database_in_memory_is_forgotten_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = SqliteStore()
    await store.open()
    await insert(store, file("f1"))
    assert [mode(each) for each in tmp_path.iterdir()] == [0o700]
    await store.close()
    assert list(tmp_path.iterdir()) == []
    await store.open()
    assert await store.read(lambda tx: tx.find(StoredFile)) == []
    await store.close()


async def test_two_databases_in_memory_share_nothing() -> None:
    async with opened(":memory:") as one, opened(":memory:") as other:
        await insert(one, file("f1"))
        assert await other.read(lambda tx: tx.find(StoredFile)) == []


async def test_closing_leaves_no_thread_and_no_open_file(path: Path) -> None:
    def ours() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("agentkit-")]

    async with opened(path) as store:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(store.read, lambda tx: tx.find(StoredFile))
        assert ours() == ["agentkit-store"]
        assert open_files(path)
    assert ours() == []
    assert open_files(path) == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def open_files(path: Path) -> list[str]:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    links = [os.readlink(each) for each in descriptors.iterdir() if each.is_symlink()]
    return [link for link in links if link.startswith(str(path))]


FORGETS = """
import sys, anyio
from agentkit.runtime.records import KeyRecord
from agentkit.runtime.store.sqlite import SqliteStore

async def main():
    global store
    store = SqliteStore(sys.argv[1])
    await store.open()
    await store.write(lambda tx: tx.insert(KeyRecord(id="k1", sha256="a", owner="o")))
    if sys.argv[2] == "busy":
        async with anyio.create_task_group() as group:
            for n in range(100):
                group.start_soon(store.write, lambda tx: tx.append("c", "chats", {}))
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

anyio.run(main, backend=sys.argv[3])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("how", ["idle", "busy"])
async def test_a_program_that_forgets_to_close_its_store_ends_and_loses_nothing(
    path: Path, how: str, backend: str
) -> None:
    with anyio.fail_after(15):
        done = await anyio.run_process([sys.executable, "-W", "error", "-c", FORGETS, str(path), how, backend])
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    async with opened(path) as store:
        assert await store.read(lambda tx: ids(tx.find(KeyRecord))) == ["k1"]


# -- who may read it -----------------------------------------------------------------------------------------------


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


async def test_the_files_and_the_directories_that_it_makes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "made" / "deeper" / "agentkit.db"
    with umask(0):
        async with opened(path) as store:
            await insert(store, file("f1"))
            names = sorted(each.name for each in path.parent.iterdir())
            assert names == ["agentkit.db", "agentkit.db-shm", "agentkit.db-wal"]
            assert {mode(each) for each in path.parent.iterdir()} == {0o600}
    assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)


async def test_a_database_that_others_could_read_is_made_private_and_that_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as store:
        await insert(store, file("f1"))
        for each in path.parent.iterdir():
            each.chmod(0o664)
        async with opened(path):
            assert {mode(each) for each in path.parent.iterdir()} == {0o600}
    assert f"{path} could be read by others" in caplog.text
    assert f"{path}-wal could be read by others" in caplog.text


async def test_a_directory_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    async with opened(tmp_path / "agentkit.db"):
        pass
    assert mode(tmp_path) == 0o755


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def refusal(path: Path | str, **settings: Any) -> str:
    store = SqliteStore(path, **settings)
    with pytest.raises(StoreError) as caught:
        await store.open()
    with pytest.raises(StoreError, match="not open"):  # and it can be told so, not half open
        await store.read(lambda tx: None)
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("dear diary, " * 100)
    assert "choose another path" in await refusal(path)
    assert path.read_text() == "dear diary, " * 100


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    query(path, "CREATE TABLE songs (name)")
    before = path.read_bytes()
    assert "another program" in await refusal(path)
    assert path.read_bytes() == before


async def test_a_damaged_database_says_how_to_save_what_is_left(path: Path) -> None:
    async with opened(path) as store:
        await insert(store, *(file(f"f{n}", filename="x" * 3000) for n in range(200)))
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\x55" * (len(whole) - 8192))
    try:
        async with opened(path) as store:
            with pytest.raises(StoreError, match="damaged"):
                await store.read(lambda tx: tx.find(StoredFile))
    except StoreError as error:  # where opening itself already stumbles over it
        assert "damaged" in str(error)


async def test_a_directory_a_pipe_and_a_path_through_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in await refusal(tmp_path)
    assert "no regular file" in await refusal(tmp_path / "pipe")
    assert "check the path" in await refusal(tmp_path / "file" / "agentkit.db")


@contextmanager
def unprivileged(directory: Path) -> Iterator[None]:
    """Root may write anywhere, so it becomes somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(directory, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that anybody may enter, unlike those of pytest."""
    directory = Path(tempfile.mkdtemp())
    yield directory
    directory.chmod(0o700)
    shutil.rmtree(directory)


async def test_a_directory_that_may_not_be_written_to_is_named_with_what_to_check(open_directory: Path) -> None:
    with unprivileged(open_directory):
        open_directory.chmod(0o500)
        assert "you may write to its directory" in await refusal(open_directory / "agentkit.db")


async def test_a_database_that_may_not_be_written_to_is_named_with_what_to_check(open_directory: Path) -> None:
    path = open_directory / "agentkit.db"
    with unprivileged(open_directory):
        async with opened(path):
            pass
        path.chmod(0o400)
        assert "check" in await refusal(path)


async def test_a_locked_database_says_so_and_works_again_afterwards(path: Path) -> None:
    async with opened(path, busy_timeout_seconds=0.05) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked by another program"):
                await insert(store, file("f1"))
            assert await store.read(lambda tx: tx.find(StoredFile)) == []  # readers do not mind
            other.execute("ROLLBACK")
        await insert(store, file("f1"))
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f1"]


@contextmanager
def full_disk(path: Path, *, room: int) -> Iterator[None]:
    """No file of this process grows beyond the database's log and `room` bytes more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_undoes_the_change_says_what_to_do_and_is_survived(path: Path) -> None:
    commits: list[object] = []
    async with opened(path) as store:
        store.on_commit(commits.append)
        await insert(store, file("f1"))
        with full_disk(path, room=20_000):
            with pytest.raises(StoreError, match="free space"):
                await store.write(lambda tx: (tx.insert(file("f2", filename="x" * 1_000_000)), tx.wake("c")))
            assert await store.read(lambda tx: (ids(tx.find(StoredFile)), tx.wakes())) == (["f1"], [])
        assert commits == []
        await insert(store, file("f3"))
    async with opened(path) as store:
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f1", "f3"]


async def test_writers_that_share_a_commit_which_fails_all_learn_it(path: Path) -> None:
    outcomes: dict[int, bool] = {}
    async with opened(path) as store:
        await insert(store, file("first"))

        def change(tx: Writing, n: int) -> None:
            tx.insert(file(f"f{n}", filename="x" * (1_000_000 if n == 7 else 10)))
            assert is_submitted.wait(5)  # so that the others wait together

        async def write(n: int) -> None:
            try:
                await store.write(partial(change, n=n))
                outcomes[n] = True
            except StoreError:
                outcomes[n] = False

        is_submitted = threading.Event()
        with full_disk(path, room=200_000):
            async with anyio.create_task_group() as group:
                for n in range(20):
                    group.start_soon(write, n)
                await anyio.wait_all_tasks_blocked()
                is_submitted.set()
        kept = await store.read(lambda tx: {record.id for record in tx.find(StoredFile)})
    assert kept == {"first"} | {f"f{n}" for n, is_done in outcomes.items() if is_done}
    assert len(outcomes) == 20
    assert list(outcomes.values()).count(False) >= 19  # at most the first one had a commit to itself


async def test_a_setting_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="synchronous='SOMETIMES'"):
        SqliteStore(synchronous="SOMETIMES")  # type: ignore[arg-type]  # that is the point


async def test_a_clock_without_a_zone_is_refused_and_not_taken_for_utc() -> None:
    async with opened(":memory:", clock=lambda: datetime(2030, 1, 1)) as store:
        with pytest.raises(UsageError, match="zone"):
            await insert(store, file("f1"))


# -- versions ------------------------------------------------------------------------------------------------------


class OldSong(Record):
    KIND = "song"
    INDEX = ("singer",)

    singer: str


class Song(Record):
    KIND = "song"
    INDEX = ("singer", "loud", "genre")

    singer: str
    loud: bool = False  # was in the body before it was a column
    genre: str | None = Field(default="folk")  # is new


class LoudSong(OldSong):
    INDEX: ClassVar = ("singer",)

    loud: bool = True


async def test_a_new_indexed_field_is_filled_from_the_rows_that_are_there(path: Path) -> None:
    async with opened(path, records=[LoudSong]) as store:
        await insert(store, LoudSong(id="s1", singer="ann"), LoudSong(id="s2", singer="bob", loud=False))
    async with opened(path, records=[Song]) as store:
        assert await store.read(lambda tx: ids(tx.find(Song, loud=True))) == ["s1"]
        assert await store.read(lambda tx: ids(tx.find(Song, loud=False, genre="folk"))) == ["s2"]
        read = await store.read(lambda tx: tx.get(Song, "s1"))
        assert read is not None
        assert (await store.write(lambda tx: tx.update(read.but(genre=None)))).version == 2
        assert await store.read(lambda tx: ids(tx.find(Song, genre=None))) == ["s1"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_new_kind_gets_its_table_in_a_database_that_is_there(path: Path) -> None:
    async with opened(path) as store:
        await insert(store, file("f1"))
    async with opened(path, records=[*RECORDS, Song]) as store:
        await insert(store, Song(id="s1", singer="ann"))
        assert await store.read(lambda tx: ids(tx.find(StoredFile))) == ["f1"]


async def test_every_indexed_field_has_an_index_that_find_uses(path: Path) -> None:
    async with opened(path):
        pass
    for record in RECORDS:
        for field in record.INDEX:
            plan = query(path, f'EXPLAIN QUERY PLAN SELECT * FROM "{record.KIND}" WHERE "{field}" IS 1')
            assert "USING INDEX" in plan[0][3], (record, field)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    query(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    message = await refusal(path)
    assert "newer agentkit" in message and "upgrade agentkit" in message and "99" in message
    assert path.read_bytes() == before


async def test_a_database_with_a_column_that_is_unknown_here_counts_as_newer(path: Path) -> None:
    async with opened(path, records=[Song]):
        pass
    message = await refusal(path, records=[OldSong])
    assert "newer agentkit" in message and "song.genre" in message


Step = Callable[[sqlite3.Connection], None]


def add_step(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    monkeypatch.setattr(_database, "STEPS", (*_database.STEPS, *steps))


async def test_an_older_database_is_migrated_once_and_a_copy_of_it_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(db: sqlite3.Connection) -> None:
        db.execute("""UPDATE song SET singer = 'eve', body = json_set(body, '$.singer', 'eve')""")

    async with opened(path, records=[OldSong]) as store:
        await insert(store, OldSong(id="s1", singer="ann"))
    add_step(monkeypatch, rename)
    with umask(0):
        for _ in range(2):
            async with opened(path, records=[OldSong]) as store:
                assert await store.read(lambda tx: ids(tx.find(OldSong, singer="eve"))) == ["s1"]
    copy = path.with_name("agentkit.db.v1.bak")
    assert mode(copy) == 0o600
    assert query(copy, "SELECT singer FROM song") == [("ann",)]
    assert query(copy, "PRAGMA user_version") == [(1,)]
    assert query(path, "PRAGMA user_version") == [(2,)]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, copy.name]


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(db: sqlite3.Connection) -> None:
        db.execute("UPDATE song SET singer = 'eve'")
        db.execute("CREATE TABLE halfway (x)")
        raise KeyError("the other half")

    async with opened(path, records=[OldSong]) as store:
        await insert(store, OldSong(id="s1", singer="ann"))
    with monkeypatch.context() as patched:
        add_step(patched, half)
        message = await refusal(path, records=[OldSong])
    assert "is as it was" in message and "the other half" in message
    assert query(path, "SELECT name FROM sqlite_master WHERE name = 'halfway'") == []
    async with opened(path, records=[OldSong]) as store:
        assert await store.read(lambda tx: ids(tx.find(OldSong, singer="ann"))) == ["s1"]


class Strict(Record):
    KIND = "song"
    INDEX = ("singer", "mood")

    singer: str
    mood: str  # without a default: what is there cannot have it


async def test_rows_that_a_new_field_does_not_fit_stop_the_migration(path: Path) -> None:
    async with opened(path, records=[OldSong]) as store:
        await insert(store, OldSong(id="s1", singer="ann"))
    assert "mood" in await refusal(path, records=[Strict])
    async with opened(path, records=[OldSong]) as store:
        assert await store.read(lambda tx: ids(tx.find(OldSong))) == ["s1"]


@pytest.mark.parametrize(
    ("name", "index"),
    [('x"; DROP TABLE chat; --', ()), ("Song", ()), ("song", ("no_field",)), ("song", ("version",)), ("song", ("id",))],
)
async def test_a_kind_whose_names_cannot_be_a_table_is_refused(path: Path, name: str, index: tuple[str, ...]) -> None:
    class Odd(Record):
        KIND: ClassVar[str] = name
        INDEX: ClassVar[tuple[str, ...]] = index

    store = SqliteStore(path, records=[Odd])
    with pytest.raises(UsageError, match=r"cannot be the name|no field of its own"):
        await store.open()


async def test_opening_in_many_places_at_once_makes_one_whole_database(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(6)]
    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(store.open)
    for n, store in enumerate(stores):
        await insert(store, KeyRecord(id=f"k{n}", sha256="a", owner="o"))
        await store.close()
    async with opened(path) as store:
        assert len(await store.read(lambda tx: tx.find(KeyRecord))) == len(stores)


async def test_a_store_that_is_dropped_unopened_or_closed_warns_of_nothing(path: Path) -> None:
    store: Store = SqliteStore(path)
    await store.open()
    await store.close()
    del store
    gc.collect()  # a ResourceWarning is an error here
