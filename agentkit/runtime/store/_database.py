"""The SQLite file: who may read it, how it is opened, and how an older one is brought up to date."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agentkit.errors import StoreError
from agentkit.runtime.records import Record
from agentkit.runtime.store._tables import Table, table_of

__all__ = ["Database", "Synchronous"]

Synchronous: TypeAlias = Literal["FULL", "NORMAL", "OFF"]

logger = logging.getLogger("agentkit.store")

APPLICATION_ID = 0x61676B74  # "agkt": tells our files from those of other programs
OTHERS = 0o077  # the permissions of group and world
WAL_KEPT_BYTES = 64 * 1024 * 1024  # what a burst of writes may leave of the -wal file
STATEMENTS_CACHED = 256

# -- what goes wrong, and what to do about it ----------------------------------------------------------------------

_BUSY = "is locked by another program; stop that one, or raise busy_timeout_seconds, and try again"
_NOT_WRITABLE = "may not be written to; check the permissions of the file and of its directory"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_NOTADB: "is no SQLite database; choose another path, or move that file away",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a backup, or save what is left with `sqlite3 FILE .recover`",
    sqlite3.SQLITE_FULL: "cannot grow, the disk or a quota is full; free some space and try again",
    sqlite3.SQLITE_IOERR: "could not be read or written; check the disk, its free space and the quota, and try again",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its directory is there and that you may write to both",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is; free some and try again",
    sqlite3.SQLITE_TOOBIG: "cannot hold a value that large; store it as a file",
}
_UNEXPECTED = "refused a statement; that is a bug of agentkit"


@dataclass(frozen=True, slots=True)
class Database:
    """One database file and its settings. Everything here blocks, so it runs on a thread."""

    path: Path
    records: Sequence[type[Record]]
    synchronous: Synchronous
    busy_timeout_seconds: float

    def error(self, cause: sqlite3.Error) -> StoreError:
        """What SQLite raised, as a sentence about this database that says what to do."""
        code = getattr(cause, "sqlite_errorcode", None)  # absent where Python's module raises it, not SQLite
        advice = _UNEXPECTED if code is None else _ADVICE.get(code & 0xFF, _UNEXPECTED)
        return StoreError(f"the database {str(self.path)!r} {advice} ({cause})")

    @contextmanager
    def explained(self) -> Generator[None, None, None]:
        """Turns what SQLite and the file system raise into StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(error) from error
        except OSError as error:
            raise StoreError(
                f"the database {str(self.path)!r} cannot be opened or created: {error}; "
                "check the path and that you may write to its directory"
            ) from error

    def writer(self) -> sqlite3.Connection:
        """The one connection that writes; the file is created, private, or brought up to date. Raises StoreError."""
        with self.explained():
            self._secure()
            db = self._connect("rw")
            try:
                self._claim(db)
                self._bring_up_to_date(db)
            except BaseException:
                db.close()
                raise
            return db

    def reader(self) -> sqlite3.Connection:
        """A connection that only reads, beside the writer."""
        with self.explained():
            return self._connect("ro")

    def _connect(self, mode: Literal["rw", "ro"], path: Path | None = None) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{(path or self.path).as_uri()}?mode={mode}",
            uri=True,
            timeout=self.busy_timeout_seconds,
            isolation_level=None,  # transactions begin and end where the code says so
            check_same_thread=False,  # opened on one thread, used by one other at a time
            cached_statements=STATEMENTS_CACHED,
        )
        try:
            db.execute(f"PRAGMA synchronous = {self.synchronous}")
            db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        except BaseException:
            db.close()
            raise
        return db

    # -- who may read it -------------------------------------------------------------------------------------------

    def _secure(self) -> None:
        _make_directories(self.path.parent)
        if not _create(self.path):
            self._tighten()

    def _tighten(self) -> None:
        """Takes the database and its companions from everybody but their owner. Raises StoreError if it is not ours."""
        # By path: closing a descriptor of the file would drop the locks of every other connection in this process
        # (sqlite.org/howtocorrupt.html, 2.2).
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise StoreError(f"the database {str(self.path)!r} is no regular file; choose another path")
        if not os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(f"the database {str(self.path)!r} {_NOT_WRITABLE}")  # SQLite would open it to read only
        for each in (self.path, *_companions(self.path)):
            if os.name == "posix" and each.exists() and each.stat().st_mode & OTHERS:
                logger.warning("%s could be read by others than its owner; it is private now", each)
                each.chmod(stat.S_IMODE(each.stat().st_mode) & ~OTHERS)

    # -- whose it is, and of which version -------------------------------------------------------------------------

    def _claim(self, db: sqlite3.Connection) -> None:
        """Refuses the file of another program or of a newer agentkit before anything in it is changed."""
        owner, is_empty = _number(db, "application_id"), not _number(db, "schema_version")
        if owner != APPLICATION_ID and not (owner == 0 and is_empty):
            raise StoreError(f"the database {str(self.path)!r} belongs to another program; choose another path")
        self._refuse_newer(db)
        if _text(db, "journal_mode") != "wal" and _text(db, "journal_mode = wal") != "wal":
            raise StoreError(
                f"the database {str(self.path)!r} lies where SQLite cannot share memory between connections "
                "(a network file system?); choose a path on a local disk"
            )

    def _refuse_newer(self, db: sqlite3.Connection) -> None:
        version = _number(db, "user_version")
        unknown = [
            f"{table.name}.{column}"
            for table in self._tables()
            for column in _columns(db, table)
            if column not in (*table.columns, "row")
        ]
        if version > len(STEPS) or unknown:
            what = f"version {version}" if version > len(STEPS) else f"with {', '.join(unknown)}"
            raise StoreError(
                f"the database {str(self.path)!r} was written by a newer agentkit ({what}, this one knows version "
                f"{len(STEPS)}); upgrade agentkit, or choose another path"
            )

    def _bring_up_to_date(self, db: sqlite3.Connection) -> None:
        """Migrates in one transaction, so that a database is of one version or of the other, whenever it is killed."""
        if self._is_current(db):
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            self._refuse_newer(db)  # another process may have been faster
            version = _number(db, "user_version")
            if 0 < version < len(STEPS):
                self._back_up(version)
            for step in STEPS[version:]:
                step(db)
            for record in self.records:
                _fit(db, record)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {len(STEPS)}")
            db.execute("COMMIT")
        except (sqlite3.Error, OSError, StoreError):
            _roll_back(db)
            raise
        except Exception as error:
            _roll_back(db)
            raise StoreError(
                f"the database {str(self.path)!r} could not be brought to version {len(STEPS)} and is as it was: "
                f"{type(error).__name__}: {error}; go back to the agentkit that wrote it, and report this"
            ) from error

    def _is_current(self, db: sqlite3.Connection) -> bool:
        fits = all(set(table.columns) <= set(_columns(db, table)) for table in self._tables())
        return fits and _number(db, "user_version") == len(STEPS)

    def _back_up(self, version: int) -> None:
        """Copies the database as it was to `<path>.v<version>.bak`; a cut copy never gets that name."""
        finished = self.path.with_name(f"{self.path.name}.v{version}.bak")
        growing = self.path.with_name(f"{finished.name}.part")
        growing.unlink(missing_ok=True)
        _create(growing)
        with closing(self._connect("ro")) as source, closing(self._connect("rw", growing)) as target:
            source.backup(target)  # another connection: it sees what is committed, and the lock keeps writers out
            target.execute("PRAGMA journal_mode = delete")  # one file, that can be copied back by itself
        growing.replace(finished)
        logger.warning("%s is brought to version %d; a copy as it was is %s", self.path, len(STEPS), finished)

    def _tables(self) -> list[Table]:
        return [table_of(record) for record in self.records]


