"""The client's journal of its tool calls: which were begun, what came of them, and whether the platform knows.

A handler that pays must not pay twice because the program died, or because its result could not be posted. Before it
runs, a row says that it was begun; afterwards the row has its result; once the platform took that, it says so, too.
Whoever finds the call waiting later reads there what to do: post the result again, run the handler, or say that nobody
knows whether it ran.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import TypeAdapter

from agentkit.errors import UsageError
from agentkit.filelocks import HeldLock, create_locked, is_locked
from agentkit.wire import FileRef

__all__ = ["Claim", "Entry", "Journal", "JournalError", "Kept", "journal_of"]

KEPT_SECONDS: Final = 7 * 24 * 3600.0  # of a row whose result the platform took
MOST_KEPT: Final = 10_000
BUSY_SECONDS: Final = 10.0  # another process writes
MEMORY: Final = ":memory:"

_FILES: Final = TypeAdapter(list[FileRef])
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS calls (
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    owner TEXT NOT NULL,
    tool TEXT NOT NULL,
    key TEXT NOT NULL,
    started_at REAL NOT NULL,
    result TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
    files TEXT NOT NULL DEFAULT '[]',
    posted_at REAL,
    PRIMARY KEY (id, attempt)
) WITHOUT ROWID
"""


class JournalError(UsageError):
    """The journal cannot be read or written, so no handler is run."""


