"""What a transaction on the SQLite database can do: read consistently, and write by compare-and-set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from pydantic_core import from_json, to_json

from agentkit.errors import StoreError, UsageError
from agentkit.runtime.ids import SHORT
from agentkit.runtime.ports import Commit, Stale, StoredEvent, Wake
from agentkit.runtime.records import Record
from agentkit.runtime.store._tables import Plain, table_of

__all__ = ["Change", "Clock", "View", "merged"]

R = TypeVar("R", bound=Record)
Clock: TypeAlias = Callable[[], datetime]

_BEYOND = "\U0010ffff"  # sorts after every character of an id


class View:
    """A consistent view of the store (port Reading), for as long as the transaction it is made in."""

    def __init__(self, db: sqlite3.Connection, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._now = ""
        self._is_over = False

    def end(self) -> None:
        """Makes a view that is kept beyond its transaction useless, not dangerous."""
        self._is_over = True

    @property
    def now(self) -> str:
        """The store's clock; one value per transaction."""
        if not self._now:
            self._now = _text(self._clock())
        return self._now

    def get(self, kind: type[R], id: str) -> R | None:
        """The record with this id, or the only one whose id begins with these 8 or more characters."""
        table = table_of(kind)
        rows = self._rows(table.get, [id])
        if not rows and len(id) >= SHORT:
            rows = self._rows(table.get_short, [id, id + _BEYOND])
        return kind.model_validate_json(rows[0][0]) if len(rows) == 1 else None

    def find(
        self,
        kind: type[R],
        *,
        order_by: str = "created_at",
        descending: bool = False,
        limit: int | None = None,
        after_id: str | None = None,
        **equals: Any,
    ) -> list[R]:
        """The records whose fields equal these (a tuple means any of them), from behind `after_id` on."""
        table = table_of(kind)
        behind = None
        if after_id is not None:
            places = self._rows(table.place(order_by), [after_id])
            if not places:
                return []
            behind = places[0]
        sql, values = table.find(equals, order_by=order_by, descending=descending, limit=limit, behind=behind)
        return [kind.model_validate_json(body) for (body,) in self._rows(sql, values)]

    def events(self, chat_id: str, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """The chat's log after `seq`, oldest first."""
        rows = self._rows(
            "SELECT seq, name, data, at FROM events WHERE chat_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            [chat_id, after, limit],
        )
        return [StoredEvent(chat_id, seq, name, from_json(data), at) for seq, name, data, at in rows]

    def event_range(self, chat_id: str) -> tuple[int, int]:
        """The lowest and highest `seq` kept; (1, 0) at first, (highest + 1, highest) when all were pruned."""
        highest = self._last_seq(chat_id)
        ((lowest,),) = self._rows("SELECT min(seq) FROM events WHERE chat_id = ?", [chat_id])
        return (highest + 1 if lowest is None else lowest), highest

    def wakes(self) -> list[Wake]:
        """Every recorded wake-up, those that are due at once first."""
        return [Wake(chat_id, at) for chat_id, at in self._rows("SELECT chat_id, at FROM wakes ORDER BY at, chat_id")]

    def _last_seq(self, chat_id: str) -> int:
        rows = self._rows("SELECT last FROM event_marks WHERE chat_id = ?", [chat_id])
        return rows[0][0] if rows else 0

    def _rows(self, sql: str, values: Sequence[Plain] = ()) -> list[Any]:
        return self._execute(sql, values).fetchall()

    def _execute(self, sql: str, values: Sequence[Plain] = ()) -> sqlite3.Cursor:
        if self._is_over:
            raise UsageError("the transaction is over; use it only inside the function given to read or write")
        if not self._db.in_transaction:  # a full disk made SQLite roll back: on its own, the statement would count
            raise StoreError("the transaction was rolled back by the database, so nothing more can be done in it")
        return self._db.execute(sql, values)


class Change(View):
    """A transaction (port Writing): all of it happens, or nothing."""

    def __init__(self, db: sqlite3.Connection, clock: Clock) -> None:
        super().__init__(db, clock)
        self._grown: dict[str, int] = {}
        self._woken: dict[str, Wake] = {}
        self._cut: dict[str, None] = {}

    @property
    def commit(self) -> Commit:
        """What there is to tell once this is durable."""
        return Commit(events=dict(self._grown), wakes=tuple(self._woken.values()), cuts=tuple(self._cut))

    def insert(self, record: R) -> R:
        """Adds the record; returns it with `version` 1 and its times. Raises Stale if the id exists."""
        stored = _whole(record, version=1, created_at=self.now, updated_at=self.now)
        table = table_of(type(record))
        self._one(table.insert, table.row(stored), f"{table.name} {record.id} exists already")
        return stored

    def update(self, record: R) -> R:
        """Replaces the row of the same id and version; returns it with the next version. Raises Stale."""
        stored = _whole(record, version=record.version + 1, updated_at=self.now)
        table = table_of(type(record))
        self._one(table.update, [*table.row(stored), record.id, record.version], _changed(record))
        return stored

    def delete(self, record: Record) -> None:
        """Removes the row of the same id and version. Raises Stale if it changed."""
        self._one(table_of(type(record)).delete, [record.id, record.version], _changed(record))

    def append(self, chat_id: str, name: str, data: Mapping[str, Any]) -> int:
        """Appends to the chat's log; returns the event's `seq`."""
        body = to_json(data).decode()
        seq = self._last_seq(chat_id) + 1
        # The mark outlives the events, so that no seq is used twice after a prune.
        self._execute("INSERT OR REPLACE INTO event_marks (chat_id, last) VALUES (?, ?)", [chat_id, seq])
        self._execute(
            "INSERT INTO events (chat_id, seq, name, data, at) VALUES (?, ?, ?, ?, ?)",
            [chat_id, seq, name, body, self.now],
        )
        self._grown[chat_id] = seq
        return seq

    def prune_events(self, chat_id: str, *, keep_from: int) -> None:
        """Drops the chat's events below this seq."""
        self._execute("DELETE FROM events WHERE chat_id = ? AND seq < ?", [chat_id, keep_from])

    def tell(self, id: str, version: int) -> None:
        """Hints to the watchers of this id that its record is at `version` now."""
        self._grown[id] = version

    def wake(self, chat_id: str, *, at: str | None = None) -> None:
        """Records that the chat should be advanced, now or at a time; the earlier of two times stays."""
        wanted = None if at is None else _text(datetime.fromisoformat(at))  # one form, so that text order is time order
        recorded = self._rows("SELECT at FROM wakes WHERE chat_id = ?", [chat_id])
        if recorded:
            wanted = None if None in (wanted, recorded[0][0]) else min(wanted, recorded[0][0], key=str)
        self._execute("INSERT OR REPLACE INTO wakes (chat_id, at) VALUES (?, ?)", [chat_id, wanted])
        self._woken[chat_id] = Wake(chat_id, wanted)

    def clear_wake(self, chat_id: str) -> None:
        """Forgets the chat's recorded wake-up."""
        self._execute("DELETE FROM wakes WHERE chat_id = ?", [chat_id])
        self._woken.pop(chat_id, None)

    def cut(self, chat_id: str) -> None:
        """The advance under way for the chat was overtaken by this change."""
        self._cut[chat_id] = None

    def _one(self, sql: str, values: Sequence[Plain], otherwise: str) -> None:
        if self._execute(sql, values).rowcount != 1:
            raise Stale(otherwise)


def merged(commits: Sequence[Commit]) -> Commit:
    """What several changes, committed together in this order, have to tell."""
    events: dict[str, int] = {}
    wakes: dict[tuple[str, str | None], Wake] = {}
    for commit in commits:
        events |= commit.events  # later ones are higher
        wakes |= {(wake.chat_id, wake.at): wake for wake in commit.wakes}
    cuts = dict.fromkeys(chat_id for commit in commits for chat_id in commit.cuts)
    return Commit(events=events, wakes=tuple(wakes.values()), cuts=tuple(cuts))


def _whole(record: R, **stamps: Any) -> R:
    """The record as it is stored: every field of its own counts as set, so that a later default cannot change it."""
    return record.model_copy(update={**dict(record), **stamps})


def _changed(record: Record) -> str:
    return f"{record.KIND} {record.id} is no longer at version {record.version}"


def _text(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise UsageError(f"a time needs a zone, such as UTC: {moment.isoformat()!r} has none")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