# -- versions ------------------------------------------------------------------------------------------------------
# A database of version N has seen the first N steps. New kinds and new INDEX fields need none: `_fit` adds them.
# Anything else (taking a field away, changing a body) is a step at the end of the list; a step is never edited.


def _create_log(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE events (chat_id TEXT NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL, "
        "at TEXT NOT NULL, PRIMARY KEY (chat_id, seq)) WITHOUT ROWID"
    )
    db.execute("CREATE TABLE event_marks (chat_id TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE wakes (chat_id TEXT PRIMARY KEY, at TEXT) WITHOUT ROWID")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_log,)


def _fit(db: sqlite3.Connection, record: type[Record]) -> None:
    """Adds the kind's table, or the columns and indexes that it lacks."""
    table = table_of(record)
    there = _columns(db, table)
    if not there:
        db.execute(table.create)
    elif missing := [field for field in table.fields if field not in there]:
        for field in missing:
            db.execute(table.add_column(field))
        _fill(db, record)
    for index in table.indexes:
        db.execute(index)


def _fill(db: sqlite3.Connection, record: type[Record]) -> None:
    """Writes every row again, so that a new column holds what the body says, or the field's default."""
    table = table_of(record)
    for (body,) in db.execute(f'SELECT body FROM "{table.name}"').fetchall():
        found = record.model_validate_json(body)
        db.execute(table.update, [*table.row(found), found.id, found.version])


def _columns(db: sqlite3.Connection, table: Table) -> list[str]:
    return [row[1] for row in db.execute(f'PRAGMA table_info("{table.name}")')]


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _text(db: sqlite3.Connection, pragma: str) -> str:
    return str(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


# -- files ---------------------------------------------------------------------------------------------------------


def _make_directories(directory: Path) -> None:
    for each in reversed([directory, *directory.parents]):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)


def _create(path: Path) -> bool:
    """Creates the file for its owner alone, whatever the umask; False if it is there already."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    os.close(descriptor)
    return True


def _companions(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
