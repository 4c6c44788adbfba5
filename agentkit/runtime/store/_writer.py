"""The one thread that writes: it takes every change that waits and commits them together (group commit)."""

from __future__ import annotations

import inspect
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar, cast

import anyio

from agentkit.errors import UsageError
from agentkit.runtime.ports import Commit, Writing
from agentkit.runtime.store._database import Database
from agentkit.runtime.store._transactions import Change, Clock, merged

__all__ = ["Job", "Soon", "Writer"]

T = TypeVar("T")

logger = logging.getLogger("agentkit.store")

MOST_PER_COMMIT = 256  # so that the first of a flood is not answered last

Soon = Callable[
    [Callable[[], None]], None
]  # runs a function in the event loop, from any thread, without waiting for it


class Job(Generic[T]):
    """A change that somebody waits for. Made and awaited in the event loop, run by the writer's thread."""

    def __init__(self, change: Callable[[Writing], T]) -> None:
        self.change = change
        self.commit = Commit()
        self.failure: BaseException | None = None
        self._result: T | None = None
        self._answered = anyio.Event()

    def run(self, tx: Change) -> None:
        """Makes the change, in a transaction that is not committed yet."""
        self._result = self.change(tx)
        if inspect.iscoroutine(self._result):
            self._result.close()
            raise UsageError("write() takes a plain function, not an async one: nothing waits in a transaction")
        self.commit = tx.commit

    def tell(self) -> None:
        """Wakes who waits. In the event loop."""
        self._answered.set()

    async def outcome(self) -> T:
        """What the change returned or raised, once it is durable or rolled back."""
        await self._answered.wait()
        if self.failure is not None:
            raise self.failure
        return cast(T, self._result)


class Writer:
    """Owns the writing connection; `submit` is for the event loop, everything else happens on the thread."""

    def __init__(
        self,
        database: Database,
        db: sqlite3.Connection,
        *,
        clock: Clock,
        soon: Soon,
        told: Sequence[Callable[[Commit], None]],
    ) -> None:
        self._database = database
        self._db = db
        self._clock = clock
        self._soon = soon
        self._told = told
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._is_closing = False
        # A daemon, because a program that forgets to close its store must still be able to end: what is committed
        # is durable, and what is not was never acknowledged.
        self._thread = threading.Thread(target=self._work, name="agentkit-store", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> None:
        """Queues the change; it runs after those that were queued before."""
        self._jobs.put(cast("Job[object]", job))

    def finish(self) -> None:
        """Blocks until what was submitted is committed and the connection is closed."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._commit(batch)
                self._hand_over(batch)
        finally:
            self._db.close()

    def _take(self) -> list[Job[object]]:
        """Everything that waits, at least one; nothing when the store closes."""
        batch: list[Job[object]] = []
        while not self._is_closing and len(batch) < MOST_PER_COMMIT:
            try:
                job = self._jobs.get(block=not batch)
            except Empty:
                break
            if job is None:
                self._is_closing = True
            else:
                batch.append(job)
        return batch

    def _commit(self, batch: list[Job[object]]) -> None:
        """One transaction for the whole batch: if it fails, nobody in it has changed anything."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for job in batch:
                    self._run(job)
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except BaseException as error:  # whatever it is, those who wait are told
            for job in batch:
                job.failure = self._explained(error)

    def _run(self, job: Job[object]) -> None:
        """One change inside its own savepoint, so that its failure is its own."""
        self._db.execute("SAVEPOINT change")
        tx = Change(self._db, self._clock)
        try:
            job.run(tx)
        except BaseException as error:
            if not self._db.in_transaction:  # SQLite gave up the whole batch: the disk is full or failing
                raise
            self._db.execute("ROLLBACK TO change")
            job.failure = self._explained(error)
        finally:
            tx.end()
        self._db.execute("RELEASE change")

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        explained = self._database.error(error)
        explained.__cause__ = error
        return explained

    def _hand_over(self, batch: list[Job[object]]) -> None:
        try:
            self._soon(partial(self._deliver, batch))
        except RuntimeError:  # the loop ended while the store was open; nobody is left to be told
            logger.warning("the event loop ended before the store was closed; %d writes are unanswered", len(batch))

    def _deliver(self, batch: list[Job[object]]) -> None:
        """Tells the commit, then answers each caller: in the event loop, in commit order, without a pause between."""
        commit = merged([job.commit for job in batch if job.failure is None])
        if commit.events or commit.wakes or commit.cuts:
            for told in self._told:
                try:
                    told(commit)
                except Exception:
                    logger.exception("an on_commit callback failed; the commit itself is durable")
        for job in batch:
            job.tell()