class Claim(Enum):
    """What the journal says of a call that is about to be run."""

    NEW = auto()  # run it
    FINISHED = auto()  # it has run: its result is to be posted
    UNFINISHED = auto()  # whoever began it is gone, and there is no result; this process has it now
    TAKEN = auto()  # somebody runs it just now


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of a call, as it is posted."""

    result: str
    failed: bool = False
    files: Sequence[FileRef] = ()


class Journal:
    """One row per attempt at a call, in a SQLite file that outlives the process, or in memory.

    Several processes may share the file: one of them runs a call, the others leave it alone. Every step is on the disk
    before the next begins. It holds results, and so whatever secrets they hold: its mode is 600. Rows are kept for 7
    days after their result was posted. Usable from any thread.

    >>> journal = Journal()
    >>> journal.claim("i1", 1, tool="pay", key="k").name
    'NEW'
    >>> journal.finish("i1", 1, Entry("paid"))
    >>> journal.claim("i1", 1, tool="pay", key="k").name, journal.entry("i1", 1).result
    ('FINISHED', 'paid')
    >>> journal.close()
    """

    def __init__(self, path: str | os.PathLike[str] = MEMORY) -> None:
        self._path = None if os.fspath(path) == MEMORY else Path(path).expanduser().absolute()
        self._begin()

    def __repr__(self) -> str:
        return f"Journal({str(self._path or MEMORY)!r})"

    @property
    def waits(self) -> bool:
        """Whether its methods write to a disk, and so take a while."""
        return self._path is not None

    def open(self) -> None:
        """Opens the file, if it is not open. Raises JournalError where that cannot be done."""
        if self._db is None or self._pid != os.getpid():
            with self._changing():
                pass

    def look(self, id_: str, attempt: int) -> Claim:
        """What `claim` would say."""
        with self._changing() as db:
            return self._state(db, id_, attempt)

    def claim(self, id_: str, attempt: int, *, tool: str, key: str) -> Claim:
        """Notes that a handler is about to run, unless there is a row that says otherwise."""
        with self._lock:
            with self._changing() as db:
                state = self._state(db, id_, attempt)
                if state in (Claim.NEW, Claim.UNFINISHED):
                    db.execute(
                        "INSERT INTO calls (id, attempt, owner, tool, key, started_at) VALUES (?, ?, ?, ?, ?, ?)"
                        " ON CONFLICT (id, attempt)"
                        " DO UPDATE SET owner = excluded.owner, started_at = excluded.started_at",
                        (id_, attempt, self._owner.id, tool, key, time.time()),
                    )
            if state in (Claim.NEW, Claim.UNFINISHED):
                self._running[id_, attempt] += 1
            return state

    def finish(self, id_: str, attempt: int, entry: Entry) -> None:
        """Notes the result of a call. The first one counts."""
        with self._changing() as db:
            values = (entry.result, entry.failed, _FILES.dump_json(list(entry.files)).decode(), id_, attempt)
            db.execute(
                "UPDATE calls SET result = ?, failed = ?, files = ? WHERE id = ? AND attempt = ? AND result IS NULL",
                values,
            )

    def hold(self, id_: str, attempt: int) -> None:
        """The handler may go on although nobody waits for it; to be released once more."""
        with self._lock:
            self._running[id_, attempt] += 1

    def release(self, id_: str, attempt: int) -> None:
        """The handler does not run any more, with a result or without."""
        with self._lock:
            self._running[id_, attempt] -= 1
            self._running += Counter()  # without those that are at 0
            if self._is_closing and not self._running:
                self._shut()

    def entry(self, id_: str, attempt: int) -> Entry | None:
        """The result of a call; None where it has none yet."""
        with self._changing() as db:
            row = db.execute(
                "SELECT result, failed, files FROM calls WHERE id = ? AND attempt = ? AND result IS NOT NULL",
                (id_, attempt),
            ).fetchone()
        return None if row is None else Entry(row[0], bool(row[1]), _FILES.validate_json(row[2]))

    def key(self, id_: str, attempt: int) -> str | None:
        """The idempotency key that the call was begun with."""
        with self._changing() as db:
            row = db.execute("SELECT key FROM calls WHERE id = ? AND attempt = ?", (id_, attempt)).fetchone()
        return None if row is None else str(row[0])

    def posted(self, id_: str, attempt: int) -> None:
        """Notes that the platform took the result, or has another one."""
        with self._changing() as db:
            db.execute("UPDATE calls SET posted_at = ? WHERE id = ? AND attempt = ?", (time.time(), id_, attempt))
            self._kept += 1
            if self._kept > MOST_KEPT:
                self._tidy(db)

    def is_unposted(self, id_: str, attempt: int) -> bool:
        """Whether it has a result that the platform may not have."""
        with self._changing() as db:
            found = db.execute(
                "SELECT 1 FROM calls WHERE id = ? AND attempt = ? AND result IS NOT NULL AND posted_at IS NULL",
                (id_, attempt),
            ).fetchone()
        return found is not None

    def close(self) -> None:
        """Closes the file, at once or with the last handler that still runs: others must not take its call for left.

        What is asked of the journal later opens it again.
        """
        with self._lock:
            if self._running and self._pid == os.getpid():
                self._is_closing = True
            else:
                self._shut()

    # -- parts -----------------------------------------------------------------------------------------------------

    _owner: _Owner  # once it is open
    _db: sqlite3.Connection | None
    _closer: Callable[[], object] | None

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._db = self._closer = None
        self._running: Counter[tuple[str, int]] = Counter()
        self._is_closing = False
        self._kept = 0

    def _shut(self) -> None:
        if self._closer is not None and self._pid == os.getpid():
            self._closer()
        self._db = self._closer = None
        self._is_closing = False

    @contextmanager
    def _changing(self) -> Generator[sqlite3.Connection]:
        """A transaction, and nobody else in one."""
        if self._pid != os.getpid():  # a forked child must not use its parent's connection
            _parents.append(self._db)
            self._begin()
        with self._lock:
            try:
                db = self._opened()
                db.execute("BEGIN IMMEDIATE")
                with db:
                    yield db
            except (sqlite3.Error, OSError) as error:
                raise JournalError(f"the journal {str(self._path or MEMORY)!r} cannot be used: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(
                self._path or MEMORY, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._owner = _Owner(self._path)
            self._closer = weakref.finalize(self, _close, db, self._owner)
            _write_ahead(db)
            db.execute(_TABLE)
            self._tidy(db)
            self._db = db
        return self._db

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Drops what is old: what the platform took a week ago, and the oldest of too many."""
        db.execute("DELETE FROM calls WHERE posted_at < ?", (time.time() - KEPT_SECONDS,))
        db.execute(
            "DELETE FROM calls WHERE posted_at <= (SELECT posted_at FROM calls WHERE posted_at IS NOT NULL"
            " ORDER BY posted_at DESC LIMIT 1 OFFSET ?)",
            (MOST_KEPT // 2,),
        )
        self._kept = db.execute("SELECT count(*) FROM calls WHERE posted_at IS NOT NULL").fetchone()[0]

    def _state(self, db: sqlite3.Connection, id_: str, attempt: int) -> Claim:
        row = db.execute("SELECT owner, result FROM calls WHERE id = ? AND attempt = ?", (id_, attempt)).fetchone()
        if row is None:
            return Claim.NEW
        if row[1] is not None:
            return Claim.FINISHED
        is_ours = row[0] == self._owner.id
        is_running = (id_, attempt) in self._running if is_ours else _is_alive(self._path, row[0])
        return Claim.TAKEN if is_running else Claim.UNFINISHED


Kept: TypeAlias = Journal | str | os.PathLike[str]
"""A journal, or the file of one."""


def journal_of(given: Kept | None) -> Journal:
    """The journal that is meant: this one, one in that file, or one in memory."""
    return given if isinstance(given, Journal) else Journal(MEMORY if given is None else given)


class _Owner:
    """A sign of life: a locked file beside the journal, which the system unlocks when the process is gone."""

    def __init__(self, journal: Path | None) -> None:
        self.id = uuid.uuid4().hex
        self.pid = os.getpid()
        self._path: Path | None = None
        self._lock: HeldLock | None = None
        if journal is None:
            return
        for other in journal.parent.glob(f"{journal.name}.*.live"):
            _is_alive(journal, other.name.rsplit(".", 2)[1])  # removes what the dead left
        self._path = _sign(journal, self.id)
        self._lock = create_locked(self._path)

    def end(self) -> None:
        """The process uses the journal no more."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
        if self._lock is not None:
            self._lock.release()


_parents: list[object] = []  # connections of the process that this one was forked from: kept, never closed


def _close(db: sqlite3.Connection, owner: _Owner) -> None:
    if owner.pid != os.getpid():
        _parents.append(db)
        return
    db.close()
    owner.end()


def _write_ahead(db: sqlite3.Connection) -> None:
    """Every step is on the disk, and readers wait for nobody. SQLite does not wait by itself to switch this on."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
    db.execute("PRAGMA synchronous = FULL")


def _sign(journal: Path, owner: str) -> Path:
    return journal.parent / f"{journal.name}.{owner}.live"


def _is_alive(journal: Path | None, owner: str) -> bool:
    """Whether the process that signed so lives. Without a file it does not."""
    if journal is None:
        return False
    if is_locked(path := _sign(journal, owner)):
        return True
    with suppress(OSError):
        path.unlink()
    return False
