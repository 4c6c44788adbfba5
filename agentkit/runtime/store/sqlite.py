"""The store in one SQLite file: readers beside one writer (WAL), writes committed in groups.

    store = SqliteStore("agentkit.db")
    await store.open()
    chat = await store.write(lambda tx: tx.insert(ChatRecord(...)))
    await store.close()

`write` returns when the change is durable. With `synchronous="FULL"`, the default, that holds through a power cut;
with "NORMAL" a power cut may undo the last moments but never half a transaction; "OFF" leaves it to the system when
anything reaches the disk. A crash of the program alone loses nothing that was acknowledged, with any of the three.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint_if_cancelled, current_token

from agentkit.errors import StoreError, UsageError
from agentkit.runtime.ports import Commit, Reading, Writing
from agentkit.runtime.records import RECORDS, Record
from agentkit.runtime.store._database import Database, Synchronous
from agentkit.runtime.store._transactions import Clock, View
from agentkit.runtime.store._writer import Job, Soon, Writer

__all__ = ["SqliteStore"]

T = TypeVar("T")

READERS = 4  # connections, hence reads at a time
MEMORY = ":memory:"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteStore:
    """The truth in one SQLite file (port Store). One event loop uses it: the one that opened it.

    `":memory:"` is a database that nobody else sees and that `close` forgets. It lies in a temporary directory all the
    same, never synchronised: SQLite's own in-memory databases have no WAL, so a reader would wait for the writer or
    see half of its work, and what passes on one would not hold on a file.

    `trace` is told every SQL statement of a write, with its values, before it runs; on the writer's thread.
    """

    def __init__(
        self,
        path: str | Path = MEMORY,
        *,
        synchronous: Synchronous = "FULL",
        clock: Clock = _utc_now,
        busy_timeout_seconds: float = 5,
        records: Sequence[type[Record]] = RECORDS,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        if synchronous not in ("FULL", "NORMAL", "OFF"):
            raise UsageError(f"synchronous={synchronous!r}: it is 'FULL', 'NORMAL' or 'OFF'")
        self._path = path
        self._synchronous: Synchronous = synchronous
        self._clock = clock
        self._busy_timeout_seconds = busy_timeout_seconds
        self._records = tuple(records)
        self._trace = trace
        self._told: list[Callable[[Commit], None]] = []
        self._session: _Session | None = None

    async def open(self) -> None:
        """Opens or creates the database and brings its schema up to date. Raises StoreError."""
        if self._session is not None:
            raise UsageError(f"the store {str(self._path)!r} is open already")
        forget = None
        path, synchronous = self._path, self._synchronous
        if path == MEMORY:
            directory = tempfile.mkdtemp(prefix="agentkit-")
            forget = weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
            path, synchronous = Path(directory, "memory.db"), "OFF"
        database = Database(Path(path).absolute(), self._records, synchronous, self._busy_timeout_seconds)
        try:
            db = await to_thread.run_sync(database.writer)
        except BaseException:
            if forget:
                forget()
            raise
        db.set_trace_callback(self._trace)
        writer = Writer(database, db, clock=self._clock, soon=_soon(), told=self._told)
        self._session = _Session(database, writer, self._clock, forget)

    async def close(self) -> None:
        """Finishes what was accepted and closes; a closed store may be opened again."""
        session, self._session = self._session, None
        if session is not None:
            with anyio.CancelScope(shield=True):
                await session.close()

    async def write(self, change: Callable[[Writing], T]) -> T:
        """Runs `change` (no I/O, no waiting) in a transaction; returns when it is durable.

        An exception from `change` rolls it back and is raised here. A caller that is cancelled while it waits does not
        know: the change happens whole or not at all.
        """
        session = self._open_session()
        await checkpoint_if_cancelled()  # who is cancelled already changes nothing
        job = Job(change)
        session.writer.submit(job)
        return await job.outcome()

    async def read(self, look: Callable[[Reading], T]) -> T:
        """Runs `look` on a consistent view, beside the writer; it sees every write that has returned."""
        session = self._open_session()
        return await to_thread.run_sync(session.look, look, limiter=session.limiter)

    def on_commit(self, told: Callable[[Commit], None]) -> None:
        """Calls this in the event loop after each commit that has something to tell, before its writers go on.

        Commits are told in their order; several writes that were committed together are told as one.
        """
        if told not in self._told:  # whoever opens the store again registers again
            self._told.append(told)

    def _open_session(self) -> _Session:
        session = self._session
        if session is None:
            raise StoreError(f"the store {str(self._path)!r} is not open; `await store.open()` comes first")
        if session.token != current_token():
            raise UsageError(f"the store {str(self._path)!r} was opened in another event loop; use it in that one")
        return session


class _Session:
    """What exists while the store is open."""

    def __init__(self, database: Database, writer: Writer, clock: Clock, forget: Callable[[], Any] | None) -> None:
        self.writer = writer
        self.token = current_token()
        # Its own limiter: sync tool handlers may have taken every thread of anyio's.
        self.limiter = anyio.CapacityLimiter(READERS)
        self._database = database
        self._clock = clock
        self._forget = forget
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False

    def look(self, look: Callable[[Reading], T]) -> T:
        """Reads on one of the connections, of which the limiter leaves one. On a thread."""
        if self._is_closed:
            raise StoreError("the store was closed before it could be read")
        db = self._connection()
        view = View(db, self._clock)
        try:
            db.execute("BEGIN")
            return look(view)
        except sqlite3.Error as error:
            raise self._database.error(error) from error
        finally:
            view.end()
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._idle.append(db)

    def _connection(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._database.reader()

    async def close(self) -> None:
        """Waits for the reads under way and for every write that was accepted."""
        places = [object() for _ in range(READERS)]
        for place in places:
            await self.limiter.acquire_on_behalf_of(place)
        self._is_closed = True
        for place in places:
            self.limiter.release_on_behalf_of(place)
        await to_thread.run_sync(self._end, limiter=anyio.CapacityLimiter(1))

    def _end(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self.writer.finish()
        if self._forget:
            self._forget()


def _soon() -> Soon:
    """How a thread reaches this event loop without waiting for it, which would delay the next commit.

    Raises RuntimeError, on asyncio as on trio, once the loop is over.
    """
    native: Any = current_token().native_token
    if not isinstance(native, asyncio.AbstractEventLoop):
        soon: Soon = native.run_sync_soon
        return soon
    tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no hold of them

    async def call(act: Callable[[], None]) -> None:
        act()

    def start(act: Callable[[], None]) -> None:  # as a task, because only in one does anyio know where it is
        task = native.create_task(call(act))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def soon_as_task(act: Callable[[], None]) -> None:
        native.call_soon_threadsafe(start, act)

    return soon_as_task
